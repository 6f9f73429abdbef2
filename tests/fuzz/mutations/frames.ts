/** The bytes of zstd frames: flipped, cut, of other sizes than they say, bombs. */
import { Buffer } from "node:buffer";
import { constants, zstdCompressSync } from "node:zlib";
import { limits } from "../../../shared/limits.ts";
import type { Draw } from "../draw.ts";
import type { Upload } from "../upload.ts";
import { framed, type Mutation } from "./mutation.ts";

const magic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const MiB = 1024 * 1024;

/** A frame of one window of 8 MiB whose content size has 4 bytes, and these blocks. */
export function handMade(contentSize: number, blocks: Uint8Array[]): Buffer {
  const head = Buffer.from([...magic, 0x80, 0x68, 0, 0, 0, 0]);
  head.writeUInt32LE(contentSize >>> 0, 6);
  return Buffer.concat([head, ...blocks]);
}

/** A block that is `size` times the same byte, in 4 bytes. */
export function runBlock(byte: number, size: number, last: boolean): Buffer {
  const head = (size << 3) | (1 << 1) | (last ? 1 : 0);
  return Buffer.from([head & 0xff, (head >> 8) & 0xff, head >> 16, byte]);
}

export function plainBlock(text: string, last: boolean): Buffer {
  const head = (text.length << 3) | (last ? 1 : 0);
  const bytes = Buffer.from([head & 0xff, (head >> 8) & 0xff, head >> 16]);
  return Buffer.concat([bytes, Buffer.from(text, "latin1")]);
}

/** Some KB that decode to `runs` times 128 KiB. */
function bomb(says: number, runs: number): Buffer {
  const blocks = Array.from({ length: runs }, (_, i) => runBlock(0x41, 131_072, i === runs - 1));
  return handMade(says, [plainBlock("#0 0 0 1\n6,0,0,-;", false), ...blocks]);
}

/** Replaces the `k`th frame by something that must be refused. */
function frame(
  name: string,
  codes: string[],
  make: (bytes: Buffer, draw: Draw, text: Buffer) => Uint8Array,
): Mutation {
  const apply = (upload: Upload, draw: Draw) => {
    const k = draw.between(0, upload.frames.length);
    const { bytes, head, records } = upload.frames[k]!;
    const text = Buffer.from(`${head}\n${records}`, "latin1");
    upload.spoil(k, ...codes);
    upload.frames[k]!.bytes = make(Buffer.from(bytes), draw, text);
  };
  return { name: `frame: ${name}`, fits: framed, apply };
}

const withParameters = (text: Buffer, parameters: Record<number, number>, size?: number) =>
  zstdCompressSync(
    text,
    {
      params: parameters,
      ...(size === undefined ? {} : { pledgedSrcSize: size }),
    } as Parameters<typeof zstdCompressSync>[1],
  );

/** How many bytes of content size a frame's descriptor announces, and where they stand. */
function sizeField(bytes: Buffer): { at: number; length: number } {
  const single = (bytes[4]! & 0x20) !== 0;
  const flag = bytes[4]! >> 6;
  return { at: single ? 5 : 6, length: flag === 0 ? 1 : 1 << flag };
}

export const frames: Mutation[] = [
  {
    name: "frame: a bit flipped",
    weight: 6,
    fits: framed,
    apply(upload, draw) {
      const k = draw.between(0, upload.frames.length);
      const bytes = Buffer.from(upload.frames[k]!.bytes);
      bytes[draw.between(0, bytes.length)]! ^= 1 << draw.between(0, 8);
      // Some bits say nothing; and one tells whether there is a checksum, whose bytes follow then.
      upload.maySpoil(k, "bad_frame", "frame_too_large");
      upload.frames[k]!.bytes = bytes;
    },
  },
  {
    name: "frame: bits flipped, no checksum",
    weight: 4,
    fits: framed,
    apply(upload, draw) {
      const k = draw.between(0, upload.frames.length);
      const { head, records } = upload.frames[k]!;
      const text = Buffer.from(`${head}\n${records}`, "latin1");
      const bytes = withParameters(text, { [constants.ZSTD_c_checksumFlag]: 0 }, text.length);
      for (let n = draw.between(1, 10); n > 0; n--) {
        bytes[draw.between(0, bytes.length)]! ^= 1 << draw.between(0, 8);
      }
      upload.maySpoil(k, "bad_frame", "frame_too_large");
      upload.loosen(upload.kept);
      upload.frames[k]!.bytes = bytes;
    },
  },
  {
    name: "frame: random bytes over it",
    fits: framed,
    apply(upload, draw) {
      const k = draw.between(0, upload.frames.length);
      const bytes = Buffer.from(upload.frames[k]!.bytes);
      draw.bytes(draw.between(2, 20)).copy(bytes, draw.between(4, bytes.length));
      upload.maySpoil(k, "bad_frame", "frame_too_large");
      upload.loosen(upload.kept);
      upload.frames[k]!.bytes = bytes;
    },
  },
  {
    name: "frame: without a checksum",
    fits: framed,
    apply(upload, draw) {
      const k = draw.between(0, upload.frames.length);
      const { head, records } = upload.frames[k]!;
      const text = Buffer.from(`${head}\n${records}`, "latin1");
      upload.frames[k]!.bytes = withParameters(text, {
        [constants.ZSTD_c_checksumFlag]: 0,
        [constants.ZSTD_c_compressionLevel]: draw.between(1, 6),
      }, text.length);
    },
  },
  {
    name: "frame: the last one cut short",
    weight: 3,
    fits: framed,
    apply(upload, draw) {
      const k = upload.frames.length - 1;
      upload.spoil(k, "bad_frame");
      const { bytes } = upload.frames[k]!;
      upload.frames[k]!.bytes = bytes.slice(0, draw.between(1, bytes.length));
    },
  },
  {
    name: "frame: cut short, and another behind it",
    fits: (upload) => framed(upload) && upload.frames.length > 1,
    apply(upload, draw) {
      const k = draw.between(0, upload.frames.length - 1);
      upload.spoil(k, "bad_frame", "frame_too_large");
      const { bytes } = upload.frames[k]!;
      upload.frames[k]!.bytes = bytes.slice(0, draw.between(1, bytes.length));
    },
  },
  {
    name: "frame: something behind the last one",
    fits: framed,
    apply(upload, draw) {
      upload.spoil(upload.frames.length, "bad_frame");
      const tail = draw.pick([Buffer.from("\n"), Buffer.alloc(100), magic, draw.bytes(50)]);
      upload.body = Buffer.concat([upload.whole(), tail]);
    },
  },
  frame("skippable", ["bad_frame"], (_bytes, draw) => {
    const size = draw.pick([0, 8, 100]);
    const head = Buffer.from([0x50 + draw.between(0, 16), 0x2a, 0x4d, 0x18, size, 0, 0, 0]);
    return Buffer.concat([head, Buffer.alloc(size)]);
  }),
  frame(
    "a skippable size beyond all measure",
    ["bad_frame"],
    () => Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff]),
  ),
  frame("an old version's magic", ["bad_frame"], (bytes, draw) => {
    bytes[0] = draw.between(0x20, 0x28);
    return bytes;
  }),
  frame(
    "no content size",
    ["bad_frame"],
    (_bytes, _draw, text) => withParameters(text, { [constants.ZSTD_c_contentSizeFlag]: 0 }),
  ),
  frame("another content size", ["bad_frame", "frame_too_large"], (bytes, draw) => {
    const { at, length } = sizeField(bytes);
    const wrong = draw.bytes(length);
    if (wrong.equals(bytes.subarray(at, at + length))) wrong[0]! ^= 1;
    wrong.copy(bytes, at);
    return bytes;
  }),
  frame(
    "a content size of 2^64 - 1",
    ["frame_too_large"],
    () => Buffer.from([...magic, 0xe0, ...Array(8).fill(0xff), 1, 0, 0]),
  ),
  frame("a dictionary", ["bad_frame"], (bytes, draw) => {
    bytes[4]! |= draw.between(1, 4);
    return bytes;
  }),
  frame("a reserved bit", ["bad_frame"], (bytes) => {
    bytes[4]! |= 0x08;
    return bytes;
  }),
  frame("a reserved block type", ["bad_frame"], (bytes) => {
    const { at, length } = sizeField(bytes);
    bytes[at + length]! |= 0x06;
    return bytes;
  }),
  frame("nothing in it", ["bad_frame"], () => Buffer.from([...magic, 0x20, 0, 1, 0, 0])),
  frame(
    "a bomb that says so",
    ["frame_too_large"],
    (_bytes, draw) =>
      bomb(draw.between(limits.uploadFrameTextBytesMax + 1, 0xffffffff), draw.between(8, 1_000)),
  ),
  frame(
    "a bomb that says it is small",
    ["bad_frame"],
    (_bytes, draw) => bomb(draw.pick([1, 18, 1_000, MiB - 1024]), draw.between(9, 20_000)),
  ),
  frame("a bomb without an end", ["bad_frame"], (_bytes, draw) => {
    const blocks = Array.from(
      { length: draw.between(8, 5_000) },
      () => runBlock(0x41, 131_072, false),
    );
    return handMade(1_000, blocks);
  }),
  frame(
    "too large by one byte",
    ["frame_too_large"],
    () => handMade(limits.uploadFrameTextBytesMax + 1, [runBlock(0x0a, 1, true)]),
  ),
  {
    name: "frame: as large as may be",
    weight: 0.01,
    fits: framed,
    apply(upload, draw) {
      const k = draw.between(0, upload.frames.length);
      const { head } = upload.frames[k]!;
      const line = `6,0,0,-;${upload.marker}\n`;
      const room = limits.uploadFrameTextBytesMax - head.length - 1;
      const filled = line + `6,0,0,-;${"x".repeat(room)}`;
      upload.rewrite(k, head, `${filled.slice(0, room - 1)}\n`);
    },
  },
  {
    name: "frame: a million empty lines in 50 bytes",
    weight: 0.01,
    fits: framed,
    apply(upload, draw) {
      const k = draw.between(0, upload.frames.length);
      const runs = Array.from({ length: 7 }, (_, i) => runBlock(0x0a, 131_072, i === 6));
      const records = `6,0,0,-;${upload.marker}\n`;
      const text = `#0 0 0 1\n${records}`;
      const bytes = handMade(text.length + 7 * 131_072, [plainBlock(text, false), ...runs]);
      upload.frames[k] = { head: "#0 0 0 1", records: records + "\n".repeat(7 * 131_072), bytes };
    },
  },
];
