/**
 * Rows in memory to a plain Parquet file: what DuckDB takes in fastest (1.1 GB of text a second; through
 * its appender it is 20 MB). No compression, no dictionaries, no nulls, one page for each column of a row
 * group. These files live for one run.
 *
 *     PAR1, row groups (for each column: page header, page), footer, length of the footer (4 bytes), PAR1
 *     INT32, INT64 values: little-endian; BYTE_ARRAY: length (4 bytes), bytes
 *
 * Source: README.md and Encodings.md of apache/parquet-format.
 */
import { Buffer } from "node:buffer";
import { type Field, writeStruct } from "./thrift.ts";

export type PlainType = "int32" | "int64" | "text";

const physical = { int32: 1, int64: 2, text: 6 } as const;
const firstBytes = 4 * 1024;
const magic = Buffer.from("PAR1");

/** The values of one column, as the file has them. Values of one column come in the rows' order. */
export class PlainColumn {
  length = 0;
  bytes = new Uint8Array(firstBytes);
  #words = new Int32Array(this.bytes.buffer);

  constructor(readonly name: string, readonly type: PlainType) {}

  addInt32(value: number): void {
    this.#reserve(4);
    this.#words[this.length >> 2] = value;
    this.length += 4;
  }

  /** A safe integer. */
  addInt64(value: number): void {
    this.#reserve(8);
    const high = Math.floor(value / 0x1_0000_0000);
    const at = this.length >> 2;
    this.#words[at] = value - high * 0x1_0000_0000;
    this.#words[at + 1] = high;
    this.length += 8;
  }

  addText(from: Uint8Array, start: number, end: number): void {
    let at = this.#addLength(end - start);
    const { bytes } = this;
    // Most are short: a call of `set` costs more than the copy.
    if (end - start > 256) bytes.set(from.subarray(start, end), at);
    else for (let i = start; i < end; i++) bytes[at++] = from[i]!;
  }

  /** A byte string. */
  addString(text: string): void {
    const at = this.#addLength(text.length);
    for (let i = 0; i < text.length; i++) this.bytes[at + i] = text.charCodeAt(i);
  }

  /** Gives where the text is to be put. */
  #addLength(size: number): number {
    this.#reserve(4 + size);
    const { bytes, length } = this;
    bytes[length] = size;
    bytes[length + 1] = size >> 8;
    bytes[length + 2] = size >> 16;
    bytes[length + 3] = size >> 24;
    this.length += 4 + size;
    return length + 4;
  }

  #reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    // Whole words, always.
    const size = Math.max(2 * this.bytes.length, (this.length + more + 3) & ~3);
    const grown = new Uint8Array(size);
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.#words = new Int32Array(grown.buffer);
  }
}

/** Where the file's bytes go: in order, and taken before the call returns. */
export type Sink = (bytes: Uint8Array) => void;

export class PlainFile {
  rows = 0;
  #at = magic.length;
  readonly #groups: Field[][] = [];

  constructor(
    private readonly columns: readonly PlainColumn[],
    private readonly sink: Sink,
  ) {
    sink(magic);
  }

  /** Writes what the columns hold, and empties them. */
  addGroup(rows: number): void {
    if (rows === 0) return;
    const start = this.#at;
    const chunks = this.columns.map((column) => this.#chunk(column, rows));
    this.#groups.push([
      [1, "list", chunks],
      [2, "i64", this.#at - start],
      [3, "i64", rows],
    ]);
    this.rows += rows;
  }

  end(): void {
    const columns = this.columns.map(({ name, type }): Field[] => [
      [1, "i32", physical[type]],
      [3, "i32", 0],
      [4, "text", name],
      // UTF8
      [6, "i32", type === "text" ? 0 : undefined],
    ]);
    const root: Field[] = [[4, "text", "rows"], [5, "i32", columns.length]];
    const footer = writeStruct([
      [1, "i32", 1],
      [2, "list", [root, ...columns]],
      [3, "i64", this.rows],
      [4, "list", this.#groups],
    ]);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(footer.length);
    this.sink(Buffer.concat([footer, length, magic]));
  }

  #chunk(column: PlainColumn, rows: number): Field[] {
    const header = writeStruct([
      [1, "i32", 0],
      [2, "i32", column.length],
      [3, "i32", column.length],
      // Plain; levels, of which there are none, would be run-length encoded.
      [5, "struct", [[1, "i32", rows], [2, "i32", 0], [3, "i32", 3], [4, "i32", 3]]],
    ]);
    const offset = this.#at;
    const bytes = header.length + column.length;
    this.sink(header);
    this.sink(column.bytes.subarray(0, column.length));
    this.#at += bytes;
    column.length = 0;
    return [
      [2, "i64", offset],
      [3, "struct", [
        [1, "i32", physical[column.type]],
        [2, "list", [0]],
        [3, "list", [column.name]],
        [4, "i32", 0],
        [5, "i64", rows],
        [6, "i64", bytes],
        [7, "i64", bytes],
        [9, "i64", offset],
      ]],
    ];
  }
}
