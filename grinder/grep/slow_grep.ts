/**
 * All that a search should find, read from the first segment to the last, record by record: the obvious
 * twin of grep.ts, for tests.
 */
import { readBlocks } from "../../shared/block.ts";
import { forEachRecord, isMeta, type LogRecord, unescapeText } from "../../shared/record.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { epochKey, type Storage } from "../../shared/storage/storage.ts";
import { forEachRawLine } from "../raw_lines.ts";
import type { Line } from "./line.ts";

export interface SlowOptions {
  regex: RegExp;
  devices?: ReadonlySet<string>;
  from?: string;
  level?: number;
  before: number;
  after: number;
}

interface Stored {
  stream: string;
  device: string;
  source: string;
  record: LogRecord;
}

/** Names of lines, sorted: as `lineName` makes them. */
export async function slowGrep(storage: Storage, options: SlowOptions): Promise<string[]> {
  const all = await records(storage);
  const { regex, devices, from, level = 7, before, after } = options;
  const isMatch = ({ device, source, record }: Stored) =>
    (!devices || devices.has(device)) && (from === undefined || from === source) &&
    (record.prio & 7) <= level && regex.test(unescapeText(record.text));
  const matches = all.filter(isMatch);
  const isNear = (one: Stored) =>
    matches.some(({ stream, record: { seq } }) =>
      stream === one.stream && one.record.seq >= seq - before && one.record.seq <= seq + after
    );
  const context = all.filter((one) => !isMatch(one) && isNear(one));
  return [
    ...matches.map((one) => nameOf("match", one)),
    ...context.map((one) => nameOf("context", one)),
  ].sort();
}

/** Raw lines have no name of their own: they are known by their number in their block. */
export function lineName({ kind, header, record }: Line): string {
  const { device, source, stream } = header;
  const key = source === "raw" ? `${device} raw` : `${device} ${source} ${stream}`;
  return `${kind} ${key} ${record.seq} ${record.text}`;
}

function nameOf(kind: string, { stream, record }: Stored): string {
  const key = stream.split(" ").slice(0, stream.includes(" raw ") ? 2 : 3).join(" ");
  return `${kind} ${key} ${record.seq} ${record.text}`;
}

/** Each once. */
async function records(storage: Storage): Promise<Stored[]> {
  const all = new Map<string, Stored>();
  for await (const { text = "", segment, offset, ...epoch } of readNew(storage, new Map())) {
    for (const block of readBlocks(text)) {
      const { device, source, stream } = block.header;
      const place = `${epochKey(epoch)}/${
        String(segment).padStart(8, "0")
      } ${offset} ${block.offset}`;
      const key = source === "raw" ? `${device} raw ${place}` : `${device} ${source} ${stream}`;
      const visit = (record: LogRecord) => {
        if (isMeta(record.flag)) return;
        const one = { stream: key, device, source, record };
        const id = `${key} ${record.seq}`;
        if (!all.has(id)) all.set(id, one);
      };
      if (source === "raw") forEachRawLine(block.text, visit);
      else forEachRecord(block.text, visit, () => {});
    }
  }
  return [...all.values()];
}
