/**
 * Grams: four bytes of text as one number. Here is how often they are to be expected in log text, and
 * by which of its grams a literal is looked for.
 *
 * The sieve looks at every fourth place only (see sieve.ts), and a literal can stand in four ways to
 * those places. In each of them some of its grams can be seen; the rarest of these is entered.
 *
 *     places that are looked at   |   |   |   |   |
 *     way 0                       USB disconnect          "USB ", "disc" or "onne"
 *     way 1                        USB disconnect         " dis" or "conn"; and "?USB"
 *     way 0, of five bytes        error                   "erro"
 *     way 2, of five bytes          error                 "ror?"
 *
 * The ? is any byte: 256 entries. Literals of seven bytes or more never need one.
 */

/**
 * How literals and text are spread over the sieve's two tables: by the upper bits of a product with odd
 * numbers without a pattern. The first table is small, since all words are looked up in it: it stays
 * near the processor. The second is larger: what passes both by chance is dear.
 */
export const firstFactor = 0x9e3779b1 | 0;
export const firstShift = 16;
export const firstSize = 1 << 32 - firstShift;
export const secondFactor = 0x85ebca6b | 0;
export const secondShift = 14;
export const secondSize = 1 << 32 - secondShift;
const MiB = 1 << 20;

/** A gram's place in the first table. */
export function firstSlot(gram: number): number {
  return Math.imul(gram, firstFactor) >>> firstShift;
}

/** ... and in the second. */
export function secondSlot(gram: number): number {
  return Math.imul(gram, secondFactor) >>> secondShift;
}

/** The gram of four bytes as an Int32Array shows it on all machines that run this: little-endian. */
export function gramOf(a: number, b: number, c: number, d: number): number {
  return a | b << 8 | c << 16 | d << 24;
}

// --- what to expect -------------------------------------------------------------------------------

/** How many bits a byte of log text tells, roughly. Those of a word go together: it is less then. */
const bitsOf = Float64Array.from({ length: 256 }, (_, byte) => {
  if (byte === 0x20 || byte === 0x65) return 3;
  if (byte >= 0x61 && byte <= 0x7a || byte >= 0x30 && byte <= 0x39) return 3.5;
  return byte === 0x0a || byte > 0x20 && byte < 0x7f ? 6 : 10;
});

/** How often a literal stands in a MiB of log text, for all that is known without looking at any. */
export function expectedPerMiB(literal: string): number {
  let bits = 0;
  for (let i = 0; i < literal.length; i++) bits += bitsOf[literal.charCodeAt(i) & 0xff]!;
  return MiB * 2 ** -bits;
}

function expectedGramPerMiB(gram: number): number {
  const bits = bitsOf[gram & 0xff]! + bitsOf[gram >>> 8 & 0xff]! + bitsOf[gram >>> 16 & 0xff]! +
    bitsOf[gram >>> 24]!;
  return MiB * 2 ** -bits;
}

/** Grams are counted in so many slots, so that two that are met share one rarely. */
const countBits = 20;

/** How often grams and what shares their slots stand in log text: measured on a sample. */
export class GramRates {
  readonly #grams: Uint32Array;
  readonly #slots: Uint32Array;
  readonly #sampleMiB: number;

  constructor(sample: Uint8Array) {
    this.#sampleMiB = sample.length / MiB;
    // What is counted nowhere is undefined, and taken for 0.
    this.#grams = new Uint32Array(sample.length === 0 ? 0 : 1 << countBits);
    this.#slots = new Uint32Array(sample.length === 0 ? 0 : firstSize);
    this.#count(sample);
  }

  /** From byte to byte a gram loses its first one and gains one at its end. */
  #count(sample: Uint8Array): void {
    const [grams, slots] = [this.#grams, this.#slots];
    let gram = 0;
    for (let i = 0; i < sample.length; i++) {
      gram = gram >>> 8 | sample[i]! << 24;
      if (i < 3) continue;
      grams[countSlot(gram)]!++;
      slots[firstSlot(gram)]!++;
    }
  }

  gramPerMiB(gram: number): number {
    return this.smooth(this.#grams[countSlot(gram)] ?? 0, expectedGramPerMiB(gram));
  }

  /** Of all that the first table can't tell from it. */
  slotPerMiB(gram: number): number {
    return this.smooth(this.#slots[firstSlot(gram)] ?? 0, MiB / firstSize);
  }

  /** What was counted in the sample, as if a MiB had been read before in which all is as expected. */
  smooth(count: number, expectedPerMiB: number): number {
    return (count + expectedPerMiB) / (this.#sampleMiB + 1);
  }
}

function countSlot(gram: number): number {
  return Math.imul(gram, secondFactor) >>> 32 - countBits;
}

// --- a literal's grams ----------------------------------------------------------------------------

export interface Entry {
  gram: number;
  /** Where the gram begins in the literal; -1 if with the byte before it. */
  offset: number;
}

export interface Entries {
  entries: Entry[];
  /** What they cost, in nanoseconds for each MiB of text. */
  cost: number;
}

/** Measured: a word that passes the first table, and one that passes both. */
const passedNs = 2;
const candidateNs = 40;
/** By an entry the two together let pass so many more by chance: with 4,000 others, one in a MiB. */
const chancePerMiB = 1;

/** By what a literal is looked for: in each of the four ways its cheapest gram. */
export function entriesOf(literal: Uint8Array, rates: GramRates): Entries {
  const all: Entries = { entries: [], cost: 0 };
  for (let way = 0; way < 4; way++) {
    let [best, cost] = [NaN, Infinity];
    for (const offset of offsetsOf(way, literal.length)) {
      let here = 0;
      forEachGram(literal, offset, (gram) => here += gramCost(gram, rates));
      if (here < cost) [best, cost] = [offset, here];
    }
    if (cost === Infinity) throw new RangeError(`Cannot look for ${literal.length} bytes`);
    forEachGram(literal, best, (gram) => all.entries.push({ gram, offset: best }));
    // The sieve sees a quarter of all grams.
    all.cost += cost / 4;
  }
  return all;
}

/** Where its grams are in a literal that stands in this way; if it has no whole one, nearly whole ones. */
function offsetsOf(way: number, length: number): number[] {
  const whole: number[] = [];
  for (let offset = 4 - way & 3; offset + 4 <= length; offset += 4) whole.push(offset);
  return whole.length > 0 ? whole : [-1, length - 3].filter((offset) => (offset + way & 3) === 0);
}

function gramCost(gram: number, rates: GramRates): number {
  return rates.slotPerMiB(gram) * passedNs + (rates.gramPerMiB(gram) + chancePerMiB) * candidateNs;
}

/** A literal's gram at an offset; or all 256, if one byte of it lies outside. */
function forEachGram(literal: Uint8Array, offset: number, visit: (gram: number) => void): void {
  const outside = offset < 0 ? 0 : offset + 4 > literal.length ? 3 : -1;
  const at = (i: number) => i === outside ? 0 : literal[offset + i]!;
  const gram = gramOf(at(0), at(1), at(2), at(3));
  if (outside < 0) return visit(gram);
  for (let any = 0; any < 256; any++) visit(gram | any << 8 * outside);
}
