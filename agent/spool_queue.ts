/**
 * The disk queue of one source, in two parts that are read side by side: what previous runs left, and
 * what this one appends behind it. When it is full its middle goes, a segment at a time:
 *
 * | part | how much | fate |
 * |------|----------|------|
 * | read | what is in memory, too, and not acknowledged yet | kept |
 * | the beginning | the older half of the segments | kept |
 * | the middle | what is behind those | evicted, oldest first; one gap record stands there |
 * | the newest | the rest | kept |
 *
 *     FOLDER/evicted.json   [{"to":SEGMENT,...}]: the gaps, each before the segment `to`
 *
 * An eager spool's is read at once, since memory has it, too: there the oldest of what is read goes first.
 * Its gap is said only if memory is lost before it is sent: by the next run.
 *
 * A gap is on disk before the segment goes that it stands for: killed in between, the segment's records
 * are there and explained as well, which says no more than that they are there.
 */
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { isName } from "../shared/block.ts";
import { DurableJson } from "../shared/durable_json.ts";
import { limits } from "../shared/limits.ts";
import {
  forEachRecord,
  formatRecord,
  gapRecord,
  isMeta,
  type LogRecord,
} from "../shared/record.ts";
import { DiskQueue, type Place, type QueuedEntry, QueueError } from "./disk_queue.ts";
import type { Entry } from "./queue_entry.ts";
import { isSameStream, QueueReader } from "./queue_reader.ts";
import type { StreamNames } from "./source.ts";

/** A segment is at most this part of the queue: the unit in which the middle goes. */
const segmentShare = 1 / 16;
/** Gap records within one hole that are said again; beyond it those in the middle go. */
const gapsKeptMax = 100;

/** What was evicted of one stream, without a segment that was kept in between. */
interface Hole {
  /** The segment behind it, whether or not that is there already. */
  to: number;
  names: StreamNames;
  /** Of the ordinary records; `usec` is the last one's. */
  range?: { first: number; last: number; count: number; usec: number };
  /** Gap records that were evicted, as text. */
  gaps: string[];
}

export interface SpoolQueueOptions {
  /** At least `limits.diskSpoolBytesMin`. */
  bytesMax?: number;
  /** What this run has read goes first when room is short. */
  eager?: boolean;
  warn?: (text: string) => void;
}

export class SpoolQueue implements AsyncDisposable {
  /** What previous runs left. */
  readonly leftovers: QueueReader;
  /** What this run appends. Acknowledged on disk only once the leftovers are. */
  readonly appended: QueueReader;
  readonly #saved: DurableJson<Hole[]>;
  #holes: Hole[] = [];
  /** Reading and evicting take turns: what is being read can't be taken away. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly queue: DiskQueue,
    private readonly options: SpoolQueueOptions,
  ) {
    const newest = queue.closedSegments.at(-1);
    const border = newest === undefined ? queue.start : { segment: newest + 1, offset: 0 };
    this.leftovers = new QueueReader(this, queue.start, border);
    this.appended = new QueueReader(this, border);
    this.leftovers.finished = newest === undefined;
    this.#saved = new DurableJson(join(queue.folder, "evicted.json"), {
      check: checkHoles,
      unreadable: "What was evicted from the spool shows as missing.",
      unsaved: "Nothing is evicted: the spool stays full.",
      warn: options.warn ?? (() => {}),
    });
  }

  /** Opens the queue that a folder holds, or a new one. One process at a time. */
  static async open(folder: string, options: SpoolQueueOptions = {}): Promise<SpoolQueue> {
    const bytesMax = options.bytesMax ?? limits.diskQueueBytesMax;
    if (!(bytesMax >= limits.diskSpoolBytesMin)) {
      throw new RangeError(
        `Cannot open the spool because it must have at least ${limits.diskSpoolBytesMin} bytes: ` +
          `current value is ${bytesMax}`,
      );
    }
    const segmentBytes = Math.min(limits.diskQueueSegmentBytes, bytesMax * segmentShare);
    const warn = options.warn ?? (() => {});
    const disk = await DiskQueue.open(folder, { bytesMax, segmentBytes, warn });
    const queue = new SpoolQueue(disk, options);
    queue.#holes = await queue.#saved.load() ?? [];
    return queue;
  }

  /** On disk and not acknowledged. */
  get bytes(): number {
    return this.queue.bytes;
  }

  /** Bytes that were passed over because they are damaged. */
  get damagedBytes(): number {
    return this.queue.damagedBytes;
  }

  /**
   * Adds records; resolves when they are durable. Throws `QueueError` when the disk fails, or when it
   * is full of what is read and of its beginning.
   */
  async append(entry: Entry): Promise<void> {
    for (;;) {
      try {
        return await this.queue.append([entry]);
      } catch (error) {
        const full = error instanceof QueueError && error.code === "queue_full";
        if (!full || !await this.#alone(() => this.#evict())) throw error;
      }
    }
  }

  /** A reader's next entries, holes among them. */
  next(reader: QueueReader): Promise<QueuedEntry[]> {
    return this.#alone(async () => {
      const { place, until } = reader;
      const some = (await this.queue.read(place))
        .filter(({ end }) => !until || end.segment < until.segment);
      // A hole's turn has come when what is behind it is read, or when there is nothing.
      const last = some.at(-1)?.end.segment ?? Infinity;
      const holes = this.#holes
        .filter((hole) => this.#readerOf(hole) === reader && !this.#isRead(hole) && hole.to <= last)
        .map(entryOf);
      const entries = [...some, ...holes].sort((a, b) => compare(a.end, b.end));
      reader.place = entries.at(-1)?.end ?? place;
      return entries;
    });
  }

  /** The last ordinary record of a stream that previous runs left, if there is one: it reads all of it. */
  async lastLeft(names: StreamNames): Promise<LogRecord | undefined> {
    let last: LogRecord | undefined;
    for (let place = this.leftovers.from;;) {
      const some = (await this.queue.read(place))
        .filter(({ end }) => end.segment < this.appended.from.segment);
      if (some.length === 0) return last;
      for (const entry of some.filter((one) => isSameStream(one.names, names))) {
        last = entry.records.findLast(({ flag }) => !isMeta(flag)) ?? last;
      }
      place = some.at(-1)!.end;
    }
  }

  /** To be called when a reader's acknowledged place has moved. */
  settle(): Promise<void> {
    const { leftovers, appended } = this;
    return this.queue.acknowledge(leftovers.finished ? appended.settled : leftovers.settled);
  }

  /** Nothing can be appended any more. */
  close(): Promise<void> {
    return this.queue.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** False: there was nothing that could go. */
  async #evict(): Promise<boolean> {
    const segment = this.#middle();
    if (segment === undefined) return false;
    const holes = this.#joined(segment, await this.#lostWith(segment));
    await this.#saved.save(holes);
    // It says nothing of a failure. What isn't explained on disk stays there.
    if (!isDeepStrictEqual(await this.#saved.load(), holes)) return false;
    if (holes.length > this.#holes.length) {
      this.options.warn?.(`${this.queue.folder} is full: records are evicted from its middle`);
    }
    this.#holes = holes;
    await this.queue.drop(segment);
    return true;
  }

  /**
   * The oldest that can go. Segments are counted, not measured: nearly all are of one size. The newest
   * stays, so that a hole always has one behind it, and no segment to come has a lower number.
   */
  #middle(): number | undefined {
    const closed = this.queue.closedSegments;
    return this.#oldestRead(closed) ??
      closed.slice(closed.length / 2, -1).find((segment) =>
        [this.leftovers, this.appended].every(({ from, place }) => {
          const isInPlace = segment === place.segment && place.offset > 0;
          return segment < from.segment || (segment >= place.segment && !isInPlace);
        })
      );
  }

  /** Of an eager spool, what this run has read: memory has it, too. */
  #oldestRead(closed: number[]): number | undefined {
    const { from, place } = this.appended;
    if (!this.options.eager) return undefined;
    return closed.find((segment) => segment >= from.segment && segment < place.segment);
  }

  async #lostWith(segment: number): Promise<Hole[]> {
    const lost: Hole[] = [];
    let place: Place = { segment, offset: 0 };
    for (;;) {
      const some = (await this.queue.read(place)).filter(({ end }) => end.segment === segment);
      if (some.length === 0) return lost;
      place = some.at(-1)!.end;
      for (const { names, records } of some) {
        const one = holeOf(segment + 1, names, records);
        const before = lost.findIndex((hole) => isSameStream(hole.names, names));
        if (before < 0) lost.push(one);
        else lost[before] = joinHoles(lost[before]!, one);
      }
    }
  }

  /** The holes when a segment goes, too. */
  #joined(segment: number, lost: Hole[]): Hole[] {
    const holes = this.#holes.filter(({ to }) => to > this.queue.start.segment);
    for (const one of lost) {
      const before = holes.findIndex((hole) =>
        isSameStream(hole.names, one.names) && this.#isRead(hole) === this.#isRead(one) &&
        hole.to <= segment &&
        !this.queue.closedSegments.some((kept) => kept >= hole.to && kept < segment)
      );
      if (before < 0) holes.push(one);
      else holes.push(joinHoles(...holes.splice(before, 1) as [Hole], one));
    }
    return holes;
  }

  #readerOf({ to }: Hole): QueueReader {
    return to <= this.appended.from.segment ? this.leftovers : this.appended;
  }

  #isRead(hole: Hole): boolean {
    return hole.to <= this.#readerOf(hole).place.segment;
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}

function holeOf(to: number, names: StreamNames, records: LogRecord[]): Hole {
  const gaps = records.filter(({ flag }) => flag === "g").map(formatRecord);
  const ordinary = records.filter(({ flag }) => !isMeta(flag));
  const [first, last] = [ordinary[0], ordinary.at(-1)];
  if (!first || !last) return { to, names, gaps };
  const range = { first: first.seq, last: last.seq, count: ordinary.length, usec: last.usec };
  return { to, names, range, gaps };
}

function joinHoles(a: Hole, b: Hole): Hole {
  const all = [...a.gaps, ...b.gaps];
  const gaps = all.length <= gapsKeptMax
    ? all
    : [...all.slice(0, gapsKeptMax / 2), ...all.slice(-gapsKeptMax / 2)];
  const range = a.range && b.range
    ? { ...b.range, first: a.range.first, count: a.range.count + b.range.count }
    : b.range ?? a.range;
  return { to: b.to, names: b.names, ...(range ? { range } : {}), gaps };
}

/** A hole as what is read in its place. */
function entryOf({ to, names, range, gaps }: Hole): QueuedEntry {
  const records: LogRecord[] = [];
  forEachRecord(gaps.join(""), (gap) => records.push(gap), () => {});
  if (range) {
    const { first, last, count, usec } = range;
    const before = records.findLastIndex(({ seq }) => seq <= first) + 1;
    const gap = gapRecord(last + 1, usec, { first, last, count, cause: "evicted" });
    records.splice(before, 0, gap);
  }
  return { names, records, end: { segment: to, offset: 0 } };
}

function checkHoles(value: unknown): Hole[] {
  for (const { to, names, range, gaps } of value as Hole[]) {
    const { first, last, count, usec } = range ?? { first: 0, last: 0, count: 0, usec: 0 };
    const good = [to, first, last, count, usec].every((n) => Number.isSafeInteger(n) && n >= 0) &&
      [names.boot, names.source, names.stream].every(isName) &&
      gaps.every((gap) => typeof gap === "string");
    if (!good) throw new Error("it isn't a list of gaps");
  }
  return value as Hole[];
}

function compare(a: Place, b: Place): number {
  return a.segment - b.segment || a.offset - b.offset;
}
