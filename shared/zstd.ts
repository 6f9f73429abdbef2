/**
 * zstd frames: where they begin and end, and their text, one frame at a time and never more of it
 * than asked for. The runtimes' own decoders can't be trusted with a whole file: one stops after the
 * first frame, one ignores its output limit, both take a truncated frame for a short one.
 *
 * A frame (RFC 8878, section 3.1.1):
 *
 * | bytes | part |
 * |-------|------|
 * | 4     | magic 28 B5 2F FD |
 * | 1     | descriptor: bits 7-6 size of content size, 5 single segment, 3 reserved, 2 checksum, 1-0 size of dictionary id |
 * | 0-1   | window, unless single segment |
 * | 0-4   | dictionary id |
 * | 0-8   | content size, little-endian |
 * | n     | blocks: 3 bytes (bit 0 last, 1-2 type, 3-23 size), then size bytes (1 if type is RLE) |
 * | 0-4   | checksum |
 *
 * Ours always have a content size and a checksum.
 */
import { Buffer } from "node:buffer";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";

const magic = 0xfd2fb528;
const dictionaryIdBytes = [0, 1, 2, 4];
const blockBytesMax = 128 * 1024;
/** A frame of ours has some dozens; a million empty ones would be walked again for each chunk that comes. */
const blocksMax = 16_384;

export type Walk =
  /** A whole frame: `length` bytes on disk, `contentSize` bytes of text (undefined if it doesn't say). */
  | { kind: "frame"; length: number; contentSize: number | undefined; checksum: boolean }
  /** The bytes end before the frame does, which takes `atLeast`. `contentSize` as far as it is known. */
  | { kind: "incomplete"; contentSize?: number | undefined; atLeast: number }
  /** No frame of ours begins here. */
  | { kind: "damaged"; why: string };

/** Finds the end of the frame that begins at `at`, without decoding it. */
export function walkFrame(bytes: Uint8Array, at = 0): Walk {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.length;
  if (at + 5 > end) return { kind: "incomplete", atLeast: 5 };
  if (view.getUint32(at, true) !== magic) return { kind: "damaged", why: "no frame magic" };
  const descriptor = bytes[at + 4]!;
  if (descriptor & 0x08) return { kind: "damaged", why: "a reserved bit is set" };
  if (descriptor & 0x03) return { kind: "damaged", why: "it needs a dictionary" };
  const singleSegment = (descriptor & 0x20) !== 0;
  const checksum = (descriptor & 0x04) !== 0;
  const sizeFlag = descriptor >> 6;
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
  let p = at + 5 + (singleSegment ? 0 : 1) + dictionaryIdBytes[descriptor & 3]!;
  if (p + sizeBytes > end) return { kind: "incomplete", atLeast: p + sizeBytes - at };
  const contentSize = readContentSize(view, p, sizeBytes);
  p += sizeBytes;
  let blocks = 0;
  for (let last = false; !last;) {
    if (p + 3 > end) return { kind: "incomplete", contentSize, atLeast: p + 3 - at };
    if (++blocks > blocksMax) return { kind: "damaged", why: `more than ${blocksMax} blocks` };
    const block = bytes[p]! | (bytes[p + 1]! << 8) | (bytes[p + 2]! << 16);
    const type = (block >> 1) & 3;
    const size = block >> 3;
    if (type === 3) return { kind: "damaged", why: "a block of a reserved type" };
    if (size > blockBytesMax) return { kind: "damaged", why: "a block of more than 128 KiB" };
    p += 3 + (type === 1 ? 1 : size);
    last = (block & 1) === 1;
  }
  if (checksum) p += 4;
  if (p > end) return { kind: "incomplete", contentSize, atLeast: p - at };
  return { kind: "frame", length: p - at, contentSize, checksum };
}

function readContentSize(view: DataView, at: number, sizeBytes: number): number | undefined {
  if (sizeBytes === 1) return view.getUint8(at);
  if (sizeBytes === 2) return view.getUint16(at, true) + 256;
  if (sizeBytes === 4) return view.getUint32(at, true);
  if (sizeBytes === 8) return Number(view.getBigUint64(at, true));
  return undefined;
}

/** The place of the next frame magic at or after `at`, or -1. */
export function nextMagic(bytes: Uint8Array, at: number): number {
  for (let p = bytes.indexOf(0x28, at); p >= 0; p = bytes.indexOf(0x28, p + 1)) {
    if (bytes[p + 1] === 0xb5 && bytes[p + 2] === 0x2f && bytes[p + 3] === 0xfd) return p;
  }
  return -1;
}

/**
 * The text of exactly one whole frame.
 * Throws if it doesn't decode, its checksum fails, or it holds other than `contentSize` bytes.
 */
export function decompressFrame(frame: Uint8Array, contentSize: number): Buffer {
  // A chunk of the full size saves the runtime from growing and copying; the limit is enforced.
  const text = zstdDecompressSync(frame, {
    // 0 isn't taken; an empty frame that holds a byte is caught below.
    maxOutputLength: Math.max(contentSize, 1),
    chunkSize: Math.max(contentSize + 64, 128),
  });
  if (text.length !== contentSize) {
    throw new Error(`a frame holds ${text.length} bytes where it promises ${contentSize}`);
  }
  return text;
}

/** A runtime's own decoder, held to what `decompressFrame` promises. */
export function exactly(
  decompress: (frame: Uint8Array) => Uint8Array,
): (frame: Uint8Array, contentSize: number) => Uint8Array {
  return (frame, contentSize) => {
    const text = decompress(frame);
    if (text.length === contentSize) return text;
    throw new Error(`a frame holds ${text.length} bytes where it promises ${contentSize}`);
  };
}

/** One frame with content size and checksum. Level 1: on log text level 3 is no smaller. */
export function compressFrame(text: Uint8Array, level = 1): Buffer {
  return zstdCompressSync(
    text,
    {
      // Without the pledge the runtimes write no content size.
      pledgedSrcSize: text.length,
      // Zstd's worst case. What doesn't fit one chunk gets a second, empty frame from Deno.
      chunkSize: text.length + (text.length >> 8) + 512,
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_checksumFlag]: 1,
      },
    } as Parameters<typeof zstdCompressSync>[1],
  );
}
