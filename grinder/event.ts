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
import type { WallTime } from "./clock_fit.ts";
import type { PartBytes } from "./event_bytes.ts";
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

/** A line's parts as they become known: each is JSON without the braces around it. */
export interface EventParts {
  rule: string;
  /** `namesPart` of its block. */
  names: string;
  /** `recordPart` of its record. */
  record: string;
  recvUs: number;
  /** `framePart` of its frame. */
  frame: string;
  line: number;
  /** Some of these as bytes, if they are at hand: only until the next frame. */
  bytes?: PartBytes | undefined;
}

export function formatEvent(event: PendingEvent, time: WallTime): string {
  const { rule, header, record, place } = event;
  return joinEvent({
    rule,
    names: namesPart(header),
    record: recordPart(record, event),
    recvUs: header.recvUs,
    frame: framePart(place),
    line: place.line,
  }, time);
}

export function joinEvent(event: EventParts, { wallUs, errorUs }: WallTime): string {
  return `{"rule":"${event.rule}","time":"${isoMicros(wallUs)}","time_error_us":${errorUs},` +
    `${event.names},${event.record},"recv_us":${event.recvUs},${event.frame},"line":${event.line}}\n`;
}

export function namesPart(
  { device, boot, source, stream }: Pick<BlockHeader, "device" | "boot" | "source" | "stream">,
): string {
  // A name has no character that JSON would escape.
  return `"device":"${device}","boot":"${boot}","source":"${source}","stream":"${stream}"`;
}

export function recordPart(
  record: Pick<LogRecord, "seq" | "usec" | "prio" | "text">,
  { labels, value }: Extracted<string>,
  labelsJson = JSON.stringify(labels),
): string {
  return recordHead(record) + recordRest(labelsJson, value, unescapeText(record.text));
}

/** A record part as far as the labels, */
export function recordHead({ seq, usec, prio }: Pick<LogRecord, "seq" | "usec" | "prio">): string {
  return `"seq":${seq},"usec":${usec},"prio":${prio},"labels":`;
}

/** ... and from there on; the text is unescaped. */
export function recordRest(labelsJson: string, value: number | undefined, text: string): string {
  const valuePart = value === undefined ? "" : `"value":${value},`;
  return `${labelsJson},${valuePart}"text":${JSON.stringify(text)}`;
}

export function framePart({ segment, offset }: Pick<Place, "segment" | "offset">): string {
  return `"segment":"${segment}","offset":${offset}`;
}

/** The second that was written last: events come in bursts, and the date costs more than all the rest. */
let [secondUs, secondText] = [NaN, ""];

/** `2026-11-22T20:21:34.123456Z` */
export function isoMicros(wallUs: number): string {
  const microsUs = Math.floor(wallUs);
  const startUs = Math.floor(microsUs / 1e6) * 1e6;
  if (startUs !== secondUs) {
    secondUs = startUs;
    secondText = new Date(startUs / 1000).toISOString().slice(0, -4);
  }
  return `${secondText}${String(microsUs - startUs + 1e6).slice(1)}Z`;
}
