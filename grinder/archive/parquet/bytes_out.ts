/** Bytes that grow, and the encodings of encodings.ts the other way round: values in, bytes at the end out. */

const firstBytes = 4 * 1024;

export class BytesOut {
  bytes = new Uint8Array(firstBytes);
  /** Of all of `bytes`. */
  view = new DataView(this.bytes.buffer);
  length = 0;

  get all(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
  }

  /** Makes room for so many more. */
  reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.bytes.length, this.length + more));
    grown.set(this.all);
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  set(from: Uint8Array): void {
    this.reserve(from.length);
    this.bytes.set(from, this.length);
    this.length += from.length;
  }

  /** Byte strings. */
  text(text: string): void {
    this.reserve(text.length);
    for (let i = 0; i < text.length; i++) this.bytes[this.length++] = text.charCodeAt(i);
  }

  /** Little-endian, 4 bytes. */
  int32(value: number): void {
    this.reserve(4);
    this.view.setInt32(this.length, value, true);
    this.length += 4;
  }

  /** Little-endian, 8 bytes; a safe integer. */
  int64(value: number): void {
    const high = Math.floor(value / 0x1_0000_0000);
    this.int32(value - high * 0x1_0000_0000);
    this.int32(high);
  }

  /** From 0 on, and even beyond 2^53. */
  varint(value: number): void {
    this.reserve(10);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
      this.bytes[this.length++] = (rest % 0x80) | 0x80;
    }
    this.bytes[this.length++] = rest;
  }

  /** A whole number within 2^52. */
  zigzag(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** Values of `width` bits each, from 0 on; the last byte is filled up with zeros. */
  packed(values: Numbers, from: number, to: number, width: number): void {
    this.reserve(Math.ceil((to - from) * width / 8) + 1);
    if (width <= 24) this.#narrow(values, from, to, width);
    else this.#wide(values, from, to, width);
  }

  #narrow(values: Numbers, from: number, to: number, width: number): void {
    const { bytes } = this;
    let [held, bits, at] = [0, 0, this.length];
    for (let i = from; i < to; i++) {
      held |= values[i]! << bits;
      for (bits += width; bits >= 8; bits -= 8) {
        bytes[at++] = held;
        held >>>= 8;
      }
    }
    if (bits > 0) bytes[at++] = held;
    this.length = at;
  }

  /** In parts of at most 24 bits: beyond 32 bits there are no shifts. */
  #wide(values: Numbers, from: number, to: number, width: number): void {
    const { bytes } = this;
    let [held, bits, at] = [0, 0, this.length];
    for (let i = from; i < to; i++) {
      let rest = values[i]!;
      for (let left = width; left > 0; left -= 24) {
        const part = rest % 0x1_000_000;
        rest = (rest - part) / 0x1_000_000;
        held |= part << bits;
        for (bits += Math.min(left, 24); bits >= 8; bits -= 8) {
          bytes[at++] = held;
          held >>>= 8;
        }
      }
    }
    if (bits > 0) bytes[at++] = held;
    this.length = at;
  }
}

export type Numbers = Float64Array | Int32Array | Uint8Array;

/** Values in a block of differences, and in each of its parts, which have a width of their own. */
const [blockValues, miniblocks] = [512, 8];
const partValues = blockValues / miniblocks;

/** Numbers beyond the first, and differences beyond the second, can't be added up without loss. */
const [exactMax, rangeMax] = [2 ** 52, 2 ** 50];

/** Whether `putDeltas` can be trusted with numbers from `min` to `max`. */
export function areNear(min: number, max: number): boolean {
  return min >= -exactMax && max <= exactMax && max - min <= rangeMax;
}

const deltas = new Float64Array(blockValues);

/** DELTA_BINARY_PACKED. */
export function putDeltas(out: BytesOut, values: Float64Array, count: number): void {
  out.varint(blockValues);
  out.varint(miniblocks);
  out.varint(count);
  out.zigzag(count === 0 ? 0 : values[0]!);
  for (let at = 1; at < count; at += blockValues) {
    putDeltaBlock(out, values, at, Math.min(blockValues, count - at));
  }
}

function putDeltaBlock(out: BytesOut, values: Float64Array, at: number, count: number): void {
  let least = Infinity;
  for (let i = 0; i < count; i++) {
    const delta = deltas[i] = values[at + i]! - values[at + i - 1]!;
    if (delta < least) least = delta;
  }
  for (let i = 0; i < count; i++) deltas[i]! -= least;
  deltas.fill(0, count);
  out.zigzag(least);
  const widthsAt = out.length;
  for (let i = 0; i < miniblocks; i++) out.byte(0);
  for (let i = 0; i * partValues < count; i++) {
    const from = i * partValues;
    const width = widthOf(deltas, from, from + partValues);
    out.bytes[widthsAt + i] = width;
    // The last part is whole, whatever it holds.
    out.packed(deltas, from, from + partValues, width);
  }
}

function widthOf(values: Float64Array, from: number, to: number): number {
  let most = 0;
  for (let i = from; i < to; i++) if (values[i]! > most) most = values[i]!;
  return bitsOf(most);
}

/** How many bits a number from 0 on takes. */
export function bitsOf(value: number): number {
  if (value < 0x1_0000_0000) return 32 - Math.clz32(value);
  return 64 - Math.clz32(Math.floor(value / 0x1_0000_0000));
}

/** Equal values from which on a run is shorter than they are. */
const runLeast = 8;

/** RLE / bit-packed. */
export function putRuns(
  out: BytesOut,
  values: Int32Array | Uint8Array,
  count: number,
  width: number,
): void {
  for (let at = 0; at < count;) {
    const run = runAt(values, at, count, count);
    if (run >= runLeast || run === count - at) {
      out.varint(2 * run);
      for (let shift = 0; shift < width; shift += 8) out.byte(values[at]! >>> shift);
      at += run;
      continue;
    }
    const from = at;
    do at += 8; while (at < count && runAt(values, at, count, runLeast) < runLeast);
    out.varint(2 * Math.ceil((Math.min(at, count) - from) / 8) + 1);
    const end = out.length + (at - from) / 8 * width;
    out.packed(values, from, Math.min(at, count), width);
    // What is missing of the last eight.
    while (out.length < end) out.byte(0);
  }
}

function runAt(values: Int32Array | Uint8Array, at: number, count: number, most: number): number {
  const value = values[at];
  const end = Math.min(count, at + most);
  let next = at + 1;
  while (next < end && values[next] === value) next++;
  return next - at;
}
