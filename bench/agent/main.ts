/**
 * What the agent costs a device: CPU, wake-ups, memory and bytes on the wire, shipping this machine's real
 * kernel log, idle and under load, beside rsyslog and busybox. README.md says how to read it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { KmsgLoad, liftRateLimit } from "./load.ts";
import { type Case, type Run, table } from "./report.ts";
import { RingWatch } from "./ring_watch.ts";
import { type Mark, startAgent, startBusybox, startRsyslog } from "./shippers.ts";
import { filesRun, UsageMeter } from "./usage.ts";

const loads = [
  { name: "idle", bytesPerSecond: 0 },
  { name: "579 B/s, 50 MB a day", bytesPerSecond: 579 },
  { name: "80 KB/s", bytesPerSecond: 80_000 },
];
/** Programs have read what the ring held and are quiet. Picked from the air, and ten times too long. */
const settleMs = 5_000;
/** A load has run so long when the first period begins. */
const warmUpMs = 3_000;
/** After a load's end: the last lines have arrived. */
const drainMs = 2_000;

const { values } = programOptions(
  "Usage: bun run bench:agent [OPTIONS]     as root: it writes to /dev/kmsg",
  {
    seconds: { type: "number", unit: "s", default: 60, help: "one run" },
    runs: { type: "number", unit: "runs", default: 3, help: "for each load" },
  },
  process.argv.slice(2),
);
const folder = mkdtempSync(join(tmpdir(), "logmill-bench-"));
const restoreRateLimit = liftRateLimit();
process.once("exit", () => {
  restoreRateLimit();
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const ring = new RingWatch();
const started = [
  await startAgent(folder),
  await startRsyslog(folder, "plain"),
  await startRsyslog(folder, "zlib"),
  await startBusybox(),
];
const shippers = started.filter((shipper) => shipper !== undefined);
await sleep(settleMs);

const cases: Case[] = [];
const counts: object[] = [];
for (const load of loads) await measureLoad(load);
const programs = shippers.map(({ name, version, pids }) => ({ name, version, ...filesRun(pids) }));
for (const shipper of shippers) await shipper.stop();
ring.close();

const machine = {
  kernel: release(),
  arch: process.arch,
  cpus: cpus().length,
  cpu: cpus()[0]!.model,
  bun: process.versions.bun,
};
console.log(`
Linux ${machine.kernel}, ${machine.arch}, ${machine.cpus} cores (${machine.cpu}), Bun ${machine.bun}.
Each load: ${values.runs} runs of ${values.seconds} s; medians, but bytes on the wire are means.

${table(cases)}

| program | version | the program, MB on disk | with its libraries and modules |
| --- | --- | --: | --: |`);
for (const { name, version, programMB, allMB } of programs) {
  console.log(`| ${name} | ${version} | ${programMB.toFixed(1)} | ${allMB.toFixed(1)} |`);
}
console.log(`\n${JSON.stringify({ machine, programs, counts, cases }, rounded)}`);
process.exit(0);

async function measureLoad({ name, bytesPerSecond }: typeof loads[number]): Promise<void> {
  const before = marks();
  const load = new KmsgLoad(bytesPerSecond);
  await sleep(warmUpMs);
  const runs: Run[][] = [];
  for (let i = 1; i <= values.runs; i++) {
    ring.look();
    const seqBefore = ring.seq;
    const linesBefore = load.lines;
    runs.push(await measure(load));
    ring.look();
    const lines = load.lines - linesBefore;
    const others = ring.seq - seqBefore - lines;
    console.log(`${name}, run ${i}: ${lines} lines written, ${others} records of others`);
    runs.at(-1)!.forEach((run, k) => console.log(`  ${shippers[k]!.name}: ${formatRun(run)}`));
  }
  load.stop();
  await sleep(drainMs);
  const after = marks();
  // What others wrote just now is on its way.
  await sleep(drainMs);
  await count(name, load, before, after);
  shippers.forEach((shipper, k) => {
    const own = runs.map((run) => run[k]!);
    cases.push({ load: name, program: shipper.name, runs: own });
  });
}

/** One period, all programs at once. */
async function measure(load: KmsgLoad): Promise<Run[]> {
  const textBefore = load.bytes;
  const links = shippers.map(({ link }) => ({ ...link }));
  const meters = shippers.map(({ pids }) => new UsageMeter(pids));
  const startMs = performance.now();
  for (let i = 1; i <= values.seconds; i++) {
    await sleep(startMs + i * 1000 - performance.now());
    meters.forEach((meter) => meter.look());
  }
  const seconds = (performance.now() - startMs) / 1000;
  return shippers.map(({ link }, k) => ({
    ...meters[k]!.end(),
    seconds,
    textBytes: load.bytes - textBefore,
    upBytes: link.up - links[k]!.up,
    downBytes: link.down - links[k]!.down,
    upReads: link.upReads - links[k]!.upReads,
    downReads: link.downReads - links[k]!.downReads,
  }));
}

function marks(): Mark[] {
  ring.look();
  return shippers.map(({ link }) => ({ seq: ring.seq, lines: link.lines }));
}

/** Who got how many of the records: a program that loses some does less work. */
async function count(name: string, load: KmsgLoad, from: Mark[], to: Mark[]): Promise<void> {
  const records = to[0]!.seq - from[0]!.seq;
  const arrived: Record<string, number> = {};
  for (const [k, shipper] of shippers.entries()) {
    arrived[shipper.name] = await shipper.arrived(from[k]!, to[k]!);
  }
  counts.push({ load: name, written: load.lines, inTheLog: records, arrived });
  const each = Object.entries(arrived).map(([who, n]) => `${who} ${n}`).join(", ");
  console.log(`${name}: ${records} records in the log (${load.lines} ours); arrived: ${each}\n`);
}

function formatRun(run: Run): string {
  const rate = (n: number) => (n / run.seconds).toFixed(1);
  return [
    `CPU ${run.cpuMs.toFixed(0)} ms (ticks ${run.cpuTicksMs})`,
    `${rate(run.wakeUps)} wake-ups/s`,
    `RSS ${run.rssMB.toFixed(1)} MB (own ${run.ownDirtyMB.toFixed(1)} dirty, ` +
    `${run.ownCleanMB.toFixed(1)} clean; shared ${run.sharedMB.toFixed(1)})`,
    `up ${run.upBytes} B in ${run.upReads} reads, down ${run.downBytes} B in ${run.downReads}`,
    `${run.diskBytes} B to disk`,
  ].join("; ");
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Math.round(value * 1000) / 1000 : value;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
