/**
 * The archive's Parquet files, as a table. Each row is one record, or one line that is none. Rows are
 * sorted by device, boot, source, stream; within a stream records stand by seq (a `g` or `s` record before
 * the record whose seq it carries), then lines that have a place, by place. Sorted like this a row's
 * neighbours say nearly the same as it does: that is where the small size comes from.
 *
 * | column | type | what |
 * |--------|------|------|
 * | device boot source stream | VARCHAR | as in the block's header |
 * | seq | BIGINT | of lines that have a place: their number in the block |
 * | time | TIMESTAMP, UTC | when it was written, repaired by clock records |
 * | started | TIMESTAMP, UTC | when the kernel's clock was 0, by the same reckoning: `time - started` is USEC, exactly |
 * | recv | TIMESTAMP, UTC | when the receiver took its block |
 * | prio | INTEGER | facility * 8 + level |
 * | flag | VARCHAR | as in the record; `!` a line that is no record |
 * | text | VARCHAR | escaped, as it is stored |
 * | fields | VARCHAR | the fields behind the flag: `caller=T1`; NULL: none |
 * | more | VARCHAR | continuation lines, each with its leading space, joined by newlines; NULL: none |
 * | prefix | VARCHAR | NULL: the line is `PRIO,SEQ,USEC,FLAG[,FIELDS];TEXT`; else see below |
 * | receiver epoch segment frame line | VARCHAR, BIGINT | of `raw` lines and of those that are no records, the place in the storage: segment, the frame's first byte in it, the line's first byte in the frame's text; NULL: it is known by its seq |
 *
 * USEC has no column of its own: beside `time` it would be a fifth of the file, and say nothing more.
 *
 * A prefix begins with `=`: the line is what follows and TEXT; or with `%`: the same, and in the prefix, in
 * TEXT and in the continuation lines each `\xNN` stands for a byte that no column of text can hold, or for
 * a backslash. So each record comes back as the bytes that it was, whatever they are.
 */

/** Of the record's own columns; those of its stream stand before them. */
export const streamColumns = ["device", "boot", "source", "stream"] as const;
export const columns = [
  ...streamColumns,
  "seq",
  "time",
  "started",
  "recv",
  "prio",
  "flag",
  "text",
  "fields",
  "more",
  "prefix",
  "receiver",
  "epoch",
  "segment",
  "frame",
  "line",
] as const;

export type Column = typeof columns[number];

/** Said in each file; a file without it isn't ours. */
export const fileNote = { name: "logmill_archive", value: "1" };

/** For lines that are no records. */
export const noRecordFlag = "!";

// deno-lint-ignore no-control-regex
const toCode = /[\x00-\x1f\x7f-\xff\\]/g;

/** A byte string in printable characters; `decode` undoes it. */
export function encode(bytes: string): string {
  return bytes.replace(toCode, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

export function decode(coded: string): string {
  return coded.replace(
    /\\x([0-9a-f]{2})/g,
    (_, hex: string) => String.fromCharCode(parseInt(hex, 16)),
  );
}

export const partitionsMax = 4096;

/** Which of the archive's partitions a device is in: FNV-1a of its name. */
export function partitionOf(device: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < device.length; i++) {
    hash = Math.imul(hash ^ device.charCodeAt(i), 0x01000193);
  }
  return (hash >>> 0) % partitions;
}
