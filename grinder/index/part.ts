/**
 * A part of the index: of one stretch of an epoch, which frames there are and which devices are in which.
 * A part is written once, as a whole, in these texts of packed numbers (packed.ts):
 *
 * | text | what is in it |
 * |------|---------------|
 * | frames | COUNT, then of each frame: segments since the one before, bytes since its end (in another segment: since that begins), its length, when its first block was received: microseconds since the earliest one |
 * | bucket | of each device whose `nameHash` falls into it: name, number of boots; of each boot: `nameHash` of its id, the lowest usec of its records, the number of frames, of each frame its distance in `frames` from the one before |
 *
 * The checksums are over the part's place in the storage too, and over the bucket's number and how many
 * there are: so a bucket that is there is whole, and one that is missing is missed.
 */
import { crc32 } from "node:zlib";
import type { Cursor } from "../../shared/storage/storage.ts";
import { nameHash } from "../reading/name_hash.ts";
import { PackedReader, PackedWriter } from "./packed.ts";

/** Of an epoch: from here up to there. */
export interface Stretch {
  /** `epochKey` */
  epoch: string;
  from: Cursor;
  to: Cursor;
}

export interface IndexedFrame {
  segment: number;
  offset: number;
  length: number;
  recvUs: number;
}

/** A boot of a device, in a part. */
export interface BootFrames {
  device: string;
  /** `nameHash` of its id. */
  boot: number;
  /** The lowest of its records. */
  firstUsec: number;
  /** Places in the part's frames, ascending. */
  frames: number[];
}

export interface Part extends Stretch {
  minRecvUs: number;
  maxRecvUs: number;
  buckets: number;
}

/** Devices that are read and checked for the sake of one. */
const bucketDevices = 128;

export function bucketCount(devices: number): number {
  return Math.ceil(devices / bucketDevices);
}

export function bucketOf(device: string, buckets: number): number {
  return nameHash(device) % buckets;
}

/** What checksums are over beside the bytes. */
function nameOf({ epoch, from, to, buckets }: Part, text: string): string {
  return `${epoch} ${from.segment} ${from.offset} ${to.segment} ${to.offset} ${buckets} ${text}`;
}

/** Over all of a part's own numbers. */
export function partSum(part: Part): number {
  return crc32(nameOf(part, `${part.minRecvUs} ${part.maxRecvUs}`));
}

export function packFrames(part: Part, frames: readonly IndexedFrame[]): Uint8Array {
  const out = new PackedWriter();
  out.number(frames.length);
  let before = { segment: part.from.segment, end: 0 };
  for (const { segment, offset, length, recvUs } of frames) {
    const isSame = segment === before.segment;
    out.number(segment - before.segment);
    out.number(offset - (isSame ? before.end : 0));
    out.number(length);
    out.number(recvUs - part.minRecvUs);
    before = { segment, end: offset + length };
  }
  return out.end(nameOf(part, "frames"));
}

/** Those at the given places, by their places: there are many more. Throws `PackedError`. */
export function unpackFrames(
  part: Part,
  packed: Uint8Array,
  places: ReadonlySet<number>,
): Map<number, IndexedFrame> {
  const reader = new PackedReader(packed, nameOf(part, "frames"));
  const frames = new Map<number, IndexedFrame>();
  let { segment } = part.from;
  let end = 0;
  const count = reader.number();
  for (let place = 0; place < count && frames.size < places.size; place++) {
    const more = reader.number();
    if (more > 0) [segment, end] = [segment + more, 0];
    const offset = end + reader.number();
    const length = reader.number();
    const recvUs = part.minRecvUs + reader.number();
    end = offset + length;
    if (places.has(place)) frames.set(place, { segment, offset, length, recvUs });
  }
  return frames;
}

export function packBucket(part: Part, bucket: number, boots: readonly BootFrames[]): Uint8Array {
  const out = new PackedWriter();
  for (const [device, its] of Map.groupBy(boots, ({ device }) => device)) {
    out.name(device);
    out.number(its.length);
    for (const { boot, firstUsec, frames } of its) {
      for (const number of [boot, firstUsec, frames.length]) out.number(number);
      let before = 0;
      for (const frame of frames) {
        out.number(frame - before);
        before = frame;
      }
    }
  }
  return out.end(nameOf(part, `bucket ${bucket}`));
}

/** Of these devices. Throws `PackedError`. */
export function unpackBucket(
  part: Part,
  bucket: number,
  packed: Uint8Array,
  devices: ReadonlySet<string>,
): BootFrames[] {
  const reader = new PackedReader(packed, nameOf(part, `bucket ${bucket}`));
  const found: BootFrames[] = [];
  while (!reader.isAtEnd) {
    const device = reader.name();
    for (let boots = reader.number(); boots > 0; boots--) {
      const [boot, firstUsec, count] = [reader.number(), reader.number(), reader.number()];
      const frames: number[] = [];
      const isWanted = devices.has(device);
      for (let i = 0, at = 0; i < count; i++) {
        at += reader.number();
        if (isWanted) frames.push(at);
      }
      if (isWanted) found.push({ device, boot, firstUsec, frames });
    }
  }
  return found;
}
