/** One load of live streams in; what it cost a fresh receiver, and whether all of it is stored, out. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { LogFrames } from "./frames.ts";
import type { Load } from "./model.ts";
import { GeneratorProcess, ReceiverProcess, type Said, type Sample } from "./processes.ts";
import { checkStored, type Outcome, type Verdict } from "./stored.ts";

export interface StreamLoad {
  streams: number;
  /** Bytes of text a second, each. */
  rate: number;
  /** Milliseconds between frames, unless the receiver asks for more. */
  frame: number;
  /** Seconds in which they open, and for which all send then. */
  ramp: number;
  seconds: number;
}

export interface StreamRun extends Load {
  load: StreamLoad;
  /** Text to what was sent. */
  compression: number;
  /** Acknowledged while all were open, of what the devices said in that time. */
  ackedShare: number;
  refused: Record<string, number>;
  broken: Record<string, number>;
  resentRecords: number;
  latencyMs: { p50: number; p90: number; p99: number; max: number };
  cpuSecPerGB: number;
  generatorCpuSecPerGB: number;
  rssPeakMiB: number;
  rssMaxMiB: number;
  /** Streams by the flush time that they were asked for last. */
  flushMs: Record<string, number>;
  verdict: Verdict;
  alive: boolean;
}

/** Everything between the moment when all streams are open and the end. */
export async function runStreams(
  folder: string,
  load: StreamLoad,
  second: (said: Said, sample: Sample) => void = () => {},
): Promise<StreamRun> {
  const data = mkdtempSync(join(folder, "streams-"));
  const acked = join(data, "acked.json");
  const run: { receiver?: ReceiverProcess; newest?: { said: Said; sample: Sample } } = {};
  const generator = new GeneratorProcess("streams.ts", {
    ...load,
    allow: join(data, "devices"),
    acked,
  }, (said) => {
    if (said.event !== "second" || !run.receiver) return;
    run.newest = { said, sample: run.receiver.sample() };
    second(said, run.newest.sample);
  });
  const { compression } = await generator.event("ready");
  const receiver = run.receiver = await ReceiverProcess.start(data);
  try {
    generator.begin(receiver.url!);
    const said = await generator.event("steady");
    const steady = { said, sample: receiver.sample() };
    const done = await generator.event("done");
    const rssPeakMiB = receiver.running ? receiver.rssPeakMiB : NaN;
    const alive = receiver.running;
    if (!alive) console.error(receiver.said.slice(-2000));
    await receiver.stop();
    const outcome = JSON.parse(readFileSync(acked, "utf8")) as Outcome;
    const frames = new LogFrames(load.rate, load.frame);
    const verdict = await checkStored(data, frames, [outcome]);
    return {
      load,
      compression: compression as number,
      ...rates(load, steady, run.newest ?? steady),
      ...summary(done),
      rssPeakMiB,
      rssMaxMiB: Math.max(...receiver.samples.map((sample) => sample.rssMiB)),
      verdict,
      alive,
    };
  } finally {
    await receiver.stop();
    rmSync(data, { recursive: true, force: true });
  }
}

/** Between two moments: what came, a second, and what it cost. */
function rates(
  { streams, rate }: StreamLoad,
  from: { said: Said; sample: Sample },
  to: { said: Said; sample: Sample },
): Load & Pick<StreamRun, "cpuSecPerGB" | "ackedShare"> {
  const seconds = (to.sample.atMs - from.sample.atMs) / 1000;
  const each = (key: string) => (to.said[key] - from.said[key]) / seconds;
  const cpu = (to.sample.cpuMs - from.sample.cpuMs) / 1000 / seconds;
  const gigabytes = each("ackedBytes") / 1e9;
  return {
    cpu,
    gigabytes,
    chunks: each("frames"),
    acks: each("ackLines"),
    cpuSecPerGB: cpu / gigabytes,
    // With the headers of frames, and with what waited, it can pass 1.
    ackedShare: Math.min(1, gigabytes * 1e9 / (streams * rate)),
  };
}

function summary(done: Said) {
  return {
    refused: done["refused"],
    broken: done["broken"],
    resentRecords: done["resentRecords"],
    latencyMs: done["latencyMs"],
    generatorCpuSecPerGB: done["cpuMs"] / 1000 / (done["sentBytes"] / 1e9),
    flushMs: done["flushMs"],
  };
}
