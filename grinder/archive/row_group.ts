/**
 * A row group of an archive file in, its records out: each as the bytes that it was (columns.ts has the
 * table), and the names and times of its block.
 */
import { Buffer } from "node:buffer";
import type { BlockHeader } from "../../shared/block.ts";
import { type LinePlace, placeHash } from "./bucket.ts";
import { type Column, columns, decode, streamColumns } from "./columns.ts";
import { readNumbers, readTexts, type Texts } from "./parquet/column_in.ts";
import type { RowGroup as GroupMeta } from "./parquet/footer.ts";
import type { ChunkBytes, ParquetFile } from "./parquet/parquet_file.ts";
import { hashOf } from "./row_hash.ts";

const numberColumns = [
  "seq",
  "time",
  "started",
  "recv",
  "prio",
  "segment",
  "frame",
  "line",
] as const;
type NumberColumn = typeof numberColumns[number];
type TextColumn = Exclude<Column, NumberColumn>;
/** Those that nearly all rows lack; where all of a group do, there is nothing to read. */
const rareColumns = ["fields", "more", "prefix", "receiver", "epoch"] as const;
type RareColumn = typeof rareColumns[number];
type TextsOf =
  & Record<Exclude<TextColumn, RareColumn>, Texts>
  & Record<RareColumn, Texts | undefined>;

/** A number, in digits, with a comma, takes at most so much; so does a flag. */
const prefixBytesMax = 4 * 20;

export class RowGroup {
  readonly rows: number;
  readonly seq: Float64Array;
  readonly time: Float64Array;
  readonly recv: Float64Array;
  readonly flag: Texts;
  readonly text: Texts;
  readonly #numbers: Record<NumberColumn, Float64Array>;
  readonly #texts: TextsOf;
  /** For each flag that occurs. */
  readonly #ordinary: Uint8Array;

  constructor(meta: GroupMeta, chunks: ReadonlyMap<string, ChunkBytes>) {
    const isNumber = (name: Column): name is NumberColumn =>
      (numberColumns as readonly string[]).includes(name);
    const numbers: Partial<Record<NumberColumn, Float64Array>> = {};
    const texts: Partial<Record<TextColumn, Texts>> = {};
    for (const name of columns) {
      const part = chunks.get(name);
      if (!part) continue;
      const { chunk, bytes } = part;
      if (isNumber(name)) numbers[name] = readNumbers(chunk, bytes);
      else texts[name] = readTexts(chunk, bytes);
    }
    this.rows = meta.rows;
    this.#numbers = numbers as Record<NumberColumn, Float64Array>;
    this.#texts = texts as TextsOf;
    this.seq = this.#numbers.seq;
    this.time = this.#numbers.time;
    this.recv = this.#numbers.recv;
    this.flag = this.#texts.flag;
    this.text = this.#texts.text;
    const { bytes, starts, ends } = this.flag;
    this.#ordinary = Uint8Array.from(starts, (start, i) => {
      // `g`, `s`, `!`
      const isOther = [0x67, 0x73, 0x21].includes(bytes[start]!) && ends[i]! - start === 1;
      return isOther ? 0 : 1;
    });
  }

  static async read(file: ParquetFile, meta: GroupMeta): Promise<RowGroup> {
    const isThere = (name: string) => meta.columns.get(name)?.nulls !== meta.rows;
    return new RowGroup(meta, await file.chunks(meta, columns.filter(isThere)));
  }

  /** The first row behind `row` that is of another stream or boot. */
  streamEnd(row: number): number {
    const indexes = streamColumns.map((name) => this.#texts[name].index);
    let end = this.rows;
    for (const index of indexes) {
      const value = index[row]!;
      let at = row + 1;
      while (at < end && index[at] === value) at++;
      end = at;
    }
    return end;
  }

  /** Of a row's block; what its numbers say of the records isn't known here. */
  names(row: number): Pick<BlockHeader, typeof streamColumns[number]> {
    const [device, boot, source, stream] = streamColumns.map((name) => this.#string(name, row));
    return { device: device!, boot: boot!, source: source!, stream: stream! };
  }

  device(row: number): string {
    return this.#string("device", row);
  }

  /** Of a line that isn't known by a seq. */
  place(row: number): LinePlace | undefined {
    if (!this.isPlaced(row)) return undefined;
    const { segment, frame, line } = this.#numbers;
    return {
      receiver: this.#string("receiver", row),
      epoch: this.#string("epoch", row),
      segment: segment[row]!,
      frame: frame[row]!,
      line: line[row]!,
    };
  }

  isPlaced(row: number): boolean {
    const { receiver } = this.#texts;
    return receiver !== undefined && receiver.index[row]! >= 0;
  }

  placeHash(row: number): number {
    return this.isPlaced(row) ? placeHash(this.place(row)!) : 0;
  }

  /** What the hashes of a stream's rows begin with. */
  namesHash(row: number): number {
    return hashOf(streamColumns.map((name) => this.#string(name, row)).join(" "));
  }

  /** Whether it counts as a record of its seq: not a `g` or `s` record, nor a line that is none. */
  isOrdinary(row: number): boolean {
    return this.#ordinary[this.flag.index[row]!] === 1;
  }

  /** How many bytes `write` may need. */
  bytesMax(row: number): number {
    const { text, fields, more, prefix } = this.#texts;
    const bytes = prefixBytesMax + lengthOf(text, row);
    return bytes + lengthOf(fields, row) + lengthOf(more, row) + lengthOf(prefix, row);
  }

  /** Puts the record at `at`, newlines and all; gives where it ends. */
  write(row: number, out: Uint8Array, at: number): number {
    const { prefix, fields, more } = this.#texts;
    if (prefix && prefix.index[row]! >= 0) return this.#writeOdd(row, out, at);
    const numbers = this.#numbers;
    let next = putNumber(numbers.prio[row]!, out, at);
    out[next++] = 0x2c;
    next = putNumber(this.seq[row]!, out, next);
    out[next++] = 0x2c;
    next = putNumber(this.time[row]! - numbers.started[row]!, out, next);
    out[next++] = 0x2c;
    next = putText(this.flag, row, out, next);
    if (fields && fields.index[row]! >= 0) {
      out[next++] = 0x2c;
      next = putText(fields, row, out, next);
    }
    out[next++] = 0x3b;
    next = putText(this.text, row, out, next);
    out[next++] = 0x0a;
    if (!more || more.index[row]! < 0) return next;
    next = putText(more, row, out, next);
    out[next++] = 0x0a;
    return next;
  }

  #writeOdd(row: number, out: Uint8Array, at: number): number {
    const prefix = this.#string("prefix", row);
    const line = prefix.slice(1) + this.#string("text", row) + "\n";
    const more = this.#texts.more;
    const whole = more && more.index[row]! >= 0 ? `${line}${this.#string("more", row)}\n` : line;
    return at + Buffer.from(out.buffer, out.byteOffset + at)
      .write(prefix[0] === "%" ? decode(whole) : whole, "latin1");
  }

  #string(name: TextColumn, row: number): string {
    const texts = this.#texts[name];
    const i = texts?.index[row] ?? -1;
    if (!texts || i < 0) return "";
    const { bytes, starts, ends } = texts;
    return Buffer.from(bytes.buffer, bytes.byteOffset + starts[i]!, ends[i]! - starts[i]!)
      .toString("latin1");
  }
}

/** Two digits for each number below 100. */
const pairs = Uint8Array.from({ length: 200 }, (_, i) => {
  const number = i >> 1;
  return 0x30 + (i & 1 ? number % 10 : Math.floor(number / 10));
});

/** A whole number, not below 0, in decimal. */
function putNumber(value: number, out: Uint8Array, at: number): number {
  if (value >= 1e8) {
    const high = Math.floor(value / 1e8);
    return putPadded(value - high * 1e8, out, putNumber(high, out, at));
  }
  let rest = value | 0;
  if (rest < 10) {
    out[at] = 0x30 + rest;
    return at + 1;
  }
  const end = at + digitsOf(rest);
  let next = end - 2;
  for (; rest >= 100; next -= 2) {
    const hundreds = (rest / 100) | 0;
    const pair = 2 * (rest - hundreds * 100);
    out[next] = pairs[pair]!;
    out[next + 1] = pairs[pair + 1]!;
    rest = hundreds;
  }
  out[next + 1] = pairs[2 * rest + 1]!;
  if (rest >= 10) out[next] = pairs[2 * rest]!;
  return end;
}

/** Of a number below 10^8. */
function digitsOf(value: number): number {
  if (value < 10_000) return value < 100 ? (value < 10 ? 1 : 2) : value < 1_000 ? 3 : 4;
  return value < 1_000_000 ? (value < 100_000 ? 5 : 6) : value < 10_000_000 ? 7 : 8;
}

/** Eight digits. */
function putPadded(value: number, out: Uint8Array, at: number): number {
  let rest = value | 0;
  for (let next = at + 6; next >= at; next -= 2) {
    const hundreds = (rest / 100) | 0;
    const pair = 2 * (rest - hundreds * 100);
    out[next] = pairs[pair]!;
    out[next + 1] = pairs[pair + 1]!;
    rest = hundreds;
  }
  return at + 8;
}

/** Of a text, and a newline or a comma. */
function lengthOf(texts: Texts | undefined, row: number): number {
  const i = texts ? texts.index[row]! : -1;
  return i < 0 ? 0 : texts!.ends[i]! - texts!.starts[i]! + 1;
}

function putText(texts: Texts, row: number, out: Uint8Array, at: number): number {
  const { bytes, starts, ends, index } = texts;
  const i = index[row]!;
  if (i < 0) return at;
  const end = ends[i]!;
  let next = at;
  // Most are short: a call of `set` costs more than the copy.
  for (let from = starts[i]!; from < end; from++) out[next++] = bytes[from]!;
  return next;
}
