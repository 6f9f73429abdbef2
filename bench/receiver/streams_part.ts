/**
 * What live streams cost the receiver: the article's peak, ten thousand that are open and idle, the cost of
 * a chunk, of an acknowledgement and of a gigabyte, and how the receiver adapts to many small frames.
 */
import { fitModel, type Model, predict } from "./model.ts";
import { runStreams, type StreamLoad, type StreamRun } from "./stream_run.ts";

export const steps = ["peak", "idle", "cost", "adaptation"] as const;
type Step = typeof steps[number];

export interface StreamsOptions {
  steps: readonly Step[];
  folder: string;
  seconds: number;
  streams: number;
  print: (text: string) => void;
}

/** What was asked for, and only that. */
export interface StreamsResult {
  peak?: StreamRun;
  idle?: StreamRun;
  model?: Model;
  fleet?: FleetCost[];
  adaptation?: Adapted[];
  lost: number;
}

/** The article's fleet at a flush time, by the model. */
export interface FleetCost {
  flushMs: number;
  chunks: number;
  acks: number;
  cores: number;
}

interface Adapted {
  second: number;
  open: number;
  chunks: number;
  cpu: number;
  rssMiB: number;
  /** What most of the streams were asked for last; 0: nothing. */
  flushMs: number;
}

const fleetDevices = 100_000;
const fleetRate = 579;
const heartbeat = { rate: 3, frame: 30_000 };
/** Loads that differ in one thing each; small enough that the receiver doesn't ask for larger frames. */
const modelLoads: Array<Pick<StreamLoad, "streams" | "rate" | "frame">> = [
  { streams: 2_000, rate: 8_000, frame: 1_000 },
  { streams: 2_000, rate: 2_000, frame: 1_000 },
  { streams: 1_000, rate: 4_000, frame: 250 },
  { streams: 500, rate: 4_000, frame: 250 },
  { streams: 250, rate: 64_000, frame: 1_000 },
  { streams: 4_000, rate: 579, frame: 1_000 },
];
const modelSeconds = 10;

export async function streamsPart(options: StreamsOptions): Promise<StreamsResult> {
  const result: StreamsResult = { lost: 0 };
  for (const step of options.steps) {
    const { run, ...found } = await runStep[step](options);
    Object.assign(result, found);
    for (const { verdict } of run) result.lost += verdict.lost + verdict.wrong;
  }
  return result;
}

type Found = Omit<StreamsResult, "lost"> & { run: StreamRun[] };

const runStep: Record<Step, (options: StreamsOptions) => Promise<Found>> = {
  async peak({ folder, streams, seconds, print }) {
    const load = { streams, rate: 8_000, frame: 1_000, ramp: 30, seconds };
    const peak = await runStreams(folder, load);
    print(`peak: ${describe(peak)}`);
    print(`  80 MB/s by that: ${(0.08 * peak.cpuSecPerGB).toFixed(2)} cores`);
    return { peak, run: [peak] };
  },
  async idle({ folder, streams, print }) {
    // Long enough that each has said something.
    const load = { streams, ...heartbeat, ramp: 5, seconds: 35 };
    const idle = await runStreams(folder, load);
    print(`idle: ${describe(idle)}`);
    return { idle, run: [idle] };
  },
  async cost({ folder, seconds, print }) {
    const run: StreamRun[] = [];
    for (const load of modelLoads) {
      const all = { ...load, ramp: 2, seconds: Math.min(seconds, modelSeconds) };
      run.push(await runStreams(folder, all));
      print(`cost: ${describe(run.at(-1)!)}`);
    }
    const model = fitModel(run);
    const fleet = [200, 1_000, 2_000, 5_000, 10_000].map((flushMs) => fleetCost(model, flushMs));
    print(`${modelText(model)}\n${fleetTable(fleet)}`);
    return { model, fleet, run };
  },
  async adaptation(options) {
    const { run, steps } = await adapt(options);
    options.print(`adaptation: ${describe(run)}\n${adaptationTable(steps)}`);
    return { adaptation: steps, run: [run] };
  },
};

/** 100,000 devices: each says something every second or so, hence a chunk in each flush time. */
function fleetCost(model: Model, flushMs: number): FleetCost {
  const perSecond = 1_000 / flushMs;
  const chunks = fleetDevices * perSecond;
  const acks = fleetDevices * Math.min(1, perSecond);
  const gigabytes = fleetDevices * fleetRate / 1e9;
  return { flushMs, chunks, acks, cores: predict(model, { chunks, acks, gigabytes }) };
}

/** From 100 streams to all of them, at the agent's own 200 ms. */
async function adapt({ folder, seconds, streams }: StreamsOptions) {
  const found: Adapted[] = [];
  let before: { frames: number; cpuMs: number; atMs: number } | undefined;
  const load = { streams, rate: fleetRate, frame: 200, ramp: seconds, seconds: 10 };
  const run = await runStreams(folder, load, (said, { cpuMs, rssMiB, atMs }) => {
    const { second, open, frames } = said as unknown as Adapted & { frames: number };
    if (before) {
      const passed = (atMs - before.atMs) / 1000;
      found.push({
        second,
        open,
        chunks: (frames - before.frames) / passed,
        cpu: (cpuMs - before.cpuMs) / 1000 / passed,
        rssMiB,
        flushMs: mostAsked(said["flushMs"]),
      });
    }
    before = { frames, cpuMs, atMs };
  });
  return { run, steps: found };
}

function mostAsked(flushMs: Record<string, number>): number {
  const [most] = Object.entries(flushMs).toSorted(([, a], [, b]) => b - a);
  return Number(most?.[0] ?? 0);
}

function describe(run: StreamRun): string {
  const { load, latencyMs, verdict } = run;
  const share = (x: number) => `${(100 * x).toFixed(1)} %`;
  return [
    `${load.streams} streams of ${load.rate} B/s, frames of ${load.frame} ms, ${load.seconds} s`,
    `${(1000 * run.gigabytes).toFixed(1)} MB/s, ${run.chunks.toFixed(0)} chunks/s, ` +
    `${run.acks.toFixed(0)} acks/s; ${
      share(run.ackedShare)
    } of what was said is acknowledged in time`,
    `receiver ${share(run.cpu)} of a core, ${run.cpuSecPerGB.toFixed(2)} s/GB, ` +
    `RSS ${run.rssMaxMiB.toFixed(0)} MiB (peak ${run.rssPeakMiB.toFixed(0)})` +
    `${run.alive ? "" : ", it DIED"}; generator ${run.generatorCpuSecPerGB.toFixed(2)} s/GB`,
    `ack p50 ${latencyMs.p50} ms, p90 ${latencyMs.p90}, p99 ${latencyMs.p99}, max ${latencyMs.max}`,
    `refused ${JSON.stringify(run.refused)}, broken ${JSON.stringify(run.broken)}, ` +
    `flush_ms ${JSON.stringify(run.flushMs)}`,
    `${verdict.storedRecords} records stored, ${verdict.ackedRecords} acknowledged, ` +
    `lost ${verdict.lost}, doubled ${verdict.doubled} (resent ${run.resentRecords}), ` +
    `wrong ${verdict.wrong}, damaged ${verdict.damaged}; ` +
    `text : segments ${(verdict.textBytes / verdict.segmentBytes).toFixed(2)}, ` +
    `text : upload ${run.compression}`,
  ].join("\n  ");
}

function modelText(model: Model): string {
  return `cost: a chunk ${model.chunkUs.toFixed(1)} us, an acknowledgement ${
    model.ackUs.toFixed(1)
  } ` +
    `us, a GB of text ${model.gigabyteSec.toFixed(2)} s, idle ${
      (100 * model.idle).toFixed(1)
    } % of a ` +
    `core; off by ${(100 * model.worstError).toFixed(0)} % at most`;
}

function fleetTable(costs: FleetCost[]): string {
  return [
    `${fleetDevices} devices of ${fleetRate} B/s (${
      fleetDevices * fleetRate / 1e6
    } MB/s), by that:`,
    "| flush_ms | chunks/s | acks/s | cores |",
    "| --: | --: | --: | --: |",
    ...costs.map((c) => `| ${c.flushMs} | ${c.chunks} | ${c.acks} | ${c.cores.toFixed(2)} |`),
  ].join("\n");
}

function adaptationTable(steps: Adapted[]): string {
  return [
    "| second | open | chunks/s | CPU, % of a core | RSS, MiB | flush_ms asked for |",
    "| --: | --: | --: | --: | --: | --: |",
    ...steps.filter((_, i) => i % 3 === 0).map((s) =>
      `| ${s.second} | ${s.open} | ${s.chunks.toFixed(0)} | ${(100 * s.cpu).toFixed(0)} | ` +
      `${s.rssMiB.toFixed(0)} | ${s.flushMs || "-"} |`
    ),
  ].join("\n");
}
