/**
 * A column chunk's bytes to its values. What DuckDB writes is read, and no more: one page of a dictionary
 * at most, data pages of the first kind, no repeated values; zstd or none.
 *
 * | column | values |
 * |--------|--------|
 * | of numbers | `Float64Array`; NaN where there is none |
 * | of texts | all bytes, and where each begins and ends; equal texts may be one. -1 where there is none |
 */
import { zstdDecompressSync } from "node:zlib";
import { type Arrays, newArrays, spareBytes } from "./arrays.ts";
import { Bits, readDeltas, readRuns } from "./encodings.ts";
import { type ColumnChunk, ParquetError } from "./footer.ts";
import { type Struct, ThriftReader } from "./thrift.ts";

export interface Texts {
  bytes: Uint8Array;
  /** Text i is bytes[starts[i], ends[i]). */
  starts: Int32Array;
  ends: Int32Array;
  /** The text of each row, by its number; -1: none. */
  index: Int32Array;
  /** So many behind the bytes are nobody's: who looks at them in words may write there. */
  spareBytes: number;
}

const codecs = { none: 0, zstd: 6 };
const physical = { int32: 1, int64: 2, bytes: 6 };
const encodings = { plain: 0, plainDictionary: 2, rle: 3, delta: 5, deltaLength: 6, dictionary: 8 };
/** Smaller buffers may be parts of one that others have, too. */
const ownBytesMin = 8192;
/** A row group of ours is some 10 MB of text. */
const pageBytesMax = 512 * 1024 * 1024;

interface Page {
  isDictionary: boolean;
  values: number;
  encoding: number;
  body: Uint8Array;
}

/** A column of whole numbers. Throws `ParquetError`. */
export function readNumbers(
  chunk: ColumnChunk,
  bytes: Uint8Array,
  arrays: Arrays = newArrays,
): Float64Array {
  let out: Float64Array | undefined;
  let dictionary: Float64Array | undefined;
  let at = 0;
  for (const page of pages(chunk, bytes, arrays)) {
    if (page.isDictionary) dictionary = plainNumbers(page.body, page.values, chunk.type);
    else {
      const { rows, present, bits } = dataPage(page, arrays);
      const values = numbersOf(page, bits, present, dictionary, chunk.type, arrays);
      if (!rows && page.values === chunk.values) return values;
      spread(values, rows, out ??= arrays.float64(chunk.values), at, NaN);
      at += page.values;
    }
  }
  return complete(out ?? new Float64Array(0), at, chunk);
}

/** A column of texts. Throws `ParquetError`. */
export function readTexts(
  chunk: ColumnChunk,
  bytes: Uint8Array,
  arrays: Arrays = newArrays,
): Texts {
  let index: Int32Array | undefined;
  const parts: Parts[] = [];
  let [at, known, dictionaryAt, inDictionary] = [0, 0, 0, 0];
  const keep = (part: Parts) => {
    parts.push(part);
    known += part.starts.length;
    return known - part.starts.length;
  };
  for (const page of pages(chunk, bytes, arrays)) {
    if (page.isDictionary) {
      dictionaryAt = keep(plainTexts(page.body, 0, page.values));
      inDictionary = page.values;
      continue;
    }
    const { rows, present, bits } = dataPage(page, arrays);
    const isIndex = isDictionary(page.encoding);
    const from = isIndex ? dictionaryAt : keep(textsOf(page, bits, present, arrays));
    const values = isIndex
      ? readIndex(bits, present, inDictionary, arrays)
      : numbered(present, arrays);
    if (from > 0) { for (let i = 0; i < present; i++) values[i]! += from; }
    if (!rows && page.values === chunk.values) index = values;
    else spread(values, rows, index ??= arrays.int32(chunk.values), at, -1);
    at += page.values;
  }
  index ??= new Int32Array(0);
  complete(index, at, chunk);
  return joined(parts, index, chunk.codec === codecs.zstd);
}

type Parts = Pick<Texts, "bytes" | "starts" | "ends">;

function* pages(chunk: ColumnChunk, bytes: Uint8Array, arrays: Arrays): Generator<Page> {
  let at = 0;
  for (let values = 0; values < chunk.values;) {
    const reader = new ThriftReader(bytes, at);
    const header = reader.struct();
    const [type, raw, size] = [1, 2, 3].map((id) => header.get(id) as number);
    at = reader.at + size!;
    if (at > bytes.length || !(raw! <= pageBytesMax)) throw new ParquetError("a page is damaged");
    const stored = bytes.subarray(reader.at, at);
    const what = header.get(type === 2 ? 7 : 5) as Struct | undefined;
    if (!what) throw new ParquetError(`it has a page of type ${type}, which DuckDB doesn't write`);
    const page = {
      isDictionary: type === 2,
      values: what.get(1) as number,
      encoding: what.get(2) as number,
      body: decompressed(chunk, stored, raw!, arrays),
    };
    if (!page.isDictionary) values += page.values;
    yield page;
  }
}

function decompressed(
  chunk: ColumnChunk,
  stored: Uint8Array,
  bytes: number,
  arrays: Arrays,
): Uint8Array {
  if (chunk.codec === codecs.none) return stored;
  if (chunk.codec !== codecs.zstd) {
    throw new ParquetError(`its codec must be zstd (6) or none (0): it is ${chunk.codec}`);
  }
  const page = arrays.page(stored, bytes);
  if (page) return page;
  // As for frames of segments: a chunk of the full size saves growing and copying.
  const text = zstdDecompressSync(stored, {
    maxOutputLength: Math.max(bytes, 1),
    chunkSize: Math.max(bytes + spareBytes, 128),
  });
  if (text.length === bytes) return text;
  throw new ParquetError(`a page holds ${text.length} bytes where it promises ${bytes}`);
}

/** Which rows have a value, if not all have; and where the values begin. */
function dataPage(
  page: Page,
  arrays: Arrays,
): { rows: Int32Array | undefined; present: number; bits: Bits } {
  const bits = new Bits(page.body);
  const length = bits.byte() + bits.byte() * 2 ** 8 + bits.byte() * 2 ** 16 + bits.byte() * 2 ** 24;
  const end = bits.at + length;
  const rows = isAllPresent(bits, page.values)
    ? undefined
    : readRuns(bits, 1, page.values, 2, arrays);
  bits.at = end;
  let present = rows ? 0 : page.values;
  if (rows) { for (let i = 0; i < rows.length; i++) present += rows[i]!; }
  return { rows, present, bits };
}

/** One run of ones, as it nearly always is. Moves on only if it isn't. */
function isAllPresent(bits: Bits, values: number): boolean {
  const start = bits.at;
  const head = bits.varint();
  if (head % 2 === 0 && head / 2 >= values && bits.byte() === 1) return true;
  bits.at = start;
  return false;
}

function spread(
  values: Int32Array | Float64Array,
  rows: Int32Array | undefined,
  out: Int32Array | Float64Array,
  at: number,
  none: number,
): void {
  if (!rows) return out.set(values, at);
  for (let i = 0, next = 0; i < rows.length; i++) out[at + i] = rows[i] ? values[next++]! : none;
}

function isDictionary(encoding: number): boolean {
  return encoding === encodings.dictionary || encoding === encodings.plainDictionary;
}

function numbersOf(
  { encoding }: Page,
  bits: Bits,
  count: number,
  dictionary: Float64Array | undefined,
  type: number,
  arrays: Arrays,
): Float64Array {
  if (encoding === encodings.delta) return readDeltas(bits, arrays);
  if (encoding === encodings.plain) return plainNumbers(bits.bytes.subarray(bits.at), count, type);
  if (!isDictionary(encoding) || !dictionary) throw unknownEncoding(encoding);
  const index = readIndex(bits, count, dictionary.length, arrays);
  const values = arrays.float64(count);
  for (let i = 0; i < count; i++) values[i] = dictionary[index[i]!]!;
  return values;
}

function readIndex(bits: Bits, count: number, known: number, arrays: Arrays): Int32Array {
  // A page that has no value has no width.
  return count === 0 ? new Int32Array(0) : readRuns(bits, bits.byte(), count, known, arrays);
}

function plainNumbers(bytes: Uint8Array, count: number, type: number): Float64Array {
  const size = type === physical.int32 ? 4 : 8;
  if (type !== physical.int32 && type !== physical.int64) {
    throw new ParquetError(`a column of numbers is of type ${type}`);
  }
  if (bytes.length < count * size) throw new ParquetError("a page ends too soon");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    out[i] = size === 4
      ? view.getInt32(4 * i, true)
      : view.getUint32(8 * i, true) + view.getInt32(8 * i + 4, true) * 0x1_0000_0000;
  }
  return out;
}

function textsOf({ encoding }: Page, bits: Bits, count: number, arrays: Arrays): Parts {
  if (encoding === encodings.plain) return plainTexts(bits.bytes, bits.at, count);
  if (encoding !== encodings.deltaLength) throw unknownEncoding(encoding);
  const starts = arrays.int32(count);
  const ends = arrays.int32(count);
  const lengths = count === 0 ? new Float64Array(0) : readDeltas(bits, arrays);
  let at = bits.at;
  for (let i = 0; i < count; i++) {
    starts[i] = at;
    ends[i] = at += lengths[i]!;
  }
  if (at > bits.bytes.length) throw new ParquetError("a page ends too soon");
  return { bytes: bits.bytes, starts, ends };
}

function plainTexts(bytes: Uint8Array, from: number, count: number): Parts {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const starts = new Int32Array(count);
  const ends = new Int32Array(count);
  let at = from;
  for (let i = 0; i < count; i++) {
    if (at + 4 > bytes.length) throw new ParquetError("a page ends too soon");
    starts[i] = at + 4;
    ends[i] = at = at + 4 + view.getInt32(at, true);
  }
  if (at > bytes.length) throw new ParquetError("a page ends too soon");
  return { bytes, starts, ends };
}

function numbered(count: number, arrays: Arrays): Int32Array {
  const numbers = arrays.int32(count);
  for (let i = 0; i < count; i++) numbers[i] = i;
  return numbers;
}

function joined(parts: Parts[], index: Int32Array, isOwn: boolean): Texts {
  if (parts.length === 1) {
    const { bytes } = parts[0]!;
    const spare = isOwn && bytes.length >= ownBytesMin && bytes.byteOffset === 0;
    const spareBytes = spare ? bytes.buffer.byteLength - bytes.length : 0;
    return { ...parts[0]!, index, spareBytes };
  }
  const length = parts.reduce((sum, part) => sum + part.bytes.length, 0);
  const bytes = new Uint8Array(length + spareBytes).subarray(0, length);
  const count = parts.reduce((sum, part) => sum + part.starts.length, 0);
  const [starts, ends] = [new Int32Array(count), new Int32Array(count)];
  let [at, next] = [0, 0];
  for (const part of parts) {
    bytes.set(part.bytes, at);
    for (let i = 0; i < part.starts.length; i++, next++) {
      starts[next] = at + part.starts[i]!;
      ends[next] = at + part.ends[i]!;
    }
    at += part.bytes.length;
  }
  return { bytes, starts, ends, index, spareBytes };
}

function complete<T>(out: T, values: number, chunk: ColumnChunk): T {
  if (values === chunk.values) return out;
  throw new ParquetError(`${chunk.name} has ${values} values where it promises ${chunk.values}`);
}

function unknownEncoding(encoding: number): ParquetError {
  return new ParquetError(`it has a page in encoding ${encoding}, which DuckDB doesn't write`);
}
