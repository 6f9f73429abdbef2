/**
 * What the receiver costs and what it withstands: live streams, a flood, and nginx beside it. README.md
 * says how to read it; the last line is JSON.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { floodPart } from "./flood_part.ts";
import { steps, streamsPart } from "./streams_part.ts";
import { wrkPart } from "./wrk.ts";
import { bodyKinds } from "./wrk_load.ts";

const { values } = programOptions("Usage: bun run bench:receiver [OPTIONS]", {
  part: {
    type: "list",
    unit: "part",
    help: `only that one: ${[...steps, "flood", "wrk"].join(", ")}; streams is the first four`,
  },
  seconds: { type: "number", unit: "s", default: 60, help: "the longer runs of streams" },
  streams: { type: "number", unit: "streams", default: 10_000, help: "live at a time" },
  devices: { type: "number", unit: "devices", default: 100_000, help: "of the flood" },
  most: { type: "number", unit: "s", default: 240, help: "of the flood; then it gives up" },
  "wrk-seconds": { type: "number", unit: "s", default: 40, help: "each run of wrk; up to 240" },
  rounds: { type: "number", unit: "runs", default: 2, help: "of wrk on either program" },
  kind: { type: "list", unit: "body", help: "only that one under wrk: text, frame" },
  folder: { type: "text", unit: "folder", default: tmpdir(), help: "on the disk to be measured" },
}, process.argv.slice(2));

const folder = mkdtempSync(join(values.folder, "logmill-bench-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const machine = {
  kernel: release(),
  arch: process.arch,
  cpus: cpus().length,
  cpu: cpus()[0]!.model,
  bun: process.versions.bun,
};
console.log(
  `Linux ${machine.kernel}, ${machine.arch}, ${machine.cpus} cores (${machine.cpu}), ` +
    `Bun ${machine.bun}; generator and receiver share the cores.\n`,
);
const wanted = (...names: string[]) =>
  values.part.length === 0 || names.some((name) => values.part.includes(name));
const { seconds, streams: count, devices, most } = values;
const print = console.log;
const chosen = steps.filter((step) => wanted(step, "streams"));
const streams = chosen.length > 0
  ? await streamsPart({ steps: chosen, folder, seconds, streams: count, print })
  : undefined;
const flood = wanted("flood") ? await floodPart({ folder, devices, most, print }) : undefined;
const wrkOptions = {
  folder,
  print,
  seconds: values["wrk-seconds"],
  rounds: values.rounds,
  kinds: bodyKinds.filter((kind) => values.kind.length === 0 || values.kind.includes(kind)),
};
const wrk = wanted("wrk") ? await wrkPart(wrkOptions) : undefined;
if (wrk && "skipped" in wrk) console.log(`nginx: skipped: ${wrk.skipped}`);
const compared = wrk && !("skipped" in wrk) ? wrk : undefined;
const lost = [streams?.lost, flood?.lost, compared?.wrk_lost].filter((n) => n !== undefined);

const result = {
  nginx_ratio_64: compared?.nginx_ratio_64 ?? null,
  nginx_ratio_1024: compared?.nginx_ratio_1024 ?? null,
  nginx_ratio_64_burst: compared?.nginx_ratio_64_burst ?? null,
  nginx_ratio_1024_burst: compared?.nginx_ratio_1024_burst ?? null,
  cpu_s_per_gb: streams?.peak?.cpuSecPerGB ?? null,
  rss_mib: streams?.peak?.rssPeakMiB ?? null,
  lost: lost.length > 0 ? lost.reduce((sum, n) => sum + n, 0) : null,
  machine,
  streams: streams ?? null,
  flood: flood ?? null,
  wrk: compared ? { ...compared, raw: undefined } : null,
};
console.log(`\n${JSON.stringify(result, rounded)}`);
process.exit(0);

function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Math.round(value * 1000) / 1000 : value;
}
