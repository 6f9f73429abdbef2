/**
 * Committed segments to their frames, in order, from where a reader stands: to their texts, or to the
 * frames as they are stored, for a caller that decodes them elsewhere. Damage is stepped over: reading
 * goes on at the next frame that decodes and whose checksum holds.
 */
import { Buffer } from "node:buffer";
import { endText } from "./block.ts";
import { limits } from "./limits.ts";
import {
  type Cursor,
  type Cursors,
  epochKey,
  type EpochName,
  type Extent,
  type Storage,
  StorageError,
} from "./storage/storage.ts";
import { decompressFrame, nextMagic, walkFrame } from "./zstd.ts";

export interface Read extends EpochName {
  segment: number;
  /** Where it begins in the segment, and how many bytes of the segment it takes. */
  offset: number;
  length: number;
  /** Where the reader stands once this has been dealt with. */
  next: Cursor;
  /** A frame's text as a byte string; undefined for damage and at a segment's end. */
  text?: string;
  /** In its place, from `readFrames`. */
  frame?: StoredFrame;
  /** Why these bytes can't be read. */
  damage?: string;
}

/** A frame that ends where its blocks do; whether it decodes isn't known yet. */
export interface StoredFrame {
  bytes: Uint8Array;
  /** What it promises to hold: at most `frameTextBytesMax`. */
  textBytes: number;
}

/** A frame that didn't decode: what lies from there on must be looked at again, for where it goes on. */
export type Suspect = Pick<Read, "receiver" | "epoch" | "segment" | "offset">;

/**
 * Everything that can be read beyond the cursors now. The caller moves its own cursors to `next`, as
 * far as it has dealt with what it got. Throws `StorageError`: at the end, if it is about one segment,
 * which may be unreadable for good. Its epoch is read no further then, but all others are.
 */
export function readNew(storage: Storage, cursors: Cursors): AsyncGenerator<Read> {
  return readAll(storage, cursors, decoded);
}

/**
 * The same, with frames in the place of texts. The caller decodes them; if one doesn't decode, it
 * forgets what it got of that frame and of all behind it, and calls this again from there with that
 * frame as the `suspect`: what comes then is what `readNew` gives.
 */
export function readFrames(
  storage: Storage,
  cursors: Cursors,
  suspect?: Suspect,
): AsyncGenerator<Read> {
  return readAll(storage, cursors, (at) => suspect !== undefined && isSame(at, suspect));
}

/** Whether the frame at a place is to be decoded. */
type Decoded = (at: Suspect) => boolean;
const decoded: Decoded = () => true;

function isSame(a: Suspect, b: Suspect): boolean {
  return epochKey(a) === epochKey(b) && a.segment === b.segment && a.offset === b.offset;
}

async function* readAll(
  storage: Storage,
  cursors: Cursors,
  decode: Decoded,
): AsyncGenerator<Read> {
  const failed = new Map<string, StorageError>();
  for (const extent of await storage.list(cursors)) {
    const key = epochKey(extent);
    const cursor = cursors.get(key);
    if (failed.has(key) || (cursor && extent.segment < cursor.segment)) continue;
    const from = cursor?.segment === extent.segment ? cursor.offset : 0;
    try {
      yield* readExtent(storage, extent, from, decode);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      failed.set(key, error);
    }
  }
  for (const [, first] of failed) throw first;
}

/** One extent from an offset on; if it is final, its last item moves the cursor to the next segment. */
export async function* readExtent(
  storage: Storage,
  extent: Extent,
  from: number,
  decode: Decoded = decoded,
): AsyncGenerator<Read> {
  let at = from;
  while (at < extent.length) {
    const want = Math.min(limits.readBytes, extent.length - at);
    const bytes = await storage.read(extent, at, want);
    // Fewer than promised: the segment shrank. What is gone is damage, once.
    const whole = bytes.length < want || at + want === extent.length;
    let used = 0;
    for (const part of splitFrames(bytes, whole, decode({ ...extent, offset: at }))) {
      yield place(extent, at + part.start, part);
      used = part.end;
    }
    if (used === 0 || bytes.length < want) {
      const lost = { start: 0, end: extent.length - at - used, damage: "the segment is too short" };
      yield place(extent, at + used, lost);
      used = extent.length - at;
    }
    at += used;
  }
  if (extent.final) {
    const { receiver, epoch, segment } = extent;
    const next = { segment: segment + 1, offset: 0 };
    yield { receiver, epoch, segment, offset: at, length: 0, next };
  }
}

interface Part {
  start: number;
  end: number;
  text?: string;
  frame?: StoredFrame;
  damage?: string;
}

function place(extent: Extent, offset: number, part: Part): Read {
  const { receiver, epoch, segment } = extent;
  const length = part.end - part.start;
  const read: Read = {
    receiver,
    epoch,
    segment,
    offset,
    length,
    next: { segment, offset: offset + length },
  };
  if (part.damage !== undefined) read.damage = part.damage;
  else if (part.frame !== undefined) read.frame = part.frame;
  else if (part.text !== endText) read.text = part.text!;
  return read;
}

/**
 * The frames in a stretch of bytes, decoded or not. Where the stretch is not `whole`, a frame that
 * doesn't end in it is left for the next one; else it is damage.
 */
export function* splitFrames(bytes: Uint8Array, whole: boolean, decode = true): Generator<Part> {
  for (let at = 0; at < bytes.length;) {
    const frame = frameAt(bytes, at, whole, decode);
    if (frame === "incomplete") return;
    if (!("damage" in frame)) {
      yield { start: at, ...frame };
      at = frame.end;
      continue;
    }
    const good = nextGoodFrame(bytes, at + 1);
    // Damage that goes on behind a stretch begins one of its own: so it is cut into the same pieces
    // wherever reading began.
    if (good < 0 && !whole && at > 0) return;
    // A good frame may begin near the end of this stretch and end in the next one.
    const tail = whole ? bytes.length : bytes.length - 2 * limits.uploadFrameBytesMax;
    const end = good < 0 ? tail : good;
    yield { start: at, end, damage: frame.damage };
    at = end;
  }
}

type Frame =
  | { text: string; end: number }
  | { frame: StoredFrame; end: number }
  | { damage: string }
  | "incomplete";

function frameAt(bytes: Uint8Array, at: number, whole: boolean, decode: boolean): Frame {
  const walk = walkFrame(bytes, at);
  if (walk.kind === "damaged") return { damage: walk.why };
  if ((walk.contentSize ?? 0) > limits.frameTextBytesMax) {
    return { damage: "its text is too large" };
  }
  if (walk.kind === "incomplete") {
    const more = !whole && bytes.length - at <= 2 * limits.uploadFrameBytesMax;
    return more ? "incomplete" : { damage: "the frame is cut short" };
  }
  if (walk.contentSize === undefined || !walk.checksum) {
    return { damage: "it has no content size or no checksum" };
  }
  const end = at + walk.length;
  const frame = { bytes: bytes.subarray(at, end), textBytes: walk.contentSize };
  if (!decode) return { frame, end };
  try {
    return { text: decompressFrame(frame.bytes, frame.textBytes).toString("latin1"), end };
  } catch (error) {
    return { damage: (error as Error).message };
  }
}

function nextGoodFrame(bytes: Uint8Array, from: number): number {
  for (let at = nextMagic(bytes, from); at >= 0; at = nextMagic(bytes, at + 1)) {
    const frame = frameAt(bytes, at, true, true);
    if (frame !== "incomplete" && "text" in frame) return at;
  }
  return -1;
}

/** A segment's whole content, as tests and small tools read it. */
export function decodeSegment(bytes: Uint8Array): Array<{ text?: string; damage?: string }> {
  return [...splitFrames(Buffer.from(bytes), true)].map(({ text, damage }) => ({
    ...(text === undefined ? {} : { text }),
    ...(damage === undefined ? {} : { damage }),
  }));
}
