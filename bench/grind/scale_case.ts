/** One case on a stored corpus: ground some times for speed, and once more for what commits take. */
import { existsSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../tests/programs.ts";
import { GrinderProcess } from "./grinder_process.ts";
import { grind } from "./grinder_run.ts";
import { median, round } from "./report.ts";

export interface ScaleCase {
  devices: number;
  /** Of lines, in percent. */
  matching: number;
  blockBytes: number;
  rules: number;
  /** The grinder's other threads. */
  workers: number;
}

export interface ScaleRow extends ScaleCase {
  /** Of each round. */
  seconds: number[];
  mbPerSecond: number;
  cpuSecondsPerGB: number;
  rssMiB: number;
  events: number;
  /** Of the state file at the end. */
  stateBytes: number;
  commits: number;
  /** The median's, and the longest. */
  commitMs: number;
  commitMsMax: number;
}

export interface Measured extends ScaleCase {
  /** With `data` and `rules.ts`. */
  folder: string;
  textBytes: number;
  rounds: number;
}

export async function measure(options: Measured): Promise<ScaleRow> {
  const { folder, textBytes, rounds, ...one } = options;
  const runs = [];
  for (let i = 0; i < rounds; i++) {
    runs.push(await grind(folder, "--workers", String(one.workers)));
  }
  const { stateBytes, allMs } = await timeCommits(folder, one.workers);
  const seconds = runs.map((run) => run.seconds);
  const cpuSeconds = median(runs.map((run) => run.cpuSeconds));
  return {
    ...one,
    seconds: seconds.map((s) => round(s, 3)),
    mbPerSecond: round(textBytes / 1e6 / median(seconds), 1),
    cpuSecondsPerGB: round(cpuSeconds / (textBytes / 1e9), 3),
    rssMiB: round(Math.max(...runs.map((run) => run.rssMiB))),
    events: runs[0]!.events,
    stateBytes,
    commits: allMs.length,
    commitMs: round(median(allMs), 2),
    commitMsMax: round(Math.max(...allMs), 2),
  };
}

/** In a run of its own, so that it costs the others nothing. */
async function timeCommits(folder: string, workers: number) {
  const out = join(folder, "timed");
  const grinder = await GrinderProcess.start({
    preload: join(root, "bench/grind/time_commits.ts"),
    options: [
      ...["--data", join(folder, "data"), "--rules", join(folder, "rules.ts"), "--out", out],
      ...["--once", "--workers", String(workers)],
    ],
  });
  await grinder.exited();
  const said = /^commits (.*)$/m.exec(grinder.output);
  if (!said) throw new Error(`the grinder didn't say what its commits took:\n${grinder.output}`);
  const files = ["grinder.sqlite", "grinder.sqlite-wal"].map((name) => join(out, name));
  const stateBytes = files.reduce(
    (sum, path) => sum + (existsSync(path) ? statSync(path).size : 0),
    0,
  );
  rmSync(out, { recursive: true });
  return { stateBytes, allMs: JSON.parse(said[1]!) as number[] };
}
