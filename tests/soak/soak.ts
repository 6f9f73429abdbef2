/**
 * All of it together: a simulated fleet, two receivers with retention, a live grinder, an archiver that
 * archives, merges and deletes, readers; and every few seconds one of them is killed. In the end all is
 * drained and proof.ts says whether anything is lost or doubled.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Fleet } from "../fleet/fleet.ts";
import { seededRandom } from "../fleet/random.ts";
import { Mirror } from "./mirror.ts";
import { Programs } from "./programs.ts";
import { type Proof, prove } from "./proof.ts";
import { daysLimits, makeScaledTree, scaledLimits } from "./scaled_tree.ts";
import { Watchers } from "./watchers.ts";

export interface SoakOptions {
  /** An empty one. */
  folder: string;
  seconds: number;
  seed: number;
  devices: number;
  /** Of text, each device. */
  bytesPerSecond: number;
  /** So long the archiver stays away when it is killed for the first time. */
  awaySeconds: number;
  say: (text: string) => void;
}

export interface SoakReport {
  seed: number;
  seconds: number;
  /** By program. */
  kills: Record<string, number>;
  segments: number;
  archive: ArchiverCounts;
  /** Times that everything was read meanwhile, and by SQL. */
  reads: number;
  queries: number;
  proof: Proof;
  /** What is wrong; empty: nothing is lost or doubled. */
  problems: string[];
}

export interface ArchiverCounts {
  rounds: number;
  segments: number;
  records: number;
  merges: number;
  deletedSegments: number;
}

/** Between two kills, picked from the air: some come while the last one's victim still starts. */
const killMs = [300, 3_500] as const;
/** Back-off is at most a minute. */
const fleetStopMs = 90_000;

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { folder, seconds, seed, awaySeconds, say } = options;
  const data = join(folder, "data");
  mkdirSync(data, { recursive: true });
  const hours = makeScaledTree(join(folder, "hours"));
  const days = makeScaledTree(join(folder, "days"), daysLimits);
  const random = seededRandom(seed);
  const programs = new Programs({ data, hours, days, random, awaySeconds });
  const mirror = new Mirror(data, join(folder, "mirror"));
  await programs.startReceivers();
  const fleet = newFleet(options, data, programs.urls);
  await fleet.start();
  await programs.startRest();
  const watchers = new Watchers(data, hours, fleet.journal);
  await killSome(options, programs, watchers);
  const isComplete = await fleet.stop(fleetStopMs);
  const problems = [...watchers.problems];
  if (!isComplete) problems.push("the fleet has records that nobody acknowledged");
  say(`${fleet.stats().records} records written; draining`);
  problems.push(...await drain(programs));
  const drainedMs = performance.now();
  const proof = await prove({ data, mirror: mirror.end(), tree: hours, fleet });
  problems.push(...proof.problems);
  say("deleting what is archived");
  await sleepUntil(drainedMs + scaledLimits.archiveGraceMs);
  problems.push(...await programs.deleteAll(), ...await proof.again(), ...programs.fell());
  return {
    ...{ seed, seconds, kills: programs.kills(), segments: mirror.segments },
    ...{ archive: programs.archived(), reads: watchers.reads, queries: watchers.queries, proof },
    problems,
  };
}

async function killSome(
  { seconds, seed }: SoakOptions,
  programs: Programs,
  watchers: Watchers,
): Promise<void> {
  const random = seededRandom(~seed);
  const endMs = performance.now() + seconds * 1000;
  const watching = watchers.run(() => performance.now() < endMs);
  const [least, most] = killMs;
  while (performance.now() < endMs) {
    await sleep(least + random() * (most - least));
    await programs.killOne();
  }
  await watching;
}

/** All that was stored is archived and ground. */
async function drain(programs: Programs): Promise<string[]> {
  const killedMs = performance.now();
  const problems = await programs.stopReceivers();
  // Of a receiver that was killed the last segment is archived once it is taken for dead.
  await sleepUntil(killedMs + scaledLimits.archiveDeadMs + 1_000);
  return [...problems, ...await programs.drain()];
}

function sleepUntil(ms: number): Promise<void> {
  return sleep(Math.max(0, ms - performance.now()));
}

function newFleet(options: SoakOptions, data: string, receivers: string[]): Fleet {
  const { devices, bytesPerSecond, seed } = options;
  return new Fleet({
    ...{ receivers, devices, bytesPerSecond, seed },
    rebootSeconds: 60,
    crashSeconds: 90,
    cutSeconds: 20,
    allowList: join(data, "devices"),
    journalPath: join(data, "fleet.jsonl"),
  });
}
