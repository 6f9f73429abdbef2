import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { seededRandom } from "../../tests/fleet/random.ts";
import { textOf } from "../sieve/words.ts";
import { fold, GramFlags, gramHashes, mayHold, unite } from "./grams.ts";

/** All bits of a text, with bytes behind it that aren't its own. */
function bitsOf(text: string): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer((text.length + 15) & ~3)).fill(0x7a);
  bytes.set(Buffer.from(text, "latin1"));
  const flags = new GramFlags();
  flags.take(textOf(bytes).words, text.length);
  const bits = new Uint8Array(2 ** 14);
  expect(flags.pack(bits)).toBe(bits.length);
  return bits;
}

function randomText(random: () => number, length: number): string {
  const codes = Array.from({ length }, () => Math.floor(random() * 256));
  return String.fromCharCode(...codes);
}

describe("grams", () => {
  test("never deny a literal that is in the text, wherever it stands, folded or not", () => {
    const random = seededRandom(1);
    for (let round = 0; round < 300; round++) {
      const text = randomText(random, 4 + Math.floor(random() ** 3 * 5_000));
      const bits = bitsOf(text);
      const less = fold(bits);
      for (let i = 0; i < 20; i++) {
        const start = Math.floor(random() * (text.length - 3));
        const literal = text.slice(start, start + 4 + Math.floor(random() * 12));
        expect(mayHold(bits, gramHashes(literal))).toBe(true);
        expect(mayHold(less, gramHashes(literal))).toBe(true);
      }
      const end = gramHashes(text.slice(-4));
      expect(mayHold(less, end)).toBe(true);
    }
  });

  test("deny nearly all literals that aren't there, in a bit for each two bytes or less", () => {
    const random = seededRandom(2);
    const words = Array.from({ length: 400 }, () => randomText(random, 3 + random() * 8));
    const text = Array.from({ length: 2_000 }, () => words[Math.floor(random() * 400)]).join(" ");
    const bits = fold(bitsOf(text));
    expect(bits.length * 8 * 2).toBeLessThanOrEqual(2 * text.length);
    let denied = 0;
    for (let i = 0; i < 1_000; i++) {
      if (!mayHold(bits, gramHashes(randomText(random, 12)))) denied++;
    }
    expect(denied).toBeGreaterThan(970);
  });

  test("of two texts hold what is in either", () => {
    const bits = bitsOf("link down on eth0");
    unite(bits, bitsOf("disk is full"));
    for (const literal of ["down on", "is full"]) {
      expect(mayHold(fold(bits), gramHashes(literal))).toBe(true);
    }
    expect(mayHold(bits, gramHashes("eth0disk"))).toBe(false);
  });

  test("of a text shorter than one are none, and of a literal that short nothing is known", () => {
    expect(bitsOf("abc").every((byte) => byte === 0)).toBe(true);
    expect(mayHold(fold(bitsOf("abc")), gramHashes("abc"))).toBe(true);
  });
});
