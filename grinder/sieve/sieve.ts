/**
 * Literals and a frame's text to all places where a literal stands, and all lines that begin with #;
 * at gigabytes a second, since most of the text is never looked at twice.
 *
 * The idea. Log text is many lines that no rule is about. What has to be quick is to say of a stretch of
 * text: nothing here. So:
 *
 * 1. The text is seen as an array of 32-bit words, each of them four bytes: a gram. Whatever a
 *    literal of five bytes or more stands on, one of the words lies in it (or all but a byte of it). So if
 *    for each of the four ways to stand a gram of the literal is known (grams.ts), it is enough to
 *    look at each word once.
 * 2. Each word is multiplied by an odd constant; the upper 16 bits say where in a table of 64 KiB to
 *    look. The table has a 1 for what is looked for, else a 0. There is no branch: the word's index is
 *    always written down, `out[n] = i`, and `n` moves on by what the table says, so that the next one
 *    overwrites it or not. A processor does that several words ahead of itself; a branch that is hard
 *    to predict would cost as much as twenty of them.
 * 3. What is left, some words in a hundred, goes through a second table the same way, with another
 *    constant. Then there are few enough for an exact comparison.
 *
 * Lines that begin with # are where blocks begin. A word that holds a # can be told by arithmetic: of
 * `(word ^ "####") - 0x01010101` the upper bit of a byte is set where it is a #, and else only behind
 * such a byte or where it is not ASCII. That is done for eight words at a time.
 *
 * The text is padded by zeros to whole rounds of eight words: a loop for the rest, which rarely runs,
 * makes V8 throw the optimised function away again and again.
 */
import { firstFactor, firstShift, type GramRates, secondFactor, secondShift } from "./grams.ts";
import { buildTables, hashPlace, type Tables } from "./tables.ts";

/** So many bytes behind the text are overwritten. */
export const paddingBytes = 32;

// What is imported isn't a constant to every optimiser, and what is called from elsewhere too isn't
// always inlined: either takes half of the speed. So `firstSlot` and `secondSlot` are written out.
const factor = firstFactor;
const shift = firstShift;
const factor2 = secondFactor;
const shift2 = secondShift;

const newline = 0x0a;
const hash = 0x23;
const hashes = 0x23232323;
const ones = 0x01010101;
const upperBits = 0x80808080 | 0;

export class Sieve {
  /** Places of literals, in the order of their lines; only the first `hits` count. */
  hitAt = new Int32Array(256);
  /** Which literal it is. */
  hitLiteral = new Int32Array(256);
  hits = 0;
  /** Where lines begin whose first byte is a #; only the first `hashLines` count. */
  hashLineAt = new Int32Array(256);
  hashLines = 0;
  readonly #tables: Tables;
  #words = new Int32Array(0);
  #rounds = new Int32Array(0);

  /** The literals have no newline in them. */
  constructor(literals: readonly Uint8Array[], rates: GramRates) {
    this.#tables = buildTables(literals, rates);
  }

  /** `bytes[0, length)` is the text; `paddingBytes` behind it are overwritten. */
  scan(bytes: Uint8Array, length: number): void {
    const words = paddedWords(bytes, length);
    const left = this.sift(words);
    this.#findHashLines(bytes, words, left.rounds);
    this.#compare(bytes, words, left.words);
  }

  /** Steps 1 to 3 alone, without the exact comparison: so many words and rounds are left for that. */
  sift(words: Int32Array): { words: number; rounds: number } {
    if (this.#words.length < words.length) {
      this.#words = new Int32Array(words.length);
      this.#rounds = new Int32Array(words.length >> 3);
    }
    const { first, second } = this.#tables;
    const passed = sieveFirst(first, words, this.#words, this.#rounds);
    return {
      words: sieveSecond(second, words, this.#words, passed.words),
      rounds: passed.rounds,
    };
  }

  #findHashLines(bytes: Uint8Array, words: Int32Array, rounds: number): void {
    this.hashLines = 0;
    for (let j = 0; j < rounds; j++) {
      const round = this.#rounds[j]!;
      for (let i = round; i < round + 8; i++) {
        if ((((words[i]! ^ hashes) - ones) & upperBits) === 0) continue;
        for (let at = 4 * i; at < 4 * i + 4; at++) {
          if (bytes[at] !== hash || at > 0 && bytes[at - 1] !== newline) continue;
          if (this.hashLines === this.hashLineAt.length) this.hashLineAt = grown(this.hashLineAt);
          this.hashLineAt[this.hashLines++] = at;
        }
      }
    }
  }

  #compare(bytes: Uint8Array, words: Int32Array, left: number): void {
    const tables = this.#tables;
    const { grams, heads, next, literals, offsets } = tables;
    const mask = heads.length - 1;
    this.hits = 0;
    for (let j = 0; j < left; j++) {
      const i = this.#words[j]!;
      const gram = words[i]!;
      let place = hashPlace(gram, mask);
      while (heads[place] !== 0 && grams[place] !== gram) place = place + 1 & mask;
      for (let entry = heads[place]!; entry !== 0; entry = next[entry]!) {
        const at = 4 * i - offsets[entry]!;
        const literal = literals[entry]!;
        if (at >= 0 && standsAt(tables, literal, bytes, at)) this.#hit(at, literal);
      }
    }
  }

  #hit(at: number, literal: number): void {
    if (this.hits === this.hitAt.length) {
      this.hitAt = grown(this.hitAt);
      this.hitLiteral = grown(this.hitLiteral);
    }
    this.hitAt[this.hits] = at;
    this.hitLiteral[this.hits++] = literal;
  }
}

/** The text and zeros behind it, as whole rounds of words. */
function paddedWords(bytes: Uint8Array, length: number): Int32Array {
  if (bytes.byteOffset % 4 !== 0 || bytes.length < length + paddingBytes) {
    throw new RangeError(
      `Cannot sieve text because it must begin at a multiple of 4 and have ${paddingBytes} bytes ` +
        `behind it: current value is ${bytes.length - length} bytes, from ${bytes.byteOffset} on`,
    );
  }
  // At least one zero, so that no literal goes on behind the end.
  const padded = length + paddingBytes & ~(paddingBytes - 1);
  bytes.fill(0, length, padded);
  return new Int32Array(bytes.buffer, bytes.byteOffset, padded >> 2);
}

/** Indices of words that may be a literal's into `out`, of rounds with a # into `rounds`. */
function sieveFirst(
  table: Uint8Array,
  words: Int32Array,
  out: Int32Array,
  rounds: Int32Array,
): { words: number; rounds: number } {
  let n = 0;
  let m = 0;
  for (let i = 0; i < words.length; i += 8) {
    const a = words[i]!, b = words[i + 1]!, c = words[i + 2]!, d = words[i + 3]!;
    const e = words[i + 4]!, f = words[i + 5]!, g = words[i + 6]!, h = words[i + 7]!;
    out[n] = i;
    n += table[Math.imul(a, factor) >>> shift]!;
    out[n] = i + 1;
    n += table[Math.imul(b, factor) >>> shift]!;
    out[n] = i + 2;
    n += table[Math.imul(c, factor) >>> shift]!;
    out[n] = i + 3;
    n += table[Math.imul(d, factor) >>> shift]!;
    out[n] = i + 4;
    n += table[Math.imul(e, factor) >>> shift]!;
    out[n] = i + 5;
    n += table[Math.imul(f, factor) >>> shift]!;
    out[n] = i + 6;
    n += table[Math.imul(g, factor) >>> shift]!;
    out[n] = i + 7;
    n += table[Math.imul(h, factor) >>> shift]!;
    const found = ((a ^ hashes) - ones | (b ^ hashes) - ones | (c ^ hashes) - ones |
      (d ^ hashes) - ones | (e ^ hashes) - ones | (f ^ hashes) - ones | (g ^ hashes) - ones |
      (h ^ hashes) - ones) & upperBits;
    rounds[m] = i;
    m += (found | -found) >>> 31;
  }
  return { words: n, rounds: m };
}

/** Of the first `count` indices in `out` keeps those that the second table knows too. */
function sieveSecond(table: Uint8Array, words: Int32Array, out: Int32Array, count: number): number {
  let n = 0;
  for (let j = 0; j < count; j++) {
    const i = out[j]!;
    out[n] = i;
    n += table[Math.imul(words[i]!, factor2) >>> shift2]!;
  }
  return n;
}

function standsAt(
  { bytes: literals, starts }: Tables,
  literal: number,
  bytes: Uint8Array,
  at: number,
): boolean {
  const end = starts[literal + 1]!;
  for (let i = starts[literal]!; i < end; i++, at++) {
    if (bytes[at] !== literals[i]) return false;
  }
  return true;
}

function grown(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}
