/**
 * Hot segments to their frames as they are stored, for others to decode: of several epochs each goes on
 * where it is behind, so that what comes is about in the order of receiving.
 *
 * Nobody knows when a frame was received before it is decoded. So whoever takes them says it afterwards
 * (`heard`), some frames late: so far the order is off.
 */
import { type Read, readExtent, type Suspect } from "../../shared/segment_reader.ts";
import { limits } from "../../shared/limits.ts";
import { type Cursors, epochKey, type Extent, type Storage } from "../../shared/storage/storage.ts";
import { ahead } from "../reading/ahead.ts";
import { selectExtents } from "../history/select_frames.ts";
import type { TimeRange } from "../history/time_range.ts";
import type { GramFilter, Skippable } from "./gram_filter.ts";

/** A frame, or several that needn't be read. */
export interface HotRead extends Read {
  skipped?: Skippable;
}

/** Frames that needn't be read; or an extent, from a place on. */
type Piece = { skipped: HotRead } | { extent: Extent; from: number };
/** With what it is to be read from: maybe it is there already. */
type Fetched = { skipped: HotRead } | { extent: Extent; from: number; storage: Readable };
type Readable = Pick<Storage, "read">;

interface Epoch {
  key: string;
  extents: readonly Extent[];
  reads: AsyncGenerator<HotRead>;
  hasEnded: boolean;
  /** What it gives next was received about then. */
  fromUs: number;
}

export class HotReads {
  readonly storedBytesTotal: number;
  readonly #epochs: Epoch[];

  private constructor(
    private readonly storage: Storage,
    extents: readonly Extent[],
    from: Cursors,
    private readonly filter?: GramFilter,
  ) {
    const offsets = extents.map((extent) => offsetOf(extent, from));
    this.storedBytesTotal = extents.reduce((sum, { length }, i) => sum + length - offsets[i]!, 0);
    this.#epochs = [...Map.groupBy(extents, epochKey)].map(([key, extents]) => ({
      key,
      extents,
      reads: this.#read(extents, offsetOf(extents[0]!, from)),
      hasEnded: false,
      fromUs: startUs(extents[0]!.epoch),
    }));
  }

  /** What is there now of a range of receive time, from `from` on. Throws `StorageError`. */
  static async open(
    storage: Storage,
    from: Cursors,
    range: TimeRange,
    filter?: GramFilter,
  ): Promise<HotReads> {
    const all = (await storage.list(from)).filter((extent) =>
      extent.segment >= (from.get(epochKey(extent))?.segment ?? 0)
    );
    const list = () => Promise.resolve(all);
    const extents = await selectExtents({ list, read: storage.read.bind(storage) }, range);
    return new HotReads(storage, extents, from, filter);
  }

  /** These as a whole. */
  static of(storage: Storage, extents: readonly Extent[]): HotReads {
    return new HotReads(storage, extents, new Map());
  }

  /** Undefined at the end. Throws `StorageError`. */
  async next(): Promise<HotRead | undefined> {
    for (;;) {
      const open = this.#epochs.filter(({ hasEnded }) => !hasEnded);
      if (open.length === 0) return undefined;
      const behind = open.reduce((a, b) => b.fromUs < a.fromUs ? b : a);
      const { value: read, done } = await behind.reads.next();
      if (!done) return read;
      behind.hasEnded = true;
    }
  }

  /** A frame was received then. */
  heard(read: Read, recvUs: number): void {
    const epoch = this.#of(read);
    if (recvUs > epoch.fromUs) epoch.fromUs = recvUs;
  }

  /**
   * A frame doesn't decode: whoever has got it forgets what came of its epoch from there on, which comes
   * again, without the damage.
   */
  async again(suspect: Read): Promise<void> {
    const epoch = this.#of(suspect);
    await epoch.reads.return(undefined);
    const left = epoch.extents.filter(({ segment }) => segment >= suspect.segment);
    epoch.reads = this.#read(left, suspect.offset, suspect);
    epoch.hasEnded = false;
  }

  async close(): Promise<void> {
    for (const { reads } of this.#epochs) await reads.return(undefined);
  }

  #of(read: Read): Epoch {
    const key = epochKey(read);
    return this.#epochs.find((epoch) => epoch.key === key)!;
  }

  async *#read(
    extents: readonly Extent[],
    offset: number,
    suspect?: Suspect,
  ): AsyncGenerator<HotRead> {
    const isSuspect = (at: Suspect) =>
      at.segment === suspect?.segment && at.offset === suspect.offset;
    const pieces = this.#pieces(extents, offset);
    const fetched = (piece: Piece) => this.#fetched(piece);
    for await (const piece of ahead(pieces, limits.indexReads, fetched)) {
      if ("skipped" in piece) yield piece.skipped;
      else yield* readExtent(piece.storage as Storage, piece.extent, piece.from, isSuspect);
    }
  }

  *#pieces(extents: readonly Extent[], offset: number): Generator<Piece> {
    for (const [i, extent] of extents.entries()) {
      let from = i === 0 ? offset : 0;
      for (const skipped of this.filter?.skippable(extent) ?? []) {
        if (skipped.from < from) continue;
        if (skipped.from > from) {
          yield { extent: { ...extent, length: skipped.from, final: false }, from };
        }
        from = skipped.to;
        yield { skipped: skippedRead(extent, skipped) };
      }
      yield { extent, from };
    }
  }

  /** What is short is on its way before it is asked for. */
  #fetched(piece: Piece): Promise<Fetched> {
    if ("skipped" in piece) return Promise.resolve(piece);
    const { storage } = this;
    const { extent, from } = piece;
    const length = extent.length - from;
    if (length <= 0 || length > limits.grepAheadBytes) {
      return Promise.resolve({ ...piece, storage });
    }
    const bytes = storage.read(extent, from, length);
    // Whoever reads it is told of it.
    bytes.catch(() => {});
    const read: Storage["read"] = (at, ...of) =>
      of[0] === from && of[1] === length ? bytes : storage.read(at, ...of);
    return Promise.resolve({ ...piece, storage: { read } });
  }
}

function skippedRead({ receiver, epoch, segment }: Extent, skipped: Skippable): HotRead {
  const { from: offset, to } = skipped;
  const next = { segment, offset: to };
  return { receiver, epoch, segment, offset, length: to - offset, next, skipped };
}

function offsetOf(extent: Extent, from: Cursors): number {
  const cursor = from.get(epochKey(extent));
  return cursor?.segment === extent.segment ? cursor.offset : 0;
}

/** An epoch's name begins with the time of its start. */
function startUs(epoch: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d\.\d{3}Z)-/.exec(epoch);
  if (!match) return 0;
  const [, year, month, day, hour, minute, rest] = match;
  return (Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${rest}`) || 0) * 1000;
}
