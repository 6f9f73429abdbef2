import { Buffer } from "node:buffer";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { FrameDecoder } from "./frame_decoder.ts";

const random = seededRandom(20261122);

function textOf(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, () => 97 + Math.floor(random() * 20)));
}

function decode(decoder: FrameDecoder, bytes: Uint8Array, textBytes: number) {
  return decoder.decode({ bytes, textBytes })?.subarray(0, textBytes);
}

describe("a frame decoder", () => {
  test("gives each frame's text, small ones after large ones, with room behind", () => {
    const decoder = new FrameDecoder(32);
    for (const bytes of [1, 5, limits.frameTextBytesMax, 300, 0, 70_000, 2]) {
      const text = textOf(bytes);
      const room = decoder.decode({ bytes: compressFrame(text), textBytes: bytes })!;
      expect([bytes, room.subarray(0, bytes).equals(text)]).toEqual([bytes, true]);
      expect(room.length).toBeGreaterThanOrEqual(bytes + 32);
    }
  });

  test("refuses what is damaged or not as long as it says, and goes on with the next", () => {
    const decoder = new FrameDecoder(32);
    const text = textOf(5_000);
    const frame = compressFrame(text);
    for (let round = 0; round < 200; round++) {
      const broken = Buffer.from(frame);
      // Not the head: there a changed bit may mean nothing.
      const at = 12 + Math.floor(random() * (frame.length - 12));
      broken[at]! ^= 1 << Math.floor(random() * 8);
      expect([at, decode(decoder, broken, text.length)]).toEqual([at, undefined]);
      expect(decode(decoder, frame, text.length)!.equals(text)).toBe(true);
    }
    for (const length of [text.length - 1, text.length + 1, 0]) {
      expect([length, decode(decoder, frame, length)]).toEqual([length, undefined]);
    }
    expect(decode(decoder, frame, text.length)!.equals(text)).toBe(true);
  });

  test("takes a frame that says more than it holds for damage: nothing is left of the one before", () => {
    const decoder = new FrameDecoder(32);
    decode(decoder, compressFrame(textOf(5_000)), 5_000);
    const other = { pledgedSrcSize: 10 } as Parameters<typeof zstdCompressSync>[1];
    expect(decode(decoder, zstdCompressSync(Buffer.alloc(10), other), 5_000)).toBeUndefined();
  });
});
