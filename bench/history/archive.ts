/**
 * What keeping logs costs: bytes for a GB of text, hot and archived, beside zstd on the same text in the
 * order in which it arrived; and how fast archives are written and read. Prints a table, and last one JSON
 * object. Needs `zstd`.
 *
 *     bun bench/history/archive.ts [--text 300] [--devices 1000] [--block 2500] [--best 100] [--corpus FILE] [--dir DIR]
 */
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { denoPath, root } from "../../tests/programs.ts";
import { makeStore } from "./archive_store.ts";

const { values } = programOptions("Usage: bun bench/history/archive.ts [OPTIONS]", {
  text: { type: "number", unit: "MB", default: 300, help: "log text to make" },
  devices: { type: "number", unit: "devices", default: 1000, help: "that say it" },
  block: {
    type: "number",
    unit: "bytes",
    default: 2500,
    help: "what a device gathers before it sends",
  },
  corpus: { type: "text", unit: "file", help: "lines to be said in the place of the simulator's" },
  best: {
    type: "number",
    unit: "MB",
    default: 100,
    help: "zstd -19 --long is given so much of it: it takes a minute for 60 MB",
  },
  dir: {
    type: "text",
    unit: "folder",
    default: join(tmpdir(), "logmill-bench-history"),
    help: "for the store",
  },
}, process.argv.slice(2));

interface Ran {
  seconds: number;
  cpuSeconds: number;
  output: string;
}

mkdirSync(values.dir, { recursive: true });
const made = await makeStore(values.dir, {
  devices: values.devices,
  textBytes: values.text * 1e6,
  blockBytes: values.block,
  startUs: Date.UTC(2026, 10, 22, 10) * 1000,
  corpus: values.corpus,
});
const MB = made.textBytes / 1e6;
const flags = ["run", "-A", "--no-check"];
const archived = await run([
  denoPath,
  ...flags,
  `${root}/grinder/archive/main.ts`,
  "--data",
  made.data,
]);
const archiveBytes = bytesBelow(join(made.data, "archive"));
const read = await run([denoPath, ...flags, `${root}/bench/history/archive_read.ts`, made.data]);
const hot = await run([denoPath, ...flags, `${root}/bench/history/archive_read_hot.ts`, made.data]);
const fast = await zstd(made.text, "-3");
const start = join(values.dir, "start.txt");
// Written from its slice, Bun copies the whole file.
writeFileSync(start, await Bun.file(made.text).slice(0, values.best * 1e6).bytes());
const best = await zstd(start, "-19", "--long");
const bestBytes = best.bytes * made.textBytes / statSync(start).size;

const rows: Array<[string, number, string]> = [
  ["text as it arrived, headers and all", made.textBytes, ""],
  ["hot segments (zstd -1, frames of 1 MiB)", made.hotBytes, ""],
  ["archive (Parquet, zstd -1, sorted), manifests and all", archiveBytes, speed(archived)],
  ["zstd -3", fast.bytes, speed(fast.ran)],
  [`zstd -19 --long (by the first ${values.best} MB)`, bestBytes, ""],
];
console.log(
  `${MB.toFixed(0)} MB of ${values.corpus ?? "simulated"} text, ${values.devices} devices, ` +
    `blocks of ${values.block} bytes; ${cpus().length} x ${cpus()[0]?.model}, load ${
      loadavg()[0]!.toFixed(1)
    }`,
);
for (const [name, bytes, how] of rows) {
  const ratio = (made.textBytes / bytes).toFixed(2).padStart(6);
  const perGb = (bytes / MB / 1000).toFixed(1).padStart(7);
  console.log(`${name.padEnd(56)} ${perGb} MB per GB ${ratio}:1  ${how}`);
}
console.log(`reading the archive as frames: ${speed(read)}; hot segments: ${speed(hot)}`);
console.log(archived.output.trim(), read.output.trim(), hot.output.trim());
console.log(JSON.stringify({
  archive_ratio: ratioOf(archiveBytes),
  hot_ratio: ratioOf(made.hotBytes),
  zstd3_ratio: ratioOf(fast.bytes),
  zstd19_long_ratio: ratioOf(bestBytes),
  archive_write_mb_s: round(MB / archived.seconds),
  archive_write_mb_cpu_s: round(MB / archived.cpuSeconds),
  archive_read_mb_s: round(MB / read.seconds),
  hot_read_mb_s: round(MB / hot.seconds),
}));

async function zstd(text: string, ...level: string[]): Promise<{ bytes: number; ran: Ran }> {
  const out = join(values.dir, `text${level[0]}.zst`);
  const ran = await run(["zstd", "-q", "-f", ...level, text, "-o", out]);
  return { bytes: statSync(out).size, ran };
}

/** Wall and CPU time of a process and its threads. Throws if it failed. */
async function run(command: string[]): Promise<Ran> {
  const startMs = performance.now();
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", cwd: root });
  const output = await new Response(child.stderr).text() + await new Response(child.stdout).text();
  if (await child.exited !== 0) throw new Error(`${command.join(" ")} failed: ${output}`);
  const seconds = (performance.now() - startMs) / 1000;
  const cpu = child.resourceUsage()!.cpuTime;
  return { seconds, cpuSeconds: Number(cpu.total) / 1e6, output };
}

function speed({ seconds, cpuSeconds }: Ran): string {
  return `${(MB / seconds).toFixed(0)} MB/s, ${(MB / cpuSeconds).toFixed(0)} MB per CPU-second`;
}

function bytesBelow(folder: string): number {
  const files = readdirSync(folder, { recursive: true }) as string[];
  return files.map((file) => statSync(join(folder, file)))
    .reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
}

function ratioOf(bytes: number): number {
  return Math.round(100 * made.textBytes / bytes) / 100;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
