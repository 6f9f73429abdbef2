/**
 * Rows of one hour and one partition in, two plain Parquet files out (parquet/columns_out.ts): the rows, in
 * any order, and what many rows share: stream, boot's start, receive time. Where a row has no text of a
 * kind it is empty. A place is `RECEIVER EPOCH SEGMENT FRAME LINE`.
 */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { PlainColumn, PlainFile, type PlainType } from "./parquet/columns_out.ts";
import type { RecordBytes } from "./record_bytes.ts";
import { RowHash } from "./row_hash.ts";
import {
  type LinePlace,
  type OddRow,
  placeHash,
  placeText,
  type RowContext,
  type RowSink,
} from "./row_sink.ts";

export { type LinePlace, placeHash };

const rowTypes = {
  shared: "int32",
  seq: "int64",
  usec: "int64",
  prio: "int32",
  flag: "text",
  text: "text",
  fields: "text",
  more: "text",
  prefix: "text",
  place: "text",
} as const satisfies Record<string, PlainType>;

const sharedTypes = {
  shared: "int32",
  stream_id: "int32",
  started: "int64",
  recv: "int64",
} as const satisfies Record<string, PlainType>;

type Columns<T> = { [K in keyof T]: PlainColumn };

/** Rows and bytes that are held in memory at most, for each of some hundred buckets. */
const groupRows = 32 * 1024;
const groupTextBytes = 2 * 1024 * 1024;

export class Bucket implements RowSink {
  readonly sum = new RowHash();
  /** Bytes of records. */
  textBytes = 0;
  readonly #columns = columnsOf(rowTypes);
  readonly #sharedColumns = columnsOf(sharedTypes);
  readonly #file: LocalFile;
  readonly #sharedFile: LocalFile;
  /** Of the row before. */
  #shared = -1;
  #last: RowContext = { stream: undefined, recvUs: NaN, timeUs: NaN, startedUs: NaN };
  #rows = 0;

  constructor(readonly slot: string, readonly partition: number, path: string) {
    this.#file = new LocalFile(`${path}.rows`, this.#columns);
    this.#sharedFile = new LocalFile(`${path}.shared`, this.#sharedColumns);
  }

  /** For `sortRows`. */
  get paths(): { rows: string; shared: string } {
    return { rows: this.#file.path, shared: this.#sharedFile.path };
  }

  addRecord(row: RowContext, record: RecordBytes, bytes: Uint8Array, start: number): void {
    const columns = this.#columns;
    this.#begin(row);
    columns.seq.addInt64(record.seq);
    columns.usec.addInt64(record.usec);
    columns.prio.addInt32(record.prio);
    columns.flag.addText(bytes, record.flagStart, record.flagEnd);
    columns.text.addText(bytes, record.textStart, record.textEnd);
    columns.fields.addText(bytes, record.fieldsStart, record.fieldsEnd);
    columns.more.addText(bytes, record.moreStart, record.moreEnd);
    columns.prefix.addString("");
    columns.place.addString("");
    this.#end(row, 0, bytes, start, record.end);
  }

  addOdd(row: RowContext, odd: OddRow, bytes: Uint8Array, start: number, end: number): void {
    const columns = this.#columns;
    const { place } = odd;
    this.#begin(row);
    columns.seq.addInt64(odd.seq);
    columns.usec.addInt64(row.timeUs - row.startedUs);
    columns.prio.addInt32(odd.prio);
    columns.flag.addString(odd.flag);
    columns.text.addString(odd.text);
    columns.fields.addString("");
    columns.more.addString(odd.more);
    columns.prefix.addString(odd.prefix);
    columns.place.addString(place ? placeText(place) : "");
    this.#end(row, place ? placeHash(place) : 0, bytes, start, end);
  }

  /** Completes the files. */
  end(): void {
    this.#flush();
    this.#file.end();
    this.#sharedFile.end();
  }

  remove(): void {
    for (const path of Object.values(this.paths)) rmSync(path, { force: true });
  }

  #begin(row: RowContext): void {
    const { stream, recvUs, startedUs } = row;
    const last = this.#last;
    if (stream !== last.stream || recvUs !== last.recvUs || startedUs !== last.startedUs) {
      const columns = this.#sharedColumns;
      columns.shared.addInt32(++this.#shared);
      columns.stream_id.addInt32(stream!.id);
      columns.started.addInt64(startedUs);
      columns.recv.addInt64(recvUs);
      this.#last = { stream, recvUs, timeUs: NaN, startedUs };
    }
    this.#columns.shared.addInt32(this.#shared);
  }

  #end(row: RowContext, place: number, bytes: Uint8Array, start: number, end: number): void {
    this.sum.add(row.stream!.hash, place, row.recvUs, row.timeUs, bytes, start, end);
    this.textBytes += end - start;
    if (++this.#rows >= groupRows || this.#columns.text.length >= groupTextBytes) this.#flush();
  }

  #flush(): void {
    this.#file.add(this.#rows);
    this.#sharedFile.add(this.#sharedColumns.shared.length / 4);
    this.#rows = 0;
  }
}

/** A plain Parquet file on the local disk. */
class LocalFile {
  readonly #fd: number;
  readonly #file: PlainFile;

  constructor(readonly path: string, columns: Columns<Record<string, PlainType>>) {
    this.#fd = openSync(path, "w");
    this.#file = new PlainFile(Object.values(columns), (bytes) => writeAll(this.#fd, bytes));
  }

  add(rows: number): void {
    this.#file.addGroup(rows);
  }

  end(): void {
    this.#file.end();
    closeSync(this.#fd);
  }
}

function columnsOf<T extends Record<string, PlainType>>(types: T): Columns<T> {
  const all = Object.entries(types).map(([name, type]) => [name, new PlainColumn(name, type)]);
  return Object.fromEntries(all) as Columns<T>;
}

export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
}
