/**
 * Lines and names in a text's bytes, four bytes at a time: there are hundreds of thousands of headers a
 * second. A text begins at a multiple of 4 in its buffer; the machine is little-endian, as all are that
 * the runtimes are made for.
 */
const newline = 10;
const newlines = 0x0a0a_0a0a;
const low7 = 0x7f7f_7f7f;

/** The bit 7 of each byte of a word that is the byte four times in `pattern`. */
function equalBits(word: number, pattern: number): number {
  const x = word ^ pattern;
  return ~(((x & low7) + low7) | x | low7);
}

/** A text's bytes, also as words; the last word may be cut off. */
export interface Text {
  bytes: Uint8Array;
  words: Int32Array;
}

export function textOf(bytes: Uint8Array): Text {
  const { buffer, byteOffset, length } = bytes;
  return { bytes, words: new Int32Array(buffer, byteOffset, length >> 2) };
}

/** Where the first newline stands, at or behind a place; `end` if there is none before that. */
export function newlineFrom(text: Text, start: number, end: number): number {
  return byteFrom(text, newline, start, end);
}

/** The same of any byte that is below 0x80. */
export function byteFrom({ bytes, words }: Text, byte: number, start: number, end: number): number {
  const pattern = Math.imul(byte, 0x0101_0101);
  let at = start;
  for (; (at & 3) !== 0 && at < end; at++) if (bytes[at] === byte) return at;
  for (; at + 4 <= end; at += 4) {
    const bits = equalBits(words[at >> 2]!, pattern);
    if (bits !== 0) return at + ((31 - Math.clz32(bits & -bits)) >> 3);
  }
  for (; at < end; at++) if (bytes[at] === byte) return at;
  return end;
}

/** Where the line begins that the byte before `end` is in; not before `start`. */
export function lineStart({ bytes, words }: Text, start: number, end: number): number {
  let at = end;
  for (; (at & 3) !== 0 && at > start; at--) if (bytes[at - 1] === newline) return at;
  for (; at - 4 >= start; at -= 4) {
    const bits = equalBits(words[(at >> 2) - 1]!, newlines);
    if (bits !== 0) return at - (Math.clz32(bits) >> 3);
  }
  for (; at > start; at--) if (bytes[at - 1] === newline) return at;
  return start;
}

/**
 * Copies bytes to the beginning of a word, with zeros behind them up to a whole word; returns a hash of
 * them, of 30 bits so that it is a small integer.
 */
export function copyHashed(
  { bytes, words }: Text,
  start: number,
  end: number,
  to: Int32Array,
  toWord: number,
): number {
  const shift = (start & 3) << 3;
  let from = start >> 2;
  let hash = 0;
  let next = toWord;
  for (let left = end - start; left > 0; left -= 4, from++) {
    let word = wordAt(bytes, words, from);
    if (shift !== 0) word = (word >>> shift) | (wordAt(bytes, words, from + 1) << (32 - shift));
    if (left < 4) word &= (1 << (left << 3)) - 1;
    to[next++] = word;
    hash = Math.imul(hash ^ word, 0x9e37_79b1);
    hash ^= hash >>> 15;
  }
  return hash & 0x3fff_ffff;
}

/** Also the last one, of which not all may be there. */
function wordAt(bytes: Uint8Array, words: Int32Array, index: number): number {
  if (index < words.length) return words[index]!;
  const at = index << 2;
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16);
}
