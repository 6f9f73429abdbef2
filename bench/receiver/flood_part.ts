/**
 * A city comes back: devices with a minute's backlog each, all within seconds, more of them than there
 * are open files. How long it takes, what it costs, who waits, and whether all of it is stored; once
 * with the disk as it is and once with a slow one.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../shared/limits.ts";
import { LogFrames } from "./frames.ts";
import { GeneratorProcess, ReceiverProcess, type Said, type Sample } from "./processes.ts";
import { checkStored, type Outcome, type Verdict } from "./stored.ts";
import { noThrottle, Throttle } from "./throttle.ts";

export interface FloodOptions {
  folder: string;
  devices: number;
  /** Seconds; then the generators give up. */
  most: number;
  print: (text: string) => void;
}

export interface FloodResult {
  devices: number;
  /** Through with all of their backlog. */
  done: number;
  drainSec: number;
  textMBPerSec: number;
  cpuSecPerGB: number;
  rssPeakMiB: number;
  /** Samples once a second: flat, or not. */
  rssMiB: number[];
  refused: Record<string, number>;
  broken: Record<string, number>;
  /** Of all tries. */
  refusedShare: number;
  /** From coming back until all was durable, s. */
  doneSec: { fastestTenth: number; p50: number; slowestTenth: number; max: number };
  verdict: Verdict;
  resentRecords: number;
  alive: boolean;
}

/** Each has 20,000 open files, and so has the receiver: together they want more than it can have. */
const generators = 2;
const rate = 579;
const slowBytesPerSec = 10_000_000;

export async function floodPart(
  options: FloodOptions,
): Promise<{ fast: FloodResult; slow: FloodResult | { skipped: string }; lost: number }> {
  const { folder, print } = options;
  const fast = await flood(options);
  print(`flood: ${describe(fast)}`);
  const without = noThrottle(folder);
  const slow = without ? { skipped: without } : await slowFlood(options);
  print(
    `flood, disk of 10 MB/s: ${"skipped" in slow ? `skipped: ${slow.skipped}` : describe(slow)}`,
  );
  const both = [fast, ...("skipped" in slow ? [] : [slow])];
  return { fast, slow, lost: both.reduce((sum, { verdict: v }) => sum + v.lost + v.wrong, 0) };
}

async function slowFlood(options: FloodOptions): Promise<FloodResult> {
  using throttle = new Throttle(options.folder, slowBytesPerSec);
  return await flood(options, (pid) => throttle.add(pid));
}

async function flood(
  { folder, devices, most }: FloodOptions,
  started: (pid: number) => void = () => {},
): Promise<FloodResult> {
  const data = mkdtempSync(join(folder, "flood-"));
  const shares = Array.from({ length: generators }, (_, i) => {
    const first = Math.floor(devices * i / generators);
    const end = Math.floor(devices * (i + 1) / generators);
    const files = { allow: join(data, `devices.${i}`), acked: join(data, `acked.${i}`) };
    return { first, devices: end - first, ...files };
  });
  const processes = shares.map((share) =>
    new GeneratorProcess("flood.ts", { ...share, rate, most })
  );
  for (const one of processes) await one.event("ready");
  const lists = shares.map(({ allow }) => readFileSync(allow, "utf8"));
  writeFileSync(join(data, "devices"), lists.join(""));
  const receiver = await ReceiverProcess.start(data, "--host", "0.0.0.0");
  started(receiver.child.pid!);
  try {
    const before = receiver.sample();
    for (const one of processes) one.begin(receiver.url!.replace("0.0.0.0", "127.0.0.1"));
    const done = await Promise.all(processes.map((one) => one.event("done")));
    const alive = receiver.running;
    const after = alive ? receiver.sample() : receiver.samples.at(-1)!;
    const rssPeakMiB = alive ? receiver.rssPeakMiB : NaN;
    if (!alive) console.error(receiver.said.slice(-2000));
    await receiver.stop();
    const outcomes = shares.map(({ acked }) => JSON.parse(readFileSync(acked, "utf8")) as Outcome);
    const frames = new LogFrames(rate, limits.offlineFlushMs);
    const verdict = await checkStored(data, frames, outcomes);
    const rssMiB = receiver.samples.filter((_, i) => i % 4 === 0).map((one) => one.rssMiB);
    return { ...result(done, outcomes, before, after), rssMiB, rssPeakMiB, verdict, alive };
  } finally {
    await receiver.stop();
    rmSync(data, { recursive: true, force: true });
  }
}

function result(done: Said[], outcomes: Outcome[], before: Sample, after: Sample) {
  const sum = (key: string) => done.reduce((total, one) => total + one[key], 0);
  const times = outcomes.flatMap((one) => one.doneMs!).filter((ms) => ms >= 0)
    .map((ms) => ms / 1000).toSorted((a, b) => a - b);
  const tenth = Math.max(1, Math.floor(times.length / 10));
  const mean = (some: number[]) => some.reduce((total, one) => total + one, 0) / some.length;
  const refused = added(done.map((one) => one["refused"]));
  const refusals = Object.values(refused).reduce((total, n) => total + n, 0);
  const drainSec = Math.max(...done.map((one) => one["seconds"]));
  return {
    devices: outcomes.reduce((total, one) => total + one.acked.length, 0),
    done: times.length,
    drainSec,
    textMBPerSec: sum("ackedBytes") / 1e6 / drainSec,
    cpuSecPerGB: (after.cpuMs - before.cpuMs) / 1000 / (sum("ackedBytes") / 1e9),
    refused,
    broken: added(done.map((one) => one["broken"])),
    refusedShare: refusals / (refusals + times.length),
    resentRecords: sum("resentRecords"),
    doneSec: {
      fastestTenth: mean(times.slice(0, tenth)),
      p50: times[Math.floor(times.length / 2)] ?? NaN,
      slowestTenth: mean(times.slice(-tenth)),
      max: times.at(-1) ?? NaN,
    },
  };
}

function added(counts: Array<Record<string, number>>): Record<string, number> {
  const all: Record<string, number> = {};
  for (const [code, n] of counts.flatMap((one) => Object.entries(one))) {
    all[code] = (all[code] ?? 0) + n;
  }
  return all;
}

function describe(r: FloodResult): string {
  const { verdict: v, doneSec: t } = r;
  return [
    `${r.devices} devices, ${r.done} through after ${r.drainSec} s: ` +
    `${r.textMBPerSec.toFixed(1)} MB/s of text, ${r.cpuSecPerGB.toFixed(1)} CPU s/GB` +
    `${r.alive ? "" : "; the receiver DIED"}`,
    `RSS peak ${r.rssPeakMiB.toFixed(0)} MiB; each second ${r.rssMiB.map(Math.round).join(" ")}`,
    `refused ${(100 * r.refusedShare).toFixed(1)} % of all tries: ${JSON.stringify(r.refused)}, ` +
    `broken ${JSON.stringify(r.broken)}`,
    `from back to done: fastest tenth ${t.fastestTenth.toFixed(1)} s, median ${
      t.p50.toFixed(1)
    }, ` +
    `slowest tenth ${t.slowestTenth.toFixed(1)}, the last ${t.max.toFixed(1)}`,
    `${v.storedRecords} records stored, ${v.ackedRecords} acknowledged, lost ${v.lost}, ` +
    `doubled ${v.doubled} (resent ${r.resentRecords}), wrong ${v.wrong}, damaged ${v.damaged}`,
  ].join("\n  ");
}
