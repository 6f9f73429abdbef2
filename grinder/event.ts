/**
 * One event as a line of `events/YYYYMMDD.jsonl` (the day on which it was committed):
 *
 * | key | meaning |
 * |-----|---------|
 * | rule | the rule that matched, or a built-in one: `gap` |
 * | time, time_error_us | when the record was written, ISO 8601 with microseconds; how far off that may be |
 * | device boot source stream seq | the record's identity; in a `raw` stream (`-`) it is its place |
 * | usec prio | the kernel's clock and priority, as in the record |
 * | labels, value | what the rule took from the text; value may be absent |
 * | text | the record's text, unescaped |
 * | recv_us | when the receiver took it, Unix microseconds |
 * | segment offset line | RECEIVER/EPOCH/NNNNNNNN, the frame's first byte in it, the record's first byte in the frame's text |
 *
 * The same record and rule give one line for ever, whatever is sent or read again.
 */
import type { BlockHeader } from "../shared/block.ts";
import { type LogRecord, unescapeText } from "../shared/record.ts";
import type { WallTime } from "./clock.ts";
import type { Extracted } from "./rule.ts";

/** Where a record stands in the storage. */
export interface Place {
  segment: string;
  offset: number;
  line: number;
}

/** What a rule found, and where. */
export interface PendingEvent extends Extracted<string> {
  rule: string;
  header: BlockHeader;
  record: LogRecord;
  place: Place;
}

export function formatEvent(event: PendingEvent, time: WallTime): string {
  const { header, record, place } = event;
  const line: Record<string, unknown> = {
    rule: event.rule,
    time: isoMicros(time.wallUs),
    time_error_us: time.errorUs,
    device: header.device,
    boot: header.boot,
    source: header.source,
    stream: header.stream,
    seq: record.seq,
    usec: record.usec,
    prio: record.prio,
    labels: event.labels,
    ...(event.value === undefined ? {} : { value: event.value }),
    text: unescapeText(record.text),
    recv_us: header.recvUs,
    ...place,
  };
  return `${JSON.stringify(line)}\n`;
}

/** `2026-11-22T20:21:34.123456Z` */
export function isoMicros(wallUs: number): string {
  const ms = Math.floor(wallUs / 1000);
  const micros = String(Math.floor(wallUs - ms * 1000)).padStart(3, "0");
  return `${new Date(ms).toISOString().slice(0, -1)}${micros}Z`;
}
