/**
 * How fast SQL looks through what is stored: one query with a literal over archived text, the same over
 * segments that aren't archived yet, beside `zstdcat | rg` on these. The counts must be equal, or there is
 * no result. Prints a table, and last one JSON object. Needs `zstd` and `rg`.
 *
 *     bun bench/history/sql.ts [--text 300] [--devices 1000] [--runs 3] [--dir DIR]
 */
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { denoPath, root } from "../../tests/programs.ts";
import { makeStore } from "./archive_store.ts";

const { values } = programOptions("Usage: bun bench/history/sql.ts [OPTIONS]", {
  text: { type: "number", unit: "MB", default: 300, help: "log text to make" },
  devices: { type: "number", unit: "devices", default: 1000, help: "that say it" },
  block: { type: "number", unit: "bytes", default: 2500, help: "what a device sends at a time" },
  runs: { type: "number", unit: "runs", default: 3, help: "of each, in turn; the best counts" },
  dir: {
    type: "text",
    unit: "folder",
    default: join(tmpdir(), "logmill-bench-sql"),
    help: "for the store",
  },
}, process.argv.slice(2));

const literal = "I/O error";
const query = `select count(*) as n from records where text like '%${literal}%'`;

interface Ran {
  count: number;
  seconds: number;
  cpuSeconds: number;
}

mkdirSync(values.dir, { recursive: true });
const made = await makeStore(values.dir, {
  devices: values.devices,
  textBytes: values.text * 1e6,
  blockBytes: values.block,
  startUs: Date.UTC(2026, 10, 22, 10) * 1000,
});
const segments = `${made.data}/segments/*/*/*.zst`;
const shell = `zstdcat ${segments} | rg --no-unicode -c -F '${literal}'`;

const start = await best(() => sql("select 0 as n"));
const hot = await best(() => sql(query));
const pair = await best(() => run(["sh", "-c", shell]));
await run([denoPath, "run", "-A", "grinder/archive/main.ts", "--data", made.data]);
const archived = await best(() => sql(query));
if (new Set([hot, pair, archived].map(({ count }) => count)).size > 1) {
  console.error(
    `Cannot compare because the same must be found by all: it is ${hot.count}, ${pair.count}, ${archived.count}`,
  );
  process.exit(1);
}

const MB = made.textBytes / 1e6;
console.log(
  `${MB.toFixed(0)} MB of text, ${values.devices} devices, ${archived.count} records found`,
);
for (
  const [name, { seconds, cpuSeconds }] of Object.entries({ archived, hot, "zstdcat | rg": pair })
) {
  console.log(
    `${name.padEnd(14)} ${seconds.toFixed(2)} s, ${(MB / seconds).toFixed(0)} MB/s, ` +
      `${(cpuSeconds / MB * 1000).toFixed(1)} CPU s per GB`,
  );
}
console.log(`deno task sql that reads nothing: ${start.seconds.toFixed(2)} s`);
console.log(JSON.stringify({
  sql_mb_s: Math.round(MB / archived.seconds),
  sql_hot_mb_s: Math.round(MB / hot.seconds),
  sql_zstdcat_rg_mb_s: Math.round(MB / pair.seconds),
  sql_start_ms: Math.round(start.seconds * 1000),
  sql_records: archived.count,
}));

function sql(text: string): Promise<Ran> {
  const words = [text, "--data", made.data, "--csv", "--memory", "1000"];
  return run([denoPath, "run", "-A", "grinder/sql/main.ts", ...words]);
}

async function best(once: () => Promise<Ran>): Promise<Ran> {
  const all: Ran[] = [];
  for (let i = 0; i < values.runs; i++) all.push(await once());
  return all.toSorted((a, b) => a.seconds - b.seconds)[0]!;
}

/** Its last line is a number, or none is asked for. Throws if it failed. */
async function run(command: string[]): Promise<Ran> {
  const startMs = performance.now();
  const child = Bun.spawn(command, { stdio: ["ignore", "pipe", "pipe"], cwd: root });
  const [said, out] = await Promise.all([
    new Response(child.stderr).text(),
    new Response(child.stdout).text(),
  ]);
  if (await child.exited !== 0) throw new Error(`${command.join(" ")} failed: ${said}`);
  const seconds = (performance.now() - startMs) / 1000;
  const cpuSeconds = Number(child.resourceUsage()!.cpuTime.total) / 1e6;
  return { count: Number(out.trim().split(/\s+/).at(-1)), seconds, cpuSeconds };
}
