/**
 * The encodings of Parquet that DuckDB writes, bytes to values: run-length and bit-packed numbers, packed
 * differences, texts behind their lengths.
 *
 * | encoding | bytes |
 * |----------|-------|
 * | RLE / bit-packed | runs: varint h; h even: value repeated h/2 times; h odd: (h >> 1) * 8 packed values |
 * | DELTA_BINARY_PACKED | varints: block size, miniblocks, count; first value; blocks: least difference, widths, packed rest |
 * | DELTA_LENGTH_BYTE_ARRAY | the lengths as DELTA_BINARY_PACKED, then all bytes |
 *
 * Source: Encodings.md of apache/parquet-format.
 */
import { type Arrays, newArrays } from "./arrays.ts";
import { ParquetError } from "./footer.ts";

/** Reads numbers from bytes. Reading beyond the end throws `ParquetError`. */
export class Bits {
  constructor(readonly bytes: Uint8Array, public at = 0) {}

  byte(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw new ParquetError("a page ends too soon");
    return byte;
  }

  varint(): number {
    let [value, factor] = [0, 1];
    for (let i = 0; i < 10; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
    throw new ParquetError("a page has a number that is too long");
  }

  zigzag(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** `count` values of `width` bits each into `out` from `to` on. */
  packed(out: Numbers, to: number, count: number, width: number, add = 0): void {
    const end = this.at + Math.ceil(count * width / 8);
    if (end > this.bytes.length) throw new ParquetError("a page ends too soon");
    if (width === 0) out.fill(add, to, to + count);
    else if (width <= 24) this.#narrow(out, to, count, width, add);
    else this.#wide(out, to, count, width, add);
    this.at = end;
  }

  #narrow(out: Numbers, to: number, count: number, width: number, add: number): void {
    const { bytes } = this;
    const mask = (1 << width) - 1;
    let [held, bits, at] = [0, 0, this.at];
    for (let i = 0; i < count; i++) {
      while (bits < width) {
        held |= bytes[at++]! << bits;
        bits += 8;
      }
      out[to + i] = (held & mask) + add;
      held >>>= width;
      bits -= width;
    }
  }

  /** In two halves of at most 24 bits: beyond 32 bits there are no shifts. */
  #wide(out: Numbers, to: number, count: number, width: number, add: number): void {
    const { bytes } = this;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const highMask = (1 << (width - 24)) - 1;
    // Each half is read as four bytes, which must be there.
    const safe = width > 48
      ? 0
      : Math.min(count, Math.floor(8 * (bytes.length - this.at - 8) / width));
    let bit = 8 * this.at;
    for (let i = 0; i < safe; i++, bit += width) {
      const low = (view.getUint32(bit >>> 3, true) >>> (bit & 7)) & 0xffffff;
      const rest = bit + 24;
      const high = (view.getUint32(rest >>> 3, true) >>> (rest & 7)) & highMask;
      out[to + i] = low + high * 0x1_000_000 + add;
    }
    for (let i = Math.max(0, safe); i < count; i++) {
      out[to + i] = this.#slow(8 * this.at + i * width, width) + add;
    }
  }

  #slow(bit: number, width: number): number {
    return Number(this.bigAt(bit, width));
  }

  /** `width` bits from a bit on. */
  bigAt(bit: number, width: number): bigint {
    let value = 0n;
    const last = Math.floor((bit + width - 1) / 8);
    if (last >= this.bytes.length) throw new ParquetError("a page ends too soon");
    for (let at = last; at >= Math.floor(bit / 8); at--) {
      value = value << 8n | BigInt(this.bytes[at]!);
    }
    return BigInt.asUintN(width, value >> BigInt(bit % 8));
  }

  bigZigzag(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value & 1n ? -(value >> 1n) - 1n : value >> 1n;
    }
    throw new ParquetError("a page has a number that is too long");
  }
}

export type Numbers = Int32Array | Float64Array;

/** `count` numbers below `most`, in runs. */
export function readRuns(
  bits: Bits,
  width: number,
  count: number,
  most = Infinity,
  arrays: Arrays = newArrays,
): Int32Array {
  const out = arrays.int32(count);
  for (let at = 0; at < count;) {
    const head = bits.varint();
    if (head & 1) {
      const packed = (head >> 1) * 8;
      const used = Math.min(packed, count - at);
      unpack(bits, out, at, used, width);
      for (let i = at; i < at + used; i++) if (out[i]! >= most) throw unknownValue();
      bits.at += Math.floor(packed * width / 8);
      at += used;
    } else {
      let value = 0;
      for (let shift = 0; shift < width; shift += 8) value |= bits.byte() << shift;
      const end = Math.min(count, at + head / 2);
      if (end === at) throw new ParquetError("a page has an empty run");
      if (value >= most) throw unknownValue();
      out.fill(value, at, end);
      at = end;
    }
  }
  return out;
}

function unknownValue(): ParquetError {
  return new ParquetError("a page names a value that isn't in its dictionary");
}

/** Without moving on. */
function unpack(bits: Bits, out: Int32Array, to: number, count: number, width: number): void {
  const { bytes } = bits;
  if (width > 24) throw new ParquetError("a page has numbers that are too wide");
  const end = bits.at + Math.ceil(count * width / 8);
  if (end > bytes.length) throw new ParquetError("a page ends too soon");
  const mask = (1 << width) - 1;
  let bit = 8 * bits.at;
  // Behind the end there is nothing, which is as good as zeros.
  for (let i = to; i < to + count; i++, bit += width) {
    const at = bit >>> 3;
    const word = bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24;
    out[i] = (word >>> (bit & 7)) & mask;
  }
}

/** Differences within this can be added up without loss. */
const exactMax = 2 ** 51;

/** Values that are safe integers. */
export function readDeltas(bits: Bits, arrays: Arrays = newArrays): Float64Array {
  const start = bits.at;
  const { miniblocks, size, count } = readDeltaHead(bits);
  const out = arrays.float64(Math.max(1, count + size));
  let value = out[0] = bits.zigzag();
  for (let at = 1; at < count;) {
    const least = bits.zigzag();
    const widths = Array.from({ length: miniblocks }, () => bits.byte());
    for (const width of widths) {
      if (at >= count) break;
      if (width > 51 || Math.abs(least) > exactMax) {
        return exactDeltas(new Bits(bits.bytes, start), bits);
      }
      value = addUp(bits, out, at, Math.min(at + size, count), size, width, least, value);
      at += size;
    }
  }
  return out.subarray(0, count);
}

/** One miniblock; gives its last value. */
function addUp(
  bits: Bits,
  out: Float64Array,
  from: number,
  to: number,
  size: number,
  width: number,
  least: number,
  before: number,
): number {
  const { bytes } = bits;
  let value = before;
  if (width === 0) {
    for (let i = from; i < to; i++) out[i] = value += least;
    return value;
  }
  const end = bits.at + size * width / 8;
  if (width > 24 || end + 4 > bytes.length) {
    bits.packed(out, from, size, width, least);
    for (let i = from; i < to; i++) out[i] = value += out[i]!;
    return value;
  }
  const mask = (1 << width) - 1;
  let bit = 8 * bits.at;
  for (let i = from; i < to; i++, bit += width) {
    const at = bit >>> 3;
    const word = bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24;
    out[i] = value += ((word >>> (bit & 7)) & mask) + least;
  }
  bits.at = end;
  return value;
}

/** The same for differences of any size, slowly: seqs of a stranger may jump from end to end. */
function exactDeltas(bits: Bits, end: Bits): Float64Array {
  const { miniblocks, size, count } = readDeltaHead(bits);
  const out = new Float64Array(count);
  let value = bits.bigZigzag();
  out[0] = Number(value);
  for (let at = 1; at < count;) {
    const least = bits.bigZigzag();
    const widths = Array.from({ length: miniblocks }, () => bits.byte());
    for (const width of widths) {
      if (at >= count) break;
      for (let i = 0; i < size; i++) {
        const difference = least + bits.bigAt(8 * bits.at + i * width, width);
        if (at + i >= count) continue;
        value = BigInt.asIntN(64, value + difference);
        out[at + i] = Number(value);
      }
      bits.at += size * width / 8;
      at += size;
    }
  }
  end.at = bits.at;
  return out;
}

function readDeltaHead(bits: Bits): { miniblocks: number; size: number; count: number } {
  const blockSize = bits.varint();
  const miniblocks = bits.varint();
  const count = bits.varint();
  const size = blockSize / miniblocks;
  if (size % 8 === 0 && size > 0 && miniblocks <= 512 && count < 2 ** 31) {
    return { miniblocks, size, count };
  }
  throw new ParquetError("a page is damaged");
}
