import { Buffer } from "node:buffer";
import { expect, test } from "bun:test";
import { seededRandom } from "../../tests/fleet/random.ts";
import { copyHashed, lineStart, newlineFrom, textOf } from "./words.ts";

const random = seededRandom(20261122);
const below = (n: number) => Math.floor(random() * n);

/** Few different bytes, so that newlines and what is near them are many. */
function randomText() {
  const bytes = new Uint8Array(below(40));
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = [10, 11, 9, 0x0a ^ 0x80, 0, 255, 97, 97, 97, 97][below(10)]!;
  }
  return textOf(bytes);
}

test("a newline is found from any place on, and before it, as one by one", () => {
  for (let round = 0; round < 20_000; round++) {
    const text = randomText();
    const start = below(text.bytes.length + 1);
    const end = start + below(text.bytes.length - start + 1);
    const part = Buffer.from(text.bytes.subarray(start, end));
    const next = part.indexOf(10);
    expect(newlineFrom(text, start, end)).toBe(next < 0 ? end : start + next);
    expect(lineStart(text, start, end)).toBe(start + part.lastIndexOf(10) + 1);
  }
});

test("bytes are copied as they are, with zeros behind, and equal ones have an equal hash", () => {
  const hashes = new Map<string, number>();
  for (let round = 0; round < 20_000; round++) {
    const text = randomText();
    const start = below(text.bytes.length + 1);
    const end = start + below(text.bytes.length - start + 1);
    const to = new Int32Array(12).fill(-1);
    const hash = copyHashed(text, start, end, to, 1);
    const part = Buffer.from(text.bytes.subarray(start, end));
    const words = Math.ceil(part.length / 4);
    const copied = Buffer.from(to.buffer, 4, 4 * words);
    expect(copied.subarray(0, part.length).equals(part)).toBe(true);
    expect(copied.subarray(part.length).every((byte) => byte === 0)).toBe(true);
    expect([to[0], to[1 + words]]).toEqual([-1, -1]);
    const key = part.toString("latin1");
    expect([key, hashes.get(key) ?? hash]).toEqual([key, hash]);
    hashes.set(key, hash);
  }
  // Zeros aren't told from what stands behind a text; names have none.
  const names = [...hashes].filter(([key]) => !key.includes("\0"));
  expect(new Set(names.map(([, hash]) => hash)).size).toBeGreaterThan(0.999 * names.length);
});
