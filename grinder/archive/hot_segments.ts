/**
 * A storage and a manifest to the segments that can be archived now: those that nobody writes any more,
 * oldest first, in each epoch without a hole, up to a limit of bytes.
 */
import { limits } from "../../shared/limits.ts";
import { readBlocks } from "../../shared/block.ts";
import { type Read, readExtent } from "../../shared/segment_reader.ts";
import {
  type Cursor,
  type Cursors,
  epochKey,
  type Extent,
  type Storage,
} from "../../shared/storage/storage.ts";

export interface HotSegments {
  extents: Array<{ extent: Extent; from: number }>;
  /** Where hot reading goes on when they are archived. */
  next: Map<string, Cursor>;
  /** There are more, for another run. */
  more: boolean;
}

export type Frames = Pick<Storage, "list" | "read">;

/** Throws `StorageError`. */
export async function closedSegments(
  storage: Frames,
  after: Cursors,
  { nowMs, bytesMax }: { nowMs: number; bytesMax: number },
): Promise<HotSegments> {
  const found: HotSegments = { extents: [], next: new Map(after), more: false };
  let bytes = 0;
  for (const extents of Map.groupBy(await storage.list(after), epochKey).values()) {
    for (const extent of extents) {
      const cursor = found.next.get(epochKey(extent));
      if (cursor && extent.segment < cursor.segment) continue;
      const from = cursor?.segment === extent.segment ? cursor.offset : 0;
      if (!extent.final && !await isDead(storage, extent, from, nowMs)) break;
      if (bytes > 0 && bytes + extent.length - from > bytesMax) {
        found.more = true;
        break;
      }
      bytes += extent.length - from;
      found.extents.push({ extent, from });
      const { segment, length, final } = extent;
      // Of one that nobody closed, what may yet be appended is hot.
      const next = final ? { segment: segment + 1, offset: 0 } : { segment, offset: length };
      found.next.set(epochKey(extent), next);
    }
  }
  return found;
}

/** All that is in them, in order. */
export async function* readSegments(
  storage: Frames,
  { extents }: HotSegments,
): AsyncGenerator<Read> {
  for (const { extent, from } of extents) yield* readExtent(storage as Storage, extent, from);
}

/** A segment is closed for its age even without traffic: this one's receiver is gone. */
async function isDead(
  storage: Frames,
  extent: Extent,
  from: number,
  nowMs: number,
): Promise<boolean> {
  if (extent.length === from) return false;
  let newestUs = 0;
  for await (const { text } of readExtent(storage as Storage, extent, from)) {
    for (const { header } of readBlocks(text ?? "")) newestUs = Math.max(newestUs, header.recvUs);
  }
  return newestUs > 0 && nowMs - newestUs / 1000 > limits.archiveDeadMs;
}
