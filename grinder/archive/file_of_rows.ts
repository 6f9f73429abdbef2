/** Sorted rows in, an archive file out (columns.ts): encoded column by column, a row group at a time. */
import { closeSync, openSync } from "node:fs";
import { writeAll } from "./bucket.ts";
import { type Column, fileNote } from "./columns.ts";
import { ColumnsOut } from "./columns_of_rows.ts";
import { type ColumnType, type Compression, FileOut } from "./parquet/file_out.ts";
import type { Rows } from "./rows.ts";

const types: Record<Column, ColumnType> = {
  device: "text",
  boot: "text",
  source: "text",
  stream: "text",
  seq: "int64",
  time: "time",
  started: "time",
  recv: "time",
  prio: "int32",
  flag: "text",
  text: "text",
  fields: "text",
  more: "text",
  prefix: "text",
  receiver: "text",
  epoch: "text",
  segment: "int64",
  frame: "int64",
  line: "int64",
};

/** As many as DuckDB takes by itself; and of texts what a reader may well have in memory at once. */
const groupRows = 122_880;
const groupTextBytes = 16 * 1024 * 1024;

/** Synchronously: it is called in a thread of its own. */
export function writeRows(rows: Rows, path: string, compression: Compression): void {
  const fd = openSync(path, "w");
  try {
    const columns = Object.entries(types) as Array<[Column, ColumnType]>;
    const file = new FileOut(columns, compression, (bytes) => writeAll(fd, bytes));
    const order = rows.sorted();
    const encoder = new ColumnsOut(rows);
    for (let from = 0; from < order.length;) {
      const to = groupEnd(rows, order, from);
      encoder.take(order.subarray(from, to));
      file.addGroup(to - from, (name) => encoder.page(name as Column));
      from = to;
    }
    file.end({ [fileNote.name]: fileNote.value });
  } finally {
    closeSync(fd);
  }
}

function groupEnd(rows: Rows, order: Int32Array, from: number): number {
  const { lengths } = rows.text;
  const most = Math.min(order.length, from + groupRows);
  let [to, bytes] = [from, 0];
  while (to < most && bytes < groupTextBytes) bytes += lengths[order[to++]!]!;
  return to;
}
