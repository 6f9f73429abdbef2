/**
 * A row group of an archive file in, its records out: each as the bytes that it was (columns.ts has the
 * table), and the names and times of its block.
 */
import { Buffer } from "node:buffer";
import type { BlockHeader } from "../../shared/block.ts";
import { type LinePlace, placeHash } from "./bucket.ts";
import { type Column, columns, decode, streamColumns } from "./columns.ts";
import { digitsOf, putNumber } from "./decimals.ts";
import { type Arrays, newArrays } from "./parquet/arrays.ts";
import { readNumbers, readTexts, type Texts } from "./parquet/column_in.ts";
import type { RowGroup as GroupMeta } from "./parquet/footer.ts";
import type { ChunkBytes, ParquetFile } from "./parquet/parquet_file.ts";
import { addDigits, addLengths, addUsecDigits } from "./row_bytes.ts";
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
  /** For each flag that occurs: 1 if it is an ordinary record's. */
  readonly ordinary: Uint8Array;

  /** With `arrays` that are used again, it holds until then. */
  constructor(
    meta: Pick<GroupMeta, "rows">,
    chunks: ReadonlyMap<string, ChunkBytes>,
    arrays: Arrays = newArrays,
  ) {
    const isNumber = (name: Column): name is NumberColumn =>
      (numberColumns as readonly string[]).includes(name);
    const numbers: Partial<Record<NumberColumn, Float64Array>> = {};
    const texts: Partial<Record<TextColumn, Texts>> = {};
    for (const name of columns) {
      const part = chunks.get(name);
      if (!part) continue;
      const { chunk, bytes } = part;
      if (isNumber(name)) numbers[name] = readNumbers(chunk, bytes, arrays);
      else texts[name] = readTexts(chunk, bytes, arrays);
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
    this.ordinary = Uint8Array.from(starts, (start, i) => {
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

  /** Whether any row may have a place. */
  get hasPlaces(): boolean {
    return this.#texts.receiver !== undefined;
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
    return this.ordinary[this.flag.index[row]!] === 1;
  }

  /** Whether any row from `start` up to but not including `end` is odd, or has a place. */
  hasOdd(start: number, end: number): boolean {
    const { prefix, receiver } = this.#texts;
    for (const texts of [prefix, receiver]) {
      if (!texts) continue;
      for (let row = start; row < end; row++) if (texts.index[row]! >= 0) return true;
    }
    return false;
  }

  /** The kernel's clock. */
  usec(row: number): number {
    return this.time[row]! - this.#numbers.started[row]!;
  }

  prio(row: number): number {
    return this.#numbers.prio[row]!;
  }

  /** The fields behind the flag; empty: there are none. */
  fields(row: number): string {
    return this.#string("fields", row);
  }

  /** Whether this is its flag: one byte. */
  isFlag(row: number, flag: string): boolean {
    const { bytes, starts, ends, index } = this.flag;
    const i = index[row]!;
    return bytes[starts[i]!] === flag.charCodeAt(0) && ends[i]! - starts[i]! === 1;
  }

  /** How many bytes `write` needs. */
  bytes(row: number): number {
    const { prefix, fields, more } = this.#texts;
    if (prefix && prefix.index[row]! >= 0) return this.#oddLine(row).length;
    // With a comma or a newline each.
    const texts = lengthOf(this.flag, row) + lengthOf(this.text, row) + lengthOf(fields, row) +
      lengthOf(more, row);
    const prio = digitsOf(this.#numbers.prio[row]!) + 1;
    return texts + prio + digitsOf(this.seq[row]!) + 1 + digitsOf(this.usec(row)) + 1;
  }

  /** How many bytes each row takes: `bytes` of all, at a tenth of the cost. */
  rowBytes(arrays: Arrays = newArrays): Int32Array {
    const { prefix, fields, more } = this.#texts;
    const out = arrays.int32(this.rows).fill(0);
    addLengths(out, this.flag);
    addLengths(out, this.text);
    addDigits(out, this.#numbers.prio);
    addDigits(out, this.seq);
    addUsecDigits(out, this.time, this.#numbers.started);
    if (fields) addLengths(out, fields);
    if (more) addLengths(out, more);
    if (prefix) {
      for (let row = 0; row < out.length; row++) {
        if (prefix.index[row]! >= 0) out[row] = this.#oddLine(row).length;
      }
    }
    return out;
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
    return at + Buffer.from(out.buffer, out.byteOffset + at).write(this.#oddLine(row), "latin1");
  }

  #oddLine(row: number): string {
    const prefix = this.#string("prefix", row);
    const line = prefix.slice(1) + this.#string("text", row) + "\n";
    const more = this.#texts.more;
    const whole = more && more.index[row]! >= 0 ? `${line}${this.#string("more", row)}\n` : line;
    return prefix[0] === "%" ? decode(whole) : whole;
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
