import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { seededRandom } from "../tests/fleet/random.ts";
import { compressFrame, decompressFrame, walkFrame } from "../shared/zstd.ts";
import { checksummed } from "./checksummed.ts";

const bare = (text: Uint8Array) => Bun.zstdCompressSync(text, { level: 1 });
const frameOf = checksummed(bare, Bun.hash.xxHash64);

function text(bytes: number): Buffer {
  const random = seededRandom(bytes);
  return Buffer.from(Array.from({ length: bytes }, () => 97 + Math.floor(random() * 3)));
}

describe("a frame with a checksum", () => {
  test("is as compressFrame makes it: whole, with content size, and decodes to its text", () => {
    for (const bytes of [1, 255, 256, 65_791, 65_792, 1_048_576]) {
      const frame = frameOf(text(bytes));
      expect(walkFrame(frame))
        .toEqual({ kind: "frame", length: frame.length, contentSize: bytes, checksum: true });
      expect(walkFrame(compressFrame(text(bytes)))).toMatchObject({ contentSize: bytes });
      expect(decompressFrame(frame, bytes).equals(text(bytes))).toBe(true);
    }
  });

  test("doesn't decode when its checksum is another's", () => {
    const frame = frameOf(text(1_000));
    for (const at of [1, 2, 3, 4]) {
      const damaged = frame.slice();
      damaged[damaged.length - at]! ^= 1;
      expect(() => decompressFrame(damaged, 1_000)).toThrow();
    }
  });

  test("isn't made of one that has a checksum already", () => {
    const twice = checksummed(compressFrame, Bun.hash.xxHash64);
    expect(() => twice(text(10))).toThrow("no checksum yet");
  });
});
