/**
 * The text of one log record, exactly as the kernel prints it on /dev/kmsg, to fields and back.
 *
 *     PRIO,SEQ,USEC,FLAG[,KEY=VALUE...];TEXT\n
 *      KEY=VALUE\n                                 (continuation lines: they begin with one space)
 *
 * | part  | meaning |
 * |-------|---------|
 * | PRIO  | facility * 8 + level, decimal |
 * | SEQ   | position in the stream, decimal; at most 2^53 - 1 here |
 * | USEC  | microseconds of the kernel clock since boot, decimal |
 * | FLAG  | `-` ordinary; `c`, `+` the kernel's fragments; `p` recovered from pstore; and two that are about records: `g` a gap, `s` a clock sync |
 * | KEY=VALUE | unknown ones are kept and ignored (`caller=T123`) |
 * | TEXT  | bytes < 0x20, >= 0x7f and `\` as `\xNN`, lower case |
 *
 * A `g` record: `first=N,last=N|?,count=N,cause=overrun|evicted|ratelimit|refused|lost`, or `count=`
 * and `cause=` alone where no seq was ever given. An `s` record: `wall_us=N,synced=0|1`. Both carry as
 * SEQ the seq of the ordinary record before which they stand, and never count as stored themselves:
 * the record that really has that seq may still come.
 *
 * Here a text is a "byte string": each character is one byte (latin1), since what is stored may hold
 * any bytes. `unescapeText` gives the text that people and rules see.
 *
 * Source: Documentation/ABI/testing/dev-kmsg and kernel/printk/printk.c of Linux.
 */
import { Buffer } from "node:buffer";

export interface LogRecord {
  prio: number;
  seq: number;
  usec: number;
  flag: string;
  /** The fields behind the flag as they stand, without the leading comma: `caller=T1,first=2`. */
  fields: string;
  /** As stored: escaped. */
  text: string;
  /** Continuation lines without their leading space. */
  more: string[];
}

export type GapCause = "overrun" | "evicted" | "ratelimit" | "refused" | "lost";

export interface Gap {
  /** Absent where no seq was ever given. */
  first?: number;
  /** "?" where the end isn't known. */
  last?: number | "?";
  count: number;
  cause: GapCause;
}

export interface ClockSync {
  /** Unix time in microseconds at the record's USEC. */
  wallUs: number;
  /** Whether the device said that its clock was synchronised. */
  synced: boolean;
}

const prefix = /^(\d{1,4}),(\d{1,16}),(\d{1,16}),([^,;]{1,4})(?:,([^;]*))?;/;

/** Reads one record's first line (without `\n`); undefined if it isn't one. `more` is left empty. */
export function parseRecord(line: string): LogRecord | undefined {
  const match = prefix.exec(line);
  if (!match) return undefined;
  const seq = Number(match[2]);
  const usec = Number(match[3]);
  if (!Number.isSafeInteger(seq) || !Number.isSafeInteger(usec)) return undefined;
  return {
    prio: Number(match[1]),
    seq,
    usec,
    flag: match[4]!,
    fields: match[5] ?? "",
    text: line.slice(match[0].length),
    more: [],
  };
}

/** The record as stored, with its continuation lines and final `\n`. */
export function formatRecord(record: LogRecord): string {
  const fields = record.fields === "" ? "" : `,${record.fields}`;
  const first =
    `${record.prio},${record.seq},${record.usec},${record.flag}${fields};${record.text}\n`;
  return first + record.more.map((line) => ` ${line}\n`).join("");
}

/** True for the flags that are about records and never count as stored. */
export function isMeta(flag: string): boolean {
  return flag === "g" || flag === "s";
}

/** The value of one field, or undefined. */
export function field(record: LogRecord, key: string): string | undefined {
  for (const pair of record.fields.split(",")) {
    if (pair.startsWith(key) && pair[key.length] === "=") return pair.slice(key.length + 1);
  }
  return undefined;
}

export function gapRecord(seq: number, usec: number, gap: Gap): LogRecord {
  const range = gap.first === undefined ? "" : `first=${gap.first},last=${gap.last},`;
  const fields = `${range}count=${gap.count},cause=${gap.cause}`;
  const text = `logmill: ${gap.count} records missing, ${gap.cause}`;
  return { prio: 4, seq, usec, flag: "g", fields, text, more: [] };
}

/** What a `g` record says; undefined if it says nothing that makes sense. */
export function parseGap(record: LogRecord): Gap | undefined {
  const cause = (field(record, "cause") ?? "lost") as GapCause;
  const count = decimal(field(record, "count"));
  if (count === undefined) return undefined;
  if (field(record, "first") === undefined) return { count, cause };
  const first = decimal(field(record, "first"));
  const last = field(record, "last") === "?" ? "?" : decimal(field(record, "last"));
  if (first === undefined || last === undefined || (last !== "?" && last < first)) return undefined;
  return { first, last, count, cause };
}

export function syncRecord(seq: number, usec: number, sync: ClockSync): LogRecord {
  const fields = `wall_us=${sync.wallUs},synced=${sync.synced ? 1 : 0}`;
  return { prio: 6, seq, usec, flag: "s", fields, text: "logmill: clock", more: [] };
}

/** What an `s` record says; undefined if it says nothing that makes sense. */
export function parseSync(record: LogRecord): ClockSync | undefined {
  const wallUs = decimal(field(record, "wall_us"));
  return wallUs === undefined ? undefined : { wallUs, synced: field(record, "synced") === "1" };
}

function decimal(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/**
 * Calls `visit` for each record of a block's text, in order. A line that is no record is given to
 * `bad`, with the continuation lines behind it and without the last `\n`; reading goes on.
 */
export function forEachRecord(
  text: string,
  visit: (record: LogRecord, offset: number) => void,
  bad: (lines: string, offset: number) => void,
): void {
  let at = 0;
  while (at < text.length) {
    const offset = at;
    const end = lineEnd(text, at);
    const line = text.slice(at, end);
    at = end + 1;
    const more: string[] = [];
    while (text[at] === " ") {
      const moreEnd = lineEnd(text, at);
      more.push(text.slice(at + 1, moreEnd));
      at = moreEnd + 1;
    }
    const record = parseRecord(line);
    if (record === undefined) bad(text.slice(offset, at - 1), offset);
    else {
      record.more = more;
      visit(record, offset);
    }
  }
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

// deno-lint-ignore no-control-regex
const toEscape = /[\x00-\x1f\x7f-\xff\\]/g;
const anyEscape = /\\x([0-9a-f]{2})/g;

/** A text (any Unicode string) in the form in which it is stored. */
export function escapeText(text: string): string {
  const bytes = /^[\x20-\x7e]*$/.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
  return bytes.replace(toEscape, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/**
 * A stored text as people and rules see it: escapes undone, bytes read as UTF-8 (what isn't UTF-8
 * becomes U+FFFD). Only what the kernel escapes is undone: `\x41` stays as it is, so that a literal
 * found in stored text is a literal of the text, and the other way round.
 */
export function unescapeText(stored: string): string {
  const bytes = stored.includes("\\x")
    ? stored.replace(anyEscape, (whole, hex: string) => {
      const byte = parseInt(hex, 16);
      const printable = byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
      return printable ? whole : String.fromCharCode(byte);
    })
    : stored;
  // deno-lint-ignore no-control-regex
  return /^[\x00-\x7f]*$/.test(bytes) ? bytes : Buffer.from(bytes, "latin1").toString("utf8");
}
