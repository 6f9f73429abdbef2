import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { seededRandom } from "../../tests/fleet/random.ts";
import { GramRates } from "./grams.ts";
import { paddingBytes, Sieve } from "./sieve.ts";

const rates = new GramRates(new Uint8Array(0));

/** With what is left of a longer text behind it. */
function padded(text: string, left = "a"): Uint8Array {
  const bytes = new Uint8Array(text.length + paddingBytes + 7).fill(left.charCodeAt(0));
  bytes.set(Buffer.from(text, "latin1"));
  return bytes;
}

function newSieve(literals: readonly string[], of = rates): Sieve {
  return new Sieve(literals.map((literal) => Buffer.from(literal, "latin1")), of);
}

/** `place literal` of each hit, in order of place. */
function hits(sieve: Sieve, literals: readonly string[]): string[] {
  return Array.from({ length: sieve.hits }, (_, i) => [sieve.hitAt[i]!, sieve.hitLiteral[i]!])
    .sort(([a, x], [b, y]) => a! - b! || x! - y!)
    .map(([at, literal]) => `${at} ${literals[literal!]}`);
}

function hitsOneByOne(text: string, literals: readonly string[]): string[] {
  const all: [number, string][] = [];
  for (let at = 0; at < text.length; at++) {
    for (const literal of literals) if (text.startsWith(literal, at)) all.push([at, literal]);
  }
  return all.map(([at, literal]) => `${at} ${literal}`);
}

test("a sieve finds every place of every literal, wherever it stands", () => {
  const random = seededRandom(5);
  const below = (limit: number) => Math.floor(random() * limit);
  // Few letters, so that much is nearly there.
  const some = (length: number, letters = "ab c\n\xff#") =>
    Array.from({ length }, () => letters[below(letters.length)]).join("");
  let found = 0;
  for (let round = 0; round < 300; round++) {
    const literals = [
      ...new Set(Array.from({ length: 1 + below(9) }, () => some(5 + below(9), "ab c"))),
    ];
    const sample = padded(some(below(2) * 500, "abc"));
    const sieve = newSieve(literals, below(2) === 0 ? rates : new GramRates(sample));
    for (let i = 0; i < 5; i++) {
      let text = some(below(80));
      for (let j = below(4); j > 0; j--) text += literals[below(literals.length)] + some(below(9));
      sieve.scan(padded(text), text.length);
      expect(hits(sieve, literals)).toEqual(hitsOneByOne(text, literals));
      found += sieve.hits;
    }
  }
  expect(found).toBeGreaterThan(2_000);
});

test("a sieve's hits are in the order of their lines", () => {
  const literals = ["a quite long literal", "literal", "quite", "along"];
  const text = "along a quite long literal\nliteral\nalong a quite long literal literal along\n";
  const sieve = newSieve(literals);
  sieve.scan(padded(text.repeat(50)), 50 * text.length);
  const lines = Array.from(
    sieve.hitAt.subarray(0, sieve.hits),
    (at) => text.repeat(50).slice(0, at).split("\n").length,
  );
  expect(lines).toEqual(lines.toSorted((a, b) => a - b));
  expect(sieve.hits).toBe(50 * 11);
});

test("a sieve finds every line that begins with #, and no other", () => {
  const random = seededRandom(6);
  const sieve = newSieve(["abcde"]);
  let found = 0;
  for (let length = 0; length < 400; length++) {
    const text = Array.from({ length }, () => "#\na\x80\x00\x22$\xa3"[Math.floor(random() * 8)])
      .join("");
    const lines = Array.from(text.matchAll(/^#/gm), ({ index }) => index);
    sieve.scan(padded(text, "#"), length);
    expect([...sieve.hashLineAt.subarray(0, sieve.hashLines)]).toEqual(lines);
    found += lines.length;
  }
  expect(found).toBeGreaterThan(1_000);
});

test("a sieve finds nothing behind the end of the text", () => {
  const sieve = newSieve(["abcde", "bcdefgh"]);
  for (let length = 60; length <= 100; length++) {
    const text = `${" ".repeat(length - 3)}abc`;
    const bytes = padded(text);
    bytes.set(Buffer.from("defgh#\n#"), length);
    sieve.scan(bytes, length);
    expect([sieve.hits, sieve.hashLines]).toEqual([0, 0]);
  }
});

test("a sieve refuses text that it can't see as words, or without room behind it", () => {
  const sieve = newSieve(["abcde"]);
  const bytes = new Uint8Array(100);
  expect(() => sieve.scan(bytes.subarray(1), 10)).toThrow(/multiple of 4/);
  expect(() => sieve.scan(bytes, 100 - paddingBytes + 1)).toThrow(/32 bytes behind it/);
  expect(() => sieve.scan(bytes.subarray(4), 96 - paddingBytes)).not.toThrow();
});
