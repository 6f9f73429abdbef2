/**
 * Records in, in any order; rows in the archive's order out (columns.ts), by their numbers. Texts stay
 * where they stand: in the bytes that all records were read from, or, if they had to be encoded, in bytes
 * of their own behind those.
 */
import type { LinePlace, OddRow, RowContext, RowSink } from "./row_sink.ts";
import { placeText } from "./row_sink.ts";
import type { RecordBytes } from "./record_bytes.ts";
import { hashOf, RowHash } from "./row_hash.ts";
import { BytesOut } from "./parquet/bytes_out.ts";
import { byNames, type StreamEntry } from "./stream_table.ts";

/** A text is at starts[row], so many bytes; 0: there is none. */
export interface TextPlaces {
  starts: Int32Array;
  lengths: Int32Array;
}

/** Of a row that isn't as the kernel prints it. */
export interface OddParts {
  prefix: string;
  place: LinePlace | undefined;
}

const firstRows = 16 * 1024;

export class Rows implements RowSink {
  readonly sum = new RowHash();
  rows = 0;
  /** Of each row: which entry of the next three it shares with others. */
  shared = new Int32Array(firstRows);
  readonly streams: StreamEntry[] = [];
  readonly startedUs: number[] = [];
  readonly recvUs: number[] = [];
  seq = new Float64Array(firstRows);
  usec = new Float64Array(firstRows);
  prio = new Int32Array(firstRows);
  flag = newPlaces(firstRows);
  text = newPlaces(firstRows);
  fields = newPlaces(firstRows);
  more = newPlaces(firstRows);
  readonly odd = new Map<number, OddParts>();
  readonly #encoded = new BytesOut();

  readonly #view: DataView;

  /** All records are in these bytes, which must stay as they are. */
  constructor(private readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  addRecord(context: RowContext, record: RecordBytes, bytes: Uint8Array, start: number): void {
    const row = this.#begin(context, record.seq, record.usec, record.prio);
    put(this.flag, row, record.flagStart, record.flagEnd);
    put(this.text, row, record.textStart, record.textEnd);
    put(this.fields, row, record.fieldsStart, record.fieldsEnd);
    put(this.more, row, record.moreStart, record.moreEnd);
    this.#hash(context, 0, bytes, start, record.end);
  }

  addOdd(context: RowContext, odd: OddRow, bytes: Uint8Array, start: number, end: number): void {
    const { place, prefix } = odd;
    const row = this.#begin(context, odd.seq, context.timeUs - context.startedUs, odd.prio);
    this.#encode(this.flag, row, odd.flag);
    this.#encode(this.text, row, odd.text);
    this.#encode(this.fields, row, "");
    this.#encode(this.more, row, odd.more);
    this.odd.set(row, { prefix, place });
    this.#hash(context, place ? hashOf(placeText(place)) : 0, bytes, start, end);
  }

  byteAt(start: number): number {
    const { bytes } = this;
    return start < bytes.length ? bytes[start]! : this.#encoded.bytes[start - bytes.length]!;
  }

  textOf(start: number, length: number): string {
    return String.fromCharCode(...Array.from({ length }, (_, i) => this.byteAt(start + i)));
  }

  /** Appends a text to bytes that have room for it. */
  copyText(start: number, length: number, to: BytesOut): void {
    const { bytes, length: at } = to;
    to.length = at + length;
    if (start + length + 4 > this.bytes.length) {
      const own = start - this.bytes.length;
      const from = own < 0 ? this.bytes : this.#encoded.bytes;
      const first = own < 0 ? start : own;
      return bytes.set(from.subarray(first, first + length), at);
    }
    // Four at a time, and up to three too many: for texts as short as these are, `set` costs more.
    const { view } = to;
    for (let i = 0; i < length; i += 4) {
      view.setInt32(at + i, this.#view.getInt32(start + i, true), true);
    }
  }

  /** Whether it isn't known by its seq. */
  isPlaced(row: number): boolean {
    return this.odd.size > 0 && this.odd.get(row)?.place !== undefined;
  }

  stream(row: number): StreamEntry {
    return this.streams[this.shared[row]!]!;
  }

  /** All rows' numbers, in the archive's order. */
  sorted(): Int32Array {
    const ranks = new Map([...new Set(this.streams)].sort(byNames).map((entry, i) => [entry, i]));
    const rankOf = Int32Array.from(this.streams, (entry) => ranks.get(entry)!);
    const starts = new Int32Array(ranks.size + 1);
    for (let row = 0; row < this.rows; row++) starts[rankOf[this.shared[row]!]! + 1]!++;
    for (let rank = 0; rank < ranks.size; rank++) starts[rank + 1]! += starts[rank]!;
    const next = starts.slice();
    const order = new Int32Array(this.rows);
    for (let row = 0; row < this.rows; row++) order[next[rankOf[this.shared[row]!]!]!++] = row;
    for (let rank = 0; rank < ranks.size; rank++) {
      this.#sortStream(order.subarray(starts[rank], starts[rank + 1]));
    }
    return order;
  }

  /** Nearly always they came as they are to stand. */
  #sortStream(rows: Int32Array): void {
    let isSorted = true;
    for (let i = 1; i < rows.length && isSorted; i++) {
      isSorted = this.#compare(rows[i - 1]!, rows[i]!) <= 0;
    }
    if (!isSorted) rows.sort((a, b) => this.#compare(a, b) || a - b);
  }

  #compare(a: number, b: number): number {
    if (this.odd.size > 0) {
      const [isA, isB] = [this.isPlaced(a), this.isPlaced(b)];
      if (isA || isB) return isA && isB ? a - b : Number(isA) - Number(isB);
    }
    return this.seq[a]! - this.seq[b]! || Number(this.#isMeta(b)) - Number(this.#isMeta(a));
  }

  #isMeta(row: number): boolean {
    if (this.flag.lengths[row] !== 1) return false;
    const flag = this.byteAt(this.flag.starts[row]!);
    // `g`, `s`
    return flag === 0x67 || flag === 0x73;
  }

  #begin(context: RowContext, seq: number, usec: number, prio: number): number {
    const row = this.rows++;
    if (row === this.seq.length) this.#grow();
    const last = this.streams.length - 1;
    if (
      last < 0 || this.streams[last] !== context.stream || this.recvUs[last] !== context.recvUs ||
      this.startedUs[last] !== context.startedUs
    ) {
      this.streams.push(context.stream!);
      this.recvUs.push(context.recvUs);
      this.startedUs.push(context.startedUs);
    }
    this.shared[row] = this.streams.length - 1;
    this.seq[row] = seq;
    this.usec[row] = usec;
    this.prio[row] = prio;
    return row;
  }

  #hash(context: RowContext, place: number, bytes: Uint8Array, start: number, end: number): void {
    this.sum.add(context.stream!.hash, place, context.recvUs, context.timeUs, bytes, start, end);
  }

  #encode(places: TextPlaces, row: number, text: string): void {
    const start = this.bytes.length + this.#encoded.length;
    this.#encoded.text(text);
    put(places, row, start, start + text.length);
  }

  #grow(): void {
    const rows = 2 * this.seq.length;
    this.shared = grown(this.shared, rows);
    this.seq = grown(this.seq, rows);
    this.usec = grown(this.usec, rows);
    this.prio = grown(this.prio, rows);
    for (const places of [this.flag, this.text, this.fields, this.more]) {
      places.starts = grown(places.starts, rows);
      places.lengths = grown(places.lengths, rows);
    }
  }
}

function newPlaces(rows: number): TextPlaces {
  return { starts: new Int32Array(rows), lengths: new Int32Array(rows) };
}

function put({ starts, lengths }: TextPlaces, row: number, start: number, end: number): void {
  starts[row] = start;
  lengths[row] = end - start;
}

function grown<T extends Int32Array | Float64Array>(values: T, length: number): T {
  const more = new (values.constructor as new (length: number) => T)(length);
  more.set(values);
  return more;
}
