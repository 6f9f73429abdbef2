/**
 * The engine: cases by number, in batches, against a receiver; complaints and counts come out. A batch
 * runs at once, so that cases meet in commits, slots and bytes as they would in life.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Block } from "../../shared/block.ts";
import { settle } from "../fixtures.ts";
import { type Case, type Changes, drawCase } from "./cases.ts";
import { judge, markers, Stored } from "./judge.ts";
import { newRig, type Rig } from "./rig.ts";
import { type Answer, send } from "./send.ts";
import { theWorld, type World } from "./senders.ts";
import { blocksOf, folderStore, MemoryStore, type Store } from "./store.ts";

export const batchCases = 64;
/** Every so manieth batch has too few slots and bytes for all; every so manieth goes to a folder. */
const tightEvery = 8;
const folderEvery = 16;
/** No batch takes so long, on whatever machine: what hasn't settled then never will. */
const hangMs = 30_000;
const sliceMs = 500;
/**
 * Beyond what there was when warm. A bomb of 256 MiB at full speed leaves up to 500 MiB for the collector,
 * and falls back; what leaks doesn't.
 */
const growthBytesMax = 768 * 2 ** 20;
/** Before it memory grows: code is compiled, pools are filled. */
const warmBatches = 100;

export interface FuzzOptions {
  seed: number;
  /** Numbers `from` up to, not including, `to`. */
  from: number;
  to: number;
  /** Where some batches are stored. */
  folder: string;
  changes?: Changes;
  onBatch?: (report: FuzzReport) => void;
  /** Stop after so many complaints. */
  failuresMax?: number;
}

export interface Failure {
  number: number;
  complaint: string;
}

export class FuzzReport {
  cases = 0;
  failures: Failure[] = [];
  /** How often each outcome came of each mutation. */
  readonly outcomes = new Map<string, Map<string, number>>();
  storedBytes = 0;
  rssWarmBytes = 0;
  rssMaxBytes = 0;
  rssEndBytes = 0;

  count(names: string[], outcome: string): void {
    this.cases++;
    for (const name of names.length > 0 ? names : ["none"]) {
      const counts = this.outcomes.get(name) ?? new Map<string, number>();
      this.outcomes.set(name, counts.set(outcome, (counts.get(outcome) ?? 0) + 1));
    }
  }

  /** Returns how far memory has grown since it was warm. */
  sampleMemory(): number {
    this.rssEndBytes = process.memoryUsage.rss();
    this.rssMaxBytes = Math.max(this.rssMaxBytes, this.rssEndBytes);
    return this.rssWarmBytes === 0 ? 0 : this.rssEndBytes - this.rssWarmBytes;
  }
}

export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const report = new FuzzReport();
  const world = await theWorld();
  // Its own: what another run has stored there is nobody's here.
  const folder = mkdtempSync(join(options.folder, "run-"));
  const rigs = new Rigs(world, folder);
  const rejections: string[] = [];
  const note = (reason: unknown) => void rejections.push(`unhandled rejection: ${reason}`);
  process.on("unhandledRejection", note);
  let batches = 0;
  for (let from = options.from; from < options.to;) {
    const to = Math.min(options.to, from + batchCases - from % batchCases);
    await runBatch(options, report, world, await rigs.of(Math.floor(from / batchCases)), from, to);
    for (const complaint of rejections.splice(0)) report.failures.push({ number: from, complaint });
    from = to;
    if (batches++ === warmBatches) report.rssWarmBytes = process.memoryUsage.rss();
    const grownBytes = report.sampleMemory();
    if (grownBytes > growthBytesMax) {
      report.failures.push({ number: from, complaint: `memory has grown by ${grownBytes} bytes` });
    }
    options.onBatch?.(report);
    if (report.failures.length >= (options.failuresMax ?? 20)) break;
  }
  await rigs.stop(report);
  rmSync(folder, { recursive: true, force: true });
  process.off("unhandledRejection", note);
  return report;
}

interface Kind {
  rig: Rig;
  store: Store;
  tight: boolean;
}

/** The receivers of a run: each is used again and again, so that what it leaks adds up. */
class Rigs {
  readonly #made = new Map<string, Kind>();

  constructor(private readonly world: World, private readonly folder: string) {}

  async of(batch: number): Promise<Kind> {
    const tight = batch % tightEvery === tightEvery - 1;
    const inFolder = batch % folderEvery < 2;
    const key = `${tight ? "tight" : "roomy"}-${inFolder ? "folder" : "memory"}`;
    const kind = this.#made.get(key) ?? await this.#make(key, tight, inFolder);
    this.#made.set(key, kind);
    return kind;
  }

  async #make(key: string, tight: boolean, inFolder: boolean): Promise<Kind> {
    const store = inFolder ? await folderStore(join(this.folder, key)) : new MemoryStore();
    return { rig: newRig(this.world, store, tight), store, tight };
  }

  async stop(report: FuzzReport): Promise<void> {
    const { failures } = report;
    await Promise.all(Array.from(this.#made, async ([key, { rig }]) => {
      // Whatever holds a stream has been told of: it isn't waited for as long again.
      const stopped = await within(rig.stop(), failures.length === 0 ? hangMs : 2_000);
      if (!stopped) failures.push({ number: 0, complaint: `${key} doesn't stop` });
    }));
  }
}

async function runBatch(
  { seed, changes }: FuzzOptions,
  report: FuzzReport,
  world: World,
  { rig, store, tight }: Kind,
  from: number,
  to: number,
): Promise<void> {
  const cases: Case[] = [];
  for (let number = from; number < to; number++) cases.push(drawCase(seed, number, world, changes));
  const fail = (number: number, complaint: string) => report.failures.push({ number, complaint });
  const answers = await sendAll(cases, rig, fail);
  const held = await heldInTheEnd(rig);
  if (held) fail(from, `not given back: ${held}`);
  const stored = await readBack(store, cases, fail);
  for (const [i, { upload }] of cases.entries()) {
    const answer = answers[i];
    const own = stored.get(upload.number)!;
    for (const complaint of judge(upload, answer, own, tight)) fail(upload.number, complaint);
    report.count(upload.mutations, answer ? `${answer.status} ${answer.outcome}` : "left");
    report.storedBytes += own.bytes;
  }
}

/** Who doesn't wait for its answer is gone before its upload is stored. */
async function heldInTheEnd(rig: Rig): Promise<string | undefined> {
  await settle();
  for (let turn = 0; rig.held() && turn < hangMs / 5; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return rig.held();
}

/** Cuts those that never end when all others have settled. */
async function sendAll(
  cases: Case[],
  rig: Rig,
  fail: (number: number, complaint: string) => void,
): Promise<Array<Answer | undefined>> {
  const sent = cases.map((one) => {
    const { answer, cut } = send(one, rig.fetch);
    const { number } = one.upload;
    const told = answer.catch((error) => void fail(number, `the handler threw ${error}`));
    return { number, told, cut, endless: one.upload.ending === "never", settled: false };
  });
  for (const one of sent) void one.told.then(() => one.settled = true);
  const ending = sent.filter(({ endless }) => !endless);
  if (!await within(Promise.all(ending.map(({ told }) => told)))) {
    for (const one of ending) if (!one.settled) fail(one.number, "never settled");
  }
  for (const { cut } of sent) cut();
  await within(Promise.all(sent.map(({ told }) => told)));
  for (const one of sent) if (one.endless && !one.settled) fail(one.number, "never settled, cut");
  return await Promise.all(sent.map(({ told, settled }) => settled ? told : undefined));
}

/** What is stored, by the case that it belongs to. */
async function readBack(
  store: Store,
  cases: Case[],
  fail: (number: number, complaint: string) => void,
): Promise<Map<number, Stored>> {
  const found = new Map(cases.map(({ upload }) => [upload.number, new Stored(upload)]));
  const first = cases[0]!.upload.number;
  try {
    for await (const frame of store.news()) {
      for (const block of blocksOf(frame)) {
        const stored = found.get(ownerOf(block, cases) ?? NaN);
        if (stored) stored.add(block);
        else fail(first, `stored, and nobody sent it: ${block.header.device}`);
      }
    }
  } catch (error) {
    fail(first, (error as Error).message);
  }
  return found;
}

/** By the boot, where a mutation left it; else by the markers in it; else by its device. */
function ownerOf({ header, text }: Block, cases: Case[]): number | undefined {
  const first = cases[0]!.upload.number;
  const isOurs = (number: number) => number >= first && number < first + cases.length;
  const byBoot = /^b(\d{1,9})$/.exec(header.boot);
  if (byBoot && isOurs(+byBoot[1]!)) return +byBoot[1]!;
  for (const { number } of markers(text)) if (isOurs(number)) return number;
  return cases.find(({ upload }) => upload.sender.name === header.device)?.upload.number;
}

/**
 * Whether a promise settles before it must be taken for one that hangs. The time goes by in slices: a
 * machine that stood still for all of it has used up one of them.
 */
async function within(promise: Promise<unknown>, ms = hangMs): Promise<boolean> {
  let settled = false;
  const told = promise.then(() => settled = true);
  for (let leftMs = ms; leftMs > 0 && !settled; leftMs -= sliceMs) {
    let timer: ReturnType<typeof setTimeout>;
    const late = new Promise((resolve) => timer = setTimeout(resolve, sliceMs));
    await Promise.race([told, late]).finally(() => clearTimeout(timer));
  }
  return settled;
}
