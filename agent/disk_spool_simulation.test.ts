/**
 * Random days of one machine: each run's stream goes through outages, full queues and failing disks, and
 * ends in a kill. The naive twin keeps sets: what was durable at the kill, and what was told of it.
 */
import { cpSync, mkdirSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { IntervalSet } from "../shared/intervals.ts";
import { limits } from "../shared/limits.ts";
import { gapRecord, isMeta, type LogRecord, parseGap } from "../shared/record.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { type Leftover, leftovers } from "./leftovers.ts";
import { SpoolQueue } from "./spool_queue.ts";
import { bytesMax, minute, Rig } from "./spool_rig.ts";

const seeds = 4;
const lives = 4;
/** Records: what the pipeline's memory holds before it has no room. */
const memoryMax = 60;

for (const eager of [false, true]) {
  test(
    `records of ${eager ? "an eager" : "a"} spool are stored or explained, in order, whatever is ` +
      "full, fails, and is killed",
    async () => {
      for (let seed = 1; seed <= seeds; seed++) await simulate(seed, eager);
    },
    seeds * 15_000,
  );
}

async function simulate(seed: number, eager: boolean): Promise<void> {
  const random = seededRandom(seed);
  const told = new Told();
  /** By stream: what was durable when it was killed. */
  const owed = new Map<string, IntervalSet>();
  let folder = new TemporaryFolder();
  for (let n = 0; n < lives; n++) {
    await using rig = await Rig.open(folder, bytesMax, eager);
    rig.inner.stream = `s${n}`;
    const life = new Life(rig, told, random);
    await life.run();
    repair(rig);
    // A kill: the disk is what it is at this moment, memory is gone.
    using before = folder;
    folder = new TemporaryFolder();
    owed.set(rig.inner.stream, IntervalSet.decode(life.durable.encode()));
    cpSync(before.path, folder.path, { recursive: true });
    // What would have become of it without: nothing at all is missing.
    const whole = await life.end();
    expect([seed, n, whole.intervals()]).toEqual([seed, n, [[0, rig.nextSeq - 1]]]);
  }

  using _last = folder;
  await using queue = await SpoolQueue.open(folder.path, { bytesMax });
  for await (const source of leftovers(queue, "b1")) {
    for (let some = await source.read(); some; some = await source.read()) {
      told.add(source.stream, some);
    }
  }
  expect(queue.bytes).toBe(0);
  for (const [stream, set] of owed) {
    for (const [first, last] of set.intervals()) {
      const isTold = told.of(stream).covers(first, last);
      expect([seed, stream, first, last, isTold]).toEqual([seed, stream, first, last, true]);
    }
  }
}

/** What a receiver knows of each stream: seqs that are stored or explained. */
class Told {
  readonly #streams = new Map<string, IntervalSet>();

  of(stream: string): IntervalSet {
    const set = this.#streams.get(stream) ?? new IntervalSet();
    this.#streams.set(stream, set);
    return set;
  }

  add(stream: string, records: LogRecord[]): void {
    addTo(this.of(stream), records);
  }
}

function addTo(set: IntervalSet, records: LogRecord[]): void {
  for (const record of records) {
    const gap = record.flag === "g" ? parseGap(record) : undefined;
    set.add(gap?.first ?? record.seq, (gap?.last as number) ?? record.seq);
  }
}

/** One run of the agent, with the test as its pipeline. */
class Life {
  /** What the queue said is on disk. */
  readonly durable = new IntervalSet();
  /** All that the pipeline has read. */
  readonly #read: LogRecord[] = [];
  readonly #memory: LogRecord[] = [];
  #offlineMs = 0;
  #reading = false;
  readonly #ship: AsyncGenerator<Leftover>;
  #leftover: Leftover | undefined;

  constructor(
    private readonly rig: Rig,
    private readonly told: Told,
    private readonly random: () => number,
  ) {
    this.#ship = leftovers(rig.queue, "b1");
    const { append } = rig.queue;
    rig.queue.append = async (entry) => {
      await append(entry);
      addTo(this.durable, entry.records);
    };
  }

  async run(): Promise<void> {
    const { rig, random } = this;
    const steps = 40 + Math.floor(random() * 80);
    const isGreedy = this.#chance(0.5);
    for (let step = 0; step < steps; step++) {
      if (this.#chance(0.1)) this.#offlineMs = this.#chance(0.7) ? 2 * minute : 0;
      this.#give();
      if (this.#chance(0.03)) breakDisk(rig);
      if (this.#chance(0.3)) repair(rig);
      await this.#takeSome();
      const isOnline = this.#offlineMs === 0;
      if (isOnline && (isGreedy || this.#chance(0.3))) await this.#acknowledgeSome();
      if (isOnline && (isGreedy || this.#chance(0.3))) await this.#shipSome();
      if (this.#chance(0.8)) await rig.clock.advance(random() * 2 * limits.offlineFlushMs);
      if (this.#chance(0.05)) await rig.clock.advance(limits.diskSpoolRetryMs);
      if (this.#chance(0.8)) await rig.quiet();
      else await turns(random() * 20);
    }
  }

  /** Closed in place of killed: all that was read, and all that still comes. */
  async end(): Promise<IntervalSet> {
    const { rig } = this;
    rig.spool.close();
    while (this.#reading) await rig.idle();
    const more = async () => (await Promise.all([rig.spool.read(), rig.idle()]))[0];
    for (let some = await more(); some; some = await more()) this.#read.push(...some);
    await rig.idle();
    expectInOrder(this.#read);
    const whole = new IntervalSet();
    addTo(whole, this.#read);
    return whole;
  }

  #give(): void {
    const { rig } = this;
    rig.giveTogether(Math.floor(this.random() * 20));
    if (!this.#chance(0.1)) return;
    // Some seqs have a gap of the source's own.
    const [first, last] = [rig.nextSeq, rig.nextSeq + 2];
    rig.nextSeq += 3;
    rig.inner.give([gapRecord(last + 1, 1, { first, last, count: 3, cause: "ratelimit" })]);
  }

  async #takeSome(): Promise<void> {
    const isFull = () => this.#memory.length > memoryMax;
    if (!this.#reading && isFull()) this.rig.spool.safe(this.#offlineMs);
    for (let n = 0; n < 5 && !this.#reading && !isFull(); n++) {
      this.#reading = true;
      void this.rig.spool.read().then((records = []) => {
        this.#memory.push(...records);
        this.#read.push(...records);
        this.#reading = false;
      });
      await turns(this.random() * 20);
    }
  }

  async #acknowledgeSome(): Promise<void> {
    const { rig, told } = this;
    const some = this.#memory.splice(0, Math.ceil(this.random() * this.#memory.length));
    told.add(rig.inner.stream, some);
    const last = some.findLast(({ flag }) => !isMeta(flag));
    if (last) await rig.spool.acknowledged(last.seq);
  }

  async #shipSome(): Promise<void> {
    if (!this.#leftover) {
      const next = await this.#ship.next();
      this.#leftover = next.done ? undefined : next.value;
    }
    const records = await this.#leftover?.read();
    if (!records) return void (this.#leftover = undefined);
    expectInOrder(records);
    this.told.add(this.#leftover!.stream, records);
    if (this.#chance(0.8)) await this.#leftover!.acknowledged(records.at(-1)!.seq);
  }

  #chance(probability: number): boolean {
    return this.random() < probability;
  }
}

/** The next segment can't be made. */
function breakDisk({ folder, files }: Rig): void {
  const newest = Math.max(0, ...files.map((name) => Number.parseInt(name) || 0));
  try {
    mkdirSync(join(folder, `${`${newest + 1}`.padStart(8, "0")}.queue`));
  } catch {
    // It is just being made.
  }
}

function repair({ folder, files }: Rig): void {
  for (const name of files) {
    const isInTheWay = statSync(join(folder, name), { throwIfNoEntry: false })?.isDirectory();
    if (isInTheWay) rmdirSync(join(folder, name));
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((next) => setImmediate(next));
}

/** Ordinary records ascend, each once. */
function expectInOrder(records: LogRecord[]): void {
  const seqs = records.filter(({ flag }) => !isMeta(flag)).map(({ seq }) => seq);
  expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
}
