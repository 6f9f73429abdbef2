/**
 * A range of receive time to the frames stored in it. Whole segments are passed over by the receive
 * time of their first block, found by bisection: of a thousand segments some ten are looked into.
 *
 * Receive times rise within an epoch, but for `recvDisorderMs`. At the range's edges frames come out
 * that have blocks on both sides of it: who needs it exactly looks at each block.
 */
import { readBlocks } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import { type Read, readExtent } from "../../shared/segment_reader.ts";
import { epochKey, type Extent, type Storage } from "../../shared/storage/storage.ts";
import type { TimeRange } from "./time_range.ts";

/** How far a selection has been read, in bytes of segments, compressed as they are. */
export interface Progress {
  storedBytes: number;
  storedBytesTotal: number;
  /** How much of the work that is, where bytes don't tell: an archive's hold more than a segment's. */
  share?: number;
}

export type Readable = Pick<Storage, "list" | "read">;

const disorderUs = limits.recvDisorderMs * 1000;

/**
 * Frames in the order of storage (epoch, segment, offset), with damage and the ends of segments as
 * `readNew` gives them. `progress` is told after each. Throws `StorageError`.
 */
export async function* selectFrames(
  storage: Readable,
  range: TimeRange,
  progress: (progress: Progress) => void = () => {},
): AsyncGenerator<Read> {
  const extents = await selectExtents(storage, range);
  const storedBytesTotal = extents.reduce((sum, { length }) => sum + length, 0);
  let storedBytes = 0;
  for (const extent of extents) {
    for await (const read of readExtent(storage as Storage, extent, 0)) {
      if (mayBeIn(read, range)) yield read;
      storedBytes += read.length;
      progress({ storedBytes, storedBytesTotal });
    }
  }
}

/** The segments that may have something received in the range, in order. */
export async function selectExtents(storage: Readable, range: TimeRange): Promise<Extent[]> {
  const epochs = Map.groupBy(await storage.list(new Map()), epochKey);
  const selected: Extent[] = [];
  for (const extents of epochs.values()) selected.push(...await selectOf(extents, storage, range));
  return selected;
}

async function selectOf(extents: Extent[], storage: Readable, range: TimeRange): Promise<Extent[]> {
  const begunMs = epochStartMs(extents[0]!.epoch);
  if (begunMs !== undefined && begunMs * 1000 - disorderUs > range.untilUs) return [];
  const firsts = new FirstTimes(extents, storage);
  const end = await firsts.firstAfter(range.untilUs + disorderUs);
  const within = await firsts.firstAfter(range.sinceUs - disorderUs);
  // The segment before it may reach into the range, if it wasn't closed for its age.
  const before = within - 1;
  const reachUs = before < 0 ? undefined : await firsts.at(before);
  const ageUs = limits.segmentAgeMsMax * 1000;
  const reaches = reachUs !== undefined && reachUs + ageUs + disorderUs >= range.sinceUs;
  return extents.slice(reaches ? before : within, end);
}

/** When the receiver started, by the epoch's name (without the receiver's); it can only have stored later. */
export function epochStartMs(epoch: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.(\d{3})Z-/.exec(epoch);
  if (!match) return undefined;
  const [year, month, ...rest] = match.slice(1).map(Number) as [number, number, number];
  return Date.UTC(year, month - 1, ...rest);
}

/** The receive time of each segment's first block, as it is asked for. */
class FirstTimes {
  readonly #known = new Map<number, number | undefined>();

  constructor(private readonly extents: Extent[], private readonly storage: Readable) {}

  /** The index of the first segment whose first block came after `us`; their number if none did. */
  async firstAfter(us: number): Promise<number> {
    let [low, high] = [0, this.extents.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((await this.at(middle) ?? Infinity) > us) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** One that can't be read, or is empty, is as the next that can; undefined if there is none. */
  async at(index: number): Promise<number | undefined> {
    for (let i = index; i < this.extents.length; i++) {
      if (!this.#known.has(i)) {
        this.#known.set(i, await firstRecvUs(this.extents[i]!, this.storage));
      }
      const us = this.#known.get(i);
      if (us !== undefined) return us;
    }
    return undefined;
  }
}

async function firstRecvUs(extent: Extent, storage: Readable): Promise<number | undefined> {
  // So much holds a frame, whatever its text.
  const length = Math.min(extent.length, limits.uploadFrameBytesMax);
  const head = { ...extent, length, final: false };
  for await (const read of readExtent(storage as Storage, head, 0)) {
    const us = recvUsOf(read);
    if (us !== undefined) return us;
  }
  return undefined;
}

function recvUsOf({ text }: Read): number | undefined {
  if (text === undefined) return undefined;
  for (const { header } of readBlocks(text)) return header.recvUs;
  return undefined;
}

/** Frames are of one commit: their blocks came at about the same time. */
function mayBeIn(read: Read, { sinceUs, untilUs }: TimeRange): boolean {
  const us = recvUsOf(read);
  return us === undefined || (us >= sinceUs - disorderUs && us < untilUs + disorderUs);
}
