/**
 * One entry of the disk queue: a line and whole records behind it, as text (shared/record.ts).
 *
 *     @CRC LENGTH BOOT SOURCE STREAM\n
 *     RECORDS
 *
 * | field | meaning |
 * |-------|---------|
 * | CRC | 8 hexadecimal digits: CRC-32 of all behind the space that follows it |
 * | LENGTH | bytes of RECORDS, decimal |
 */
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { limits } from "../shared/limits.ts";
import { forEachRecord, formatRecord, type LogRecord } from "../shared/record.ts";
import type { StreamNames } from "./source.ts";

export interface Entry {
  names: StreamNames;
  records: LogRecord[];
}

export function formatEntry({ names, records }: Entry): Buffer {
  const text = records.map(formatRecord).join("");
  const { boot, source, stream } = names;
  const checked = Buffer.from(`${text.length} ${boot} ${source} ${stream}\n${text}`, "latin1");
  const crc = crc32(checked).toString(16).padStart(8, "0");
  return Buffer.concat([Buffer.from(`@${crc} `), checked]);
}

const entryHead = /^@([0-9a-f]{8}) ((\d{1,8}) (\S+) (\S+) (\S+)\n)/;
/** Four names' and two numbers' worth. */
const headBytesMax = limits.headerBytesMax;

/** The whole entries in some bytes, in order; `damaged` is told of bytes that are none. */
export function* entriesIn(
  bytes: Buffer,
  damaged: (bytes: number) => void,
): Generator<Entry & { end: number }> {
  for (let at = 0; at < bytes.length;) {
    const entry = entryAt(bytes, at);
    if (entry) {
      yield entry;
      at = entry.end;
      continue;
    }
    const from = at;
    do at = nextMark(bytes, at); while (at < bytes.length && !entryAt(bytes, at));
    damaged(at - from);
  }
}

/** Where the next entry may begin. It needn't be a line's beginning: the damage may be there. */
function nextMark(bytes: Buffer, at: number): number {
  const found = bytes.indexOf("@", at + 1, "latin1");
  return found < 0 ? bytes.length : found;
}

function entryAt(bytes: Buffer, at: number): Entry & { end: number } | undefined {
  const head = entryHead.exec(bytes.toString("latin1", at, at + headBytesMax));
  if (!head) return undefined;
  const [whole, crc, , length, boot, source, stream] = head as unknown as string[];
  const textAt = at + whole!.length;
  const end = textAt + Number(length);
  if (end > bytes.length) return undefined;
  if (crc32(bytes.subarray(at + 10, end)) !== Number.parseInt(crc!, 16)) return undefined;
  const records: LogRecord[] = [];
  forEachRecord(bytes.toString("latin1", textAt, end), (record) => records.push(record), () => {});
  return { names: { boot: boot!, source: source!, stream: stream! }, records, end };
}
