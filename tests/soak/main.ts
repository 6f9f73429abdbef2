/** The soak as a program: a table of what happened, last a line of JSON; exit status 1 if anything is lost. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { formatReport, summary } from "./report.ts";
import { soak } from "./soak.ts";

const { values } = programOptions(
  `
Usage: bun run soak [OPTIONS]     a fleet, receivers, grinder, archiver and readers, killed again and again
Exit status 1 if anything is lost or doubled; then what was stored stays.`,
  {
    minutes: { type: "number", unit: "min", default: 10, help: "for how long" },
    seed: { type: "number", unit: "number", help: "who is killed when (default: by chance)" },
    devices: { type: "number", unit: "devices", default: 30, help: "simulated ones" },
    rate: { type: "number", unit: "bytes/s", default: 3000, help: "log text of each of them" },
    away: {
      type: "number",
      unit: "s",
      default: 0,
      help: "the archiver stays away so long, once; segments are kept for 60 s",
    },
    dir: { type: "text", unit: "folder", help: "for all of it (default: a new temporary one)" },
  },
  process.argv.slice(2),
);
// Those that it started end with it.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
const folder = mkdtempSync(join(values.dir ?? tmpdir(), "logmill-soak-"));
const report = await soak({
  folder,
  seconds: values.minutes * 60,
  seed: values.seed ?? Math.floor(Math.random() * 2 ** 31),
  devices: values.devices,
  bytesPerSecond: values.rate,
  awaySeconds: values.away,
  say: (text) => console.error(`soak: ${text}`),
});
console.log(formatReport(report));
if (report.problems.length === 0) rmSync(folder, { recursive: true });
else console.log(`what was stored is in ${folder}`);
console.log(JSON.stringify(summary(report)));
process.exit(report.problems.length === 0 ? 0 : 1);
