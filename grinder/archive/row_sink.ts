/** What rows are put into: block_rows.ts fills it, bucket.ts and rows.ts are such. */
import type { RecordBytes } from "./record_bytes.ts";
import { hashOf } from "./row_hash.ts";
import type { StreamEntry } from "./stream_table.ts";

/** Where a line stands that has no seq of its own. */
export interface LinePlace {
  receiver: string;
  epoch: string;
  segment: number;
  /** The frame's first byte in the segment. */
  frame: number;
  /** The line's first byte in the frame's text. */
  line: number;
}

/** Of what a row is made beside a record's bytes. */
export interface RowContext {
  stream: StreamEntry | undefined;
  recvUs: number;
  timeUs: number;
  startedUs: number;
}

/** A line that isn't as the kernel prints it, in parts; byte strings. */
export interface OddRow {
  seq: number;
  prio: number;
  flag: string;
  prefix: string;
  text: string;
  more: string;
  place: LinePlace | undefined;
}

export interface RowSink {
  /** The record that begins at `start` in the bytes. */
  addRecord(row: RowContext, record: RecordBytes, bytes: Uint8Array, start: number): void;
  /** The line or lines bytes[start, end), which are in `odd` as well. */
  addOdd(row: RowContext, odd: OddRow, bytes: Uint8Array, start: number, end: number): void;
}

export function placeHash(place: LinePlace): number {
  return hashOf(placeText(place));
}

export function placeText({ receiver, epoch, segment, frame, line }: LinePlace): string {
  return `${receiver} ${epoch} ${segment} ${frame} ${line}`;
}
