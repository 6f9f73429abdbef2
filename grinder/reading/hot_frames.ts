/**
 * Hot segments as a source of frames. Where an index knows them, frames without the devices that are
 * wanted aren't read; what it doesn't know is read whole, but for segments of other times
 * (../history/select_frames.ts).
 */
import { limits } from "../../shared/limits.ts";
import { type Read, readExtent } from "../../shared/segment_reader.ts";
import {
  type Cursor,
  type Cursors,
  epochKey,
  type Extent,
  segmentPath,
  type Storage,
} from "../../shared/storage/storage.ts";
import { selectExtents } from "../history/select_frames.ts";
import { IndexError, type IndexFile, type StoredPart } from "../index/index_file.ts";
import { epochStartMs } from "../history/select_frames.ts";
import { type Piece, planEpoch } from "./epoch_plan.ts";
import { type FoundFrame, type FrameSource, inTime, type Selection } from "./frame_source.ts";
import { firstRecvUs, mayHold } from "./frame_text.ts";
import { indexedFrames, LyingIndexError } from "./indexed_frames.ts";

export interface HotOptions {
  storage: Storage;
  index?: IndexFile | undefined;
  /** Where each epoch begins: all before is in the archive. */
  from?: Cursors;
  /** Told of what can't be read, and of an index that isn't right. */
  warn: (text: string) => void;
}

/** A stretch that is to be read whole; without `to` up to the end. */
type Stretch = { from: Cursor; to?: Cursor };

const disorderUs = limits.recvDisorderMs * 1000;
const start: Cursor = { segment: 0, offset: 0 };
/** Behind all segments. */
const nowhere: Cursor = { segment: 99_999_999, offset: 0 };

export class HotFrames implements FrameSource {
  constructor(private readonly options: HotOptions) {}

  async *frames(selection: Selection): AsyncGenerator<FoundFrame> {
    const plans = this.#plans(selection);
    const unknownFrom = new Map(
      [...plans].map(([epoch, pieces]) => [
        epoch,
        pieces.find(({ kind }) => kind === "unknown")?.from ?? nowhere,
      ]),
    );
    for (const [epoch, cursor] of this.options.from ?? []) {
      if (!unknownFrom.has(epoch)) unknownFrom.set(epoch, cursor);
    }
    const extents = Map.groupBy(await this.options.storage.list(unknownFrom), epochKey);
    for (const epoch of extents.keys()) {
      if (plans.has(epoch)) continue;
      const from = this.options.from?.get(epoch) ?? start;
      plans.set(epoch, [{ kind: "unknown", from, fromUs: epochStartUs(epoch) - disorderUs }]);
    }
    yield* inTime(
      [...plans].filter(([, pieces]) => pieces.length > 0).map(([epoch, pieces]) => ({
        fromUs: Math.max(pieces[0]!.fromUs, epochStartUs(epoch) - disorderUs),
        open: () => this.#read(pieces, extents.get(epoch) ?? [], selection),
      })),
    );
  }

  /** Of each epoch that the index knows. */
  #plans(selection: Selection): Map<string, Piece[]> {
    const plans = new Map<string, Piece[]>();
    for (const [epoch, parts] of Map.groupBy(this.#parts(selection), ({ epoch }) => epoch)) {
      plans.set(epoch, planEpoch(parts, this.options.from?.get(epoch) ?? start, selection));
    }
    return plans;
  }

  #parts({ devices }: Selection): StoredPart[] {
    const { index, warn } = this.options;
    // Who wants all devices has nothing to gain from it.
    if (!index || !devices) return [];
    try {
      return index.parts();
    } catch (error) {
      if (!(error instanceof IndexError)) throw error;
      warn(`${error.message}. All is read without it; \`deno task index --rebuild\` makes it anew`);
      return [];
    }
  }

  async *#read(
    pieces: readonly Piece[],
    extents: readonly Extent[],
    selection: Selection,
  ): AsyncGenerator<FoundFrame> {
    for (const piece of pieces) {
      if (piece.kind === "unknown") yield* this.#scan(piece, extents, selection);
      else yield* this.#indexed(piece, selection);
    }
  }

  async *#indexed(
    piece: Piece & { kind: "indexed" },
    selection: Selection,
  ): AsyncGenerator<FoundFrame> {
    const { storage, index } = this.options;
    try {
      yield* indexedFrames(storage, index!, piece, selection);
    } catch (error) {
      if (!(error instanceof LyingIndexError)) throw error;
      yield* this.#distrust(piece.part, { from: error.from, to: piece.to }, error, selection);
    }
  }

  /** The index was wrong, or the segment has been deleted meanwhile. */
  async *#distrust(
    { epoch }: StoredPart,
    stretch: Stretch & { from: Cursor },
    { message }: LyingIndexError,
    selection: Selection,
  ): AsyncGenerator<FoundFrame> {
    const { storage, warn } = this.options;
    const all = await storage.list(new Map([[epoch, stretch.from]]));
    const extents = all.filter((extent) => epochKey(extent) === epoch);
    const { segment, offset } = stretch.from;
    if (extents.some((extent) => extent.segment === segment)) {
      warn(
        `the index is wrong about ${epoch} ${segment}:${offset}: ${message}. ` +
          "It is read without it; `deno task index --rebuild` makes it anew",
      );
    }
    yield* this.#scan(stretch, extents, selection);
  }

  /** All frames of a stretch, of which those that can't hold any of the devices are empty. */
  async *#scan(
    { from, to }: Stretch,
    all: readonly Extent[],
    selection: Selection,
  ): AsyncGenerator<FoundFrame> {
    const { storage } = this.options;
    const within = all.filter(({ segment }) =>
      segment >= from.segment &&
      (!to || segment < to.segment || segment === to.segment && to.offset > 0)
    );
    const read = storage.read.bind(storage);
    const extents = await selectExtents({ list: () => Promise.resolve(within), read }, selection);
    let newestUs = 0;
    for (const whole of extents) {
      const isLast = whole.segment === to?.segment;
      const extent = isLast
        ? { ...whole, length: Math.min(whole.length, to!.offset), final: false }
        : whole;
      const offset = whole.segment === from.segment ? from.offset : 0;
      for await (const read of readExtent(storage, extent, offset)) {
        if (read.damage !== undefined) this.#damaged(read);
        if (read.text === undefined) continue;
        newestUs = Math.max(newestUs, firstRecvUs(read.text) ?? 0);
        yield foundFrame(read, newestUs - disorderUs, mayHold(read.text, selection.devices));
      }
    }
  }

  #damaged(read: Read): void {
    const where = `${segmentPath(read)} at ${read.offset}`;
    this.options.warn(`${where}: ${read.length} bytes can't be read: ${read.damage}`);
  }
}

function foundFrame(read: Read, fromUs: number, isWanted: boolean): FoundFrame {
  const segment = `${epochKey(read)}/${String(read.segment).padStart(8, "0")}`;
  return { segment, offset: read.offset, fromUs, text: isWanted ? read.text! : "" };
}

/** When the receiver of an epoch (by its key) started; 0 if its name doesn't say. */
function epochStartUs(key: string): number {
  return (epochStartMs(key.slice(key.lastIndexOf("/") + 1)) ?? 0) * 1000;
}
