/**
 * Which grams stand in a text, as bits: so it is known of most texts, without looking at them, that a
 * literal can't be in them. A gram is four bytes in a row, at any place; whichever share a bit count as
 * one, so that a bit that isn't set is the only sure word.
 *
 * | bytes | meaning |
 * |-------|---------|
 * | 2^13 at most, a power of two | bit s & 7 of byte s >> 3: some gram is there whose hash begins with the bits of s |
 *
 * A text of 1 MiB has some 40,000 grams, log text repeats itself: half of 2^16 bits is set by it. A literal
 * that isn't there has many grams, and all of them would have to be among those bits by chance.
 */

const gramBytes = 4;
/** Odd, without a pattern: what two grams have in common is spread over all bits. */
const factor = 0x9e37_79b1 | 0;
/** More bits than a text of 1 MiB can do with; what it doesn't need is folded away. */
const flagBits = 17;
const flagCount = 1 << flagBits;
const bytesMin = 64;
/** With more of them set than that, bits don't tell enough any more. Measured: see docs/history.md. */
const filledMax = 0.55;

/** Of each byte its pairs of bits, as the bits of half a byte: set where one of the two is. */
const folded = Uint8Array.from({ length: 256 }, (_, byte) => {
  const either = byte | byte >> 1;
  return either & 1 | either >> 1 & 2 | either >> 2 & 4 | either >> 3 & 8;
});
const ones = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
});

/** The grams of one text. */
export class GramFlags {
  /** A byte for each bit: to set those is less work. */
  readonly #flags = new Uint8Array(flagCount);

  /**
   * All grams in the first `length` bytes, and maybe some behind them: there are `words` for 8 bytes more.
   */
  take(words: Int32Array, length: number): void {
    const flags = this.#flags;
    flags.fill(0);
    const last = length - gramBytes >> 2;
    const shift = 32 - flagBits;
    let word = words[0]!;
    for (let i = 0; i <= last; i++) {
      const next = words[i + 1]!;
      flags[Math.imul(word, factor) >>> shift] = 1;
      flags[Math.imul(word >>> 8 | next << 24, factor) >>> shift] = 1;
      flags[Math.imul(word >>> 16 | next << 16, factor) >>> shift] = 1;
      flags[Math.imul(word >>> 24 | next << 8, factor) >>> shift] = 1;
      word = next;
    }
  }

  /** As bits, all there are. */
  pack(out: Uint8Array): number {
    const flags = this.#flags;
    for (let at = 0, byte = 0; at < flagCount; at += 8, byte++) {
      out[byte] = flags[at]! | flags[at + 1]! << 1 | flags[at + 2]! << 2 | flags[at + 3]! << 3 |
        flags[at + 4]! << 4 | flags[at + 5]! << 5 | flags[at + 6]! << 6 | flags[at + 7]! << 7;
    }
    return flagCount / 8;
  }
}

/** Those of several texts: adds to the first ones. */
export function unite(bits: Uint8Array, more: Uint8Array): void {
  for (let i = 0; i < bits.length; i++) bits[i]! |= more[i]!;
}

/** As few bits as tell enough. */
export function fold(bits: Uint8Array): Uint8Array {
  let all = bits;
  while (all.length > bytesMin) {
    const half = new Uint8Array(all.length / 2);
    let set = 0;
    for (let i = 0; i < half.length; i++) {
      const byte = folded[all[2 * i]!]! | folded[all[2 * i + 1]!]! << 4;
      half[i] = byte;
      set += ones[byte]!;
    }
    if (set > filledMax * 8 * half.length) break;
    all = half;
  }
  return all;
}

/** Of each gram of a byte string; none if it is shorter than one. */
export function gramHashes(text: string): Uint32Array {
  const code = (at: number) => text.charCodeAt(at) & 0xff;
  return Uint32Array.from({ length: Math.max(0, text.length - gramBytes + 1) }, (_, at) => {
    const gram = code(at) | code(at + 1) << 8 | code(at + 2) << 16 | code(at + 3) << 24;
    return Math.imul(gram, factor);
  });
}

/** False if one of the grams isn't in the text of these bits. */
export function mayHold(bits: Uint8Array, hashes: Uint32Array): boolean {
  const shift = Math.clz32(8 * bits.length - 1);
  for (const hash of hashes) {
    const slot = hash >>> shift;
    if ((bits[slot >> 3]! >> (slot & 7) & 1) === 0) return false;
  }
  return true;
}
