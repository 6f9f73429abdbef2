/**
 * What has been seen of each stream, so that nothing is counted twice: two sets of seqs, *stored* and
 * *explained*. A gap record only ever adds to explained; a stored record beats a gap. And where its newest
 * records stand, for the time when a boot's last words come.
 */
import type { BlockHeader } from "../shared/block.ts";
import { IntervalSet } from "../shared/intervals.ts";
import { limits } from "../shared/limits.ts";
import type { Gap } from "../shared/record.ts";
import { type FramePlace, PlaceList } from "./place_list.ts";
import { SeenBatch } from "./seen_batch.ts";

export interface StreamSeen {
  stored: IntervalSet;
  explained: IntervalSet;
  places: PlaceList;
}

/** One stream. Not to be kept beyond a `saved` that has let streams go. */
export interface Stream extends StreamSeen {
  readonly id: number;
  readonly key: string;
  /** Behind the highest seq that is stored, those included that are only noted (`goesOn`). */
  next: number;
  /** The batch with its first change that is in the journal only (stream_store.ts). */
  since: number | undefined;
}

/** Where streams are kept between runs, and what of them isn't in memory: stream_store.ts. */
export interface StreamStore {
  load(key: string): StreamSeen & { id: number } | undefined;
  /** For a new stream. */
  newId(): number;
  /** The number of the batch that is saved next. */
  readonly nextBatch: number;
  /** Batches before this one are dropped from the journal when the next one is saved. */
  readonly keptFrom: number;
}

/** Filled at a time when there are too many: finding the oldest looks at all of them. */
const holesFilled = limits.intervalsMax / 10;

/**
 * A stream's sets and places are spread over a dozen places of memory, and the next block is another
 * stream's. So of a block that goes on where its stream ended only a row of the batch is written, and
 * `next` moved; `settle` does the rest for many at a time, before anybody looks.
 */
export class Seen {
  /** Holes that were closed because a stream had too many, since the last `saved`. */
  forgottenHoles = 0;
  readonly #streams = new Map<string, Stream>();
  /** Those of which something is in the journal only, longest first. */
  readonly #journaled = new Set<Stream>();
  #batch = new SeenBatch();
  /** Whose the batch's newest rows are, which aren't in the streams' sets and places yet. */
  readonly #noted: Stream[] = [];
  /** Journaled streams that are saved whole with this batch. */
  #due: Stream[] = [];

  constructor(
    private readonly store: StreamStore,
    private readonly cachedMax: number = limits.streamsCachedMax,
  ) {}

  /** A stream by its `streamKey`; a new one if it isn't known. */
  of(key: string): Stream {
    return this.find(key) ?? this.#create(key);
  }

  find(key: string): Stream | undefined {
    this.settle();
    const known = this.#streams.get(key);
    if (known) return known;
    const { id, stored, explained, places } = this.store.load(key) ?? {};
    if (id === undefined) return undefined;
    return this.#keep({ stored: stored!, explained: explained!, places: places! }, id, key);
  }

  /**
   * Takes note of first..last if they go on where the stream ended, and of where they stand (`place`) if
   * it is said; else false, and nothing is changed: it is to be asked by `addRange`.
   */
  goesOn(
    stream: Stream,
    first: number,
    last: number,
    frame: FramePlace | undefined,
    firstUsec: number,
    lastUsec: number,
  ): boolean {
    if (first !== stream.next) return false;
    stream.next = last + 1;
    this.#noted.push(stream);
    this.#batch.block(stream.id, first, last, frame, firstUsec, lastUsec);
    return true;
  }

  /** Brings all streams up to date. */
  settle(): void {
    const noted = this.#noted;
    if (noted.length === 0) return;
    const batch = this.#batch;
    const from = batch.length - noted.length;
    for (let i = 0; i < noted.length; i++) {
      const stream = noted[i]!;
      stream.stored.addIfNew(batch.first(from + i), batch.last(from + i));
      const frame = batch.frameOf(from + i);
      if (frame) stream.places.add(frame, batch.firstUsec(from + i), batch.lastUsec(from + i));
      this.#changed(stream, stream.stored);
    }
    noted.length = 0;
  }

  /**
   * Takes note of first..last if all of them are new. Else nothing is changed: all may have been `seen`,
   * or only `some`.
   */
  addRange(stream: Stream, first: number, last: number): "new" | "seen" | "some" {
    this.settle();
    const { stored } = stream;
    if (!stored.addIfNew(first, last)) return stored.covers(first, last) ? "seen" : "some";
    this.#batch.add(stream.id, first, last);
    this.#changed(stream, stored);
    stream.next = nextOf(stored);
    return "new";
  }

  /** Takes note of an ordinary record; true if it is new. */
  add(stream: Stream, seq: number): boolean {
    return this.addRange(stream, seq, seq) === "new";
  }

  explain(stream: Stream, gap: Gap): void {
    if (gap.first === undefined || gap.last === undefined || gap.last === "?") return;
    this.settle();
    stream.explained.add(gap.first, gap.last);
    this.#batch.add(-stream.id, gap.first, gap.last);
    this.#changed(stream, stream.explained);
  }

  /** Takes note of where records stand that were added last. The same frame is the same object. */
  place(stream: Stream, frame: FramePlace, firstUsec: number, lastUsec: number): void {
    this.settle();
    stream.places.add(frame, firstUsec, lastUsec);
    this.#batch.place(stream.id, frame, firstUsec, lastUsec);
    stream.since ??= this.#journal(stream);
  }

  /** What this batch changes, and the streams that are to be saved whole with it. */
  toSave(): { batch: SeenBatch; due: readonly Stream[] } {
    this.settle();
    const { keptFrom } = this.store;
    let over = this.#journaled.size - this.cachedMax;
    this.#due = [];
    for (const stream of this.#journaled) {
      if (stream.since! >= keptFrom && over-- <= 0) break;
      this.#due.push(stream);
    }
    return { batch: this.#batch, due: this.#due };
  }

  /** All of that is saved. True if streams were let go. */
  saved(): boolean {
    this.forgottenHoles = 0;
    this.#batch = new SeenBatch(this.#batch);
    for (const stream of this.#due) {
      this.#journaled.delete(stream);
      stream.since = undefined;
    }
    const before = this.#streams.size;
    for (const [key, { since }] of this.#streams) {
      if (this.#streams.size <= this.cachedMax) break;
      if (since === undefined) this.#streams.delete(key);
    }
    return this.#streams.size < before;
  }

  #create(key: string): Stream {
    const empty = {
      stored: new IntervalSet(),
      explained: new IntervalSet(),
      places: new PlaceList(),
    };
    const stream = this.#keep(empty, this.store.newId(), key);
    this.#batch.streams.push([stream.id, key]);
    stream.since = this.#journal(stream);
    return stream;
  }

  #keep({ stored, explained, places }: StreamSeen, id: number, key: string): Stream {
    const next = nextOf(stored);
    const stream: Stream = { id, key, next, since: undefined, stored, explained, places };
    this.#streams.set(key, stream);
    return stream;
  }

  #changed(stream: Stream, set: IntervalSet): void {
    stream.since ??= this.#journal(stream);
    if (set.size > limits.intervalsMax) this.#fillOldest(stream, set);
  }

  #journal(stream: Stream): number {
    this.#journaled.add(stream);
    return this.store.nextBatch;
  }

  /** Who makes so many holes harms himself: what still comes for them is taken for a repetition. */
  #fillOldest(stream: Stream, set: IntervalSet): void {
    const oldest = set.missing().slice(0, holesFilled);
    const [first, last] = [oldest[0]![0], oldest.at(-1)![1]];
    set.add(first, last);
    stream.next = nextOf(stream.stored);
    this.#batch.add(set === stream.stored ? stream.id : -stream.id, first, last);
    this.forgottenHoles += oldest.length;
  }
}

function nextOf(stored: IntervalSet): number {
  return stored.last === undefined ? 0 : stored.last + 1;
}

/** Names have no spaces. */
export function streamKey(header: Pick<BlockHeader, "device" | "source" | "stream">): string {
  return `${header.device} ${header.source} ${header.stream}`;
}
