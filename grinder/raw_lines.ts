/**
 * The lines of a `raw` block to records: what `dmesg | curl` and the like have sent.
 *
 * | a line like | is read as |
 * |-------------|------------|
 * | `6,1,2,-;text` | a record of /dev/kmsg |
 * | `[   12.345678] text`, `<6>[   12.345678] text` | dmesg's: the time is the kernel clock's |
 * | anything else | text without a time |
 *
 * Their seq is the line's number in the block; it is no identity: that is the place in the storage.
 */
import { type LogRecord, parseRecord } from "../shared/record.ts";

const dmesg = /^(?:<(\d{1,3})>)?\[ *(\d{1,10})\.(\d{6})\](?:\[[^\]]{1,24}\])? ?/;

export function forEachRawLine(
  text: string,
  visit: (record: LogRecord, offset: number) => void,
): void {
  let seq = 0;
  for (let at = 0; at < text.length;) {
    const found = text.indexOf("\n", at);
    const end = found < 0 ? text.length : found;
    visit(rawRecord(text.slice(at, end), seq++), at);
    at = end + 1;
  }
}

function rawRecord(line: string, seq: number): LogRecord {
  const record = parseRecord(line);
  if (record) return { ...record, seq, flag: "-" };
  // The receiver escapes a leading # so that nothing of a client's can look like a header.
  const plain = line.startsWith("\\x23") ? `#${line.slice(4)}` : line;
  const match = dmesg.exec(plain);
  const prio = Number(match?.[1] ?? 14);
  const usec = match ? Number(match[2]) * 1e6 + Number(match[3]) : 0;
  const text = match ? plain.slice(match[0].length) : plain;
  return { prio, seq, usec, flag: "-", fields: "", text, more: [] };
}
