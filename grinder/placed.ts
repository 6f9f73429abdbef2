/** A block of a frame, and where it stands: what is passed on while it is taken in. */
import type { BlockHeader } from "../shared/block.ts";
import { parseRecord } from "../shared/record.ts";
import type { Read } from "../shared/segment_reader.ts";
import { epochKey, type EpochName } from "../shared/storage/storage.ts";
import type { BlockNames } from "./block_names.ts";
import type { BlockDigest } from "./engine/digest.ts";
import { framePart, type Place } from "./event.ts";
import type { FramePlace } from "./place_list.ts";

export interface Frame {
  place: FramePlace;
  /** Its text, if it is needed. */
  textOf: () => string;
  segment: Pick<Place, "segment" | "offset">;
  /** What an event's line says of it. */
  part: string;
  partBytes: Uint8Array;
}

export interface Placed {
  header: BlockHeader;
  frame: Frame;
  block: BlockDigest;
  names: BlockNames;
}

/** What was read, and where it stood before it was archived, if that is known. */
export type StoodRead = Read & { stood?: EpochName & Pick<Read, "segment" | "offset"> };

export function frameOf(read: StoodRead, textOf: () => string): Frame {
  const stood = { ...read, ...read.stood };
  const { receiver, epoch, segment: number, offset, length } = stood;
  const path = `${epochKey(stood)}/${String(number).padStart(8, "0")}`;
  const segment = { segment: path, offset };
  const place = { receiver, epoch, segment: number, offset, length };
  const part = framePart(segment);
  return { place, textOf, segment, part, partBytes: new TextEncoder().encode(part) };
}

export function headerOf(
  { device, boot, source, streamName: stream }: BlockNames,
  { recvUs, first, last, count }: Pick<BlockHeader, "recvUs" | "first" | "last" | "count">,
): BlockHeader {
  return { device, boot, source, stream, recvUs, first, last, count };
}

/** The records of a block in a frame's text, from where they begin. */
export function recordsAt(text: string, offset: number): string {
  const next = text.indexOf("\n#", offset - 1);
  return text.slice(offset, next < 0 ? text.length : next + 1);
}

/** The usec of the last record; 0 if there is none. */
export function lastUsecOf(text: string): number {
  for (let end = text.length - 1; end > 0;) {
    const start = text.lastIndexOf("\n", end - 1) + 1;
    const record = parseRecord(text.slice(start, end));
    if (record) return record.usec;
    end = start - 1;
  }
  return 0;
}
