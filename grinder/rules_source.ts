/**
 * Log text on which rules are tried: of a file, of a sample of the storage, or made up. All of it comes
 * as frames' text, as it is stored.
 */
import { Buffer } from "node:buffer";
import { createReadStream } from "node:fs";
import { formatBlockHeader } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import { escapeText } from "../shared/record.ts";
import { readExtent } from "../shared/segment_reader.ts";
import type { Extent, Storage } from "../shared/storage/storage.ts";
import type { ArchiveReader, Piece } from "./archive/reader.ts";
import type { TimeRange } from "./history/time_range.ts";
import type { StoredData } from "./reading/open_stored.ts";
import { openRange } from "./reading/stored_range.ts";
import type { Rule } from "./rule.ts";

/** Where a frame of plain lines begins: nobody sent it. */
const rawHeader = formatBlockHeader({
  ...{ device: "-", boot: "-", source: "raw", stream: "-" },
  ...{ recvUs: 0, first: 0, last: 0, count: 0 },
});

/**
 * A file of lines: records as they are stored (what `zstdcat` prints of a segment, too), the output of
 * dmesg, or plain text. Lines that are too long for a frame are cut.
 */
export async function* fileFrames(path: string): AsyncGenerator<string> {
  const bytesMax = limits.uploadFrameTextBytesMax / 2;
  let rest = "";
  for await (
    const chunk of createReadStream(path, { highWaterMark: bytesMax, encoding: "latin1" })
  ) {
    const text = rest + chunk;
    const end = text.lastIndexOf("\n") + 1 || (text.length >= bytesMax ? text.length : 0);
    rest = text.slice(end);
    if (end > 0) yield rawFrame(text.slice(0, end));
  }
  if (rest !== "") yield rawFrame(`${rest}\n`);
}

function rawFrame(lines: string): string {
  // Headers of blocks are no lines of the log; and nothing else may look like one.
  const text = lines.replaceAll(/^#(?:[01] .*|end)\n/gm, "").replaceAll(/^#/gm, "\\x23");
  return rawHeader + text;
}

export interface Sample {
  /** Frames' text. */
  texts: string[];
  textBytes: number;
  /** It is all that there is. */
  whole: boolean;
}

/**
 * What was received in the range, or some of it from everywhere in the range, archived or not. Throws
 * `StorageError`.
 */
export async function sampleStored(
  data: StoredData,
  range: TimeRange,
  bytesMax: number,
  warn: (text: string) => void,
): Promise<Sample> {
  const { selected, stored } = await openRange(data, range, { warn });
  const texts: string[] = [];
  // Text takes several times as much; what turns out too much is left out.
  if (selected.storedBytesTotal <= bytesMax) {
    for await (const { text } of stored.frames(range)) if (text) texts.push(text);
    const sample = takeEvenly(texts, bytesMax);
    return { ...sample, whole: sample.texts.length === texts.length };
  }
  const each = bytesMax / limits.rulesSamplePlaces;
  const extents = await selected.list(new Map());
  const hotBytes = extents.reduce((sum, { length }) => sum + length, 0);
  const hotPlaces = Math.round(limits.rulesSamplePlaces * hotBytes / selected.storedBytesTotal);
  texts.push(
    ...await archivedTexts(data.reader, range, limits.rulesSamplePlaces - hotPlaces, each),
  );
  for (let place = 0; place < hotPlaces; place++) {
    const [extent, offset] = placeAt(extents, Math.floor((place + 0.5) * hotBytes / hotPlaces));
    texts.push(...await framesAt(data.storage, extent, offset, each));
  }
  return { ...takeEvenly(texts, bytesMax), whole: false };
}

/** Of so many row groups the first frames. */
async function archivedTexts(
  reader: ArchiveReader,
  { sinceUs, untilUs }: TimeRange,
  places: number,
  bytesMax: number,
): Promise<string[]> {
  const selection = { sinceUs, untilUs, by: "recv" } as const;
  const pieces: Piece[] = [];
  for await (const piece of reader.pieces(selection)) pieces.push(piece);
  const texts: string[] = [];
  for (let place = 0; place < Math.min(places, pieces.length); place++) {
    const share = (place + 0.5) / Math.min(places, pieces.length);
    const piece = pieces[Math.floor(share * pieces.length)]!;
    let taken = 0;
    for (const { bytes, length } of await reader.piece(piece, selection)) {
      texts.push(Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("latin1"));
      if ((taken += length) >= bytesMax) break;
    }
  }
  return texts;
}

/** Texts from everywhere in the list, as many as there is room for. */
function takeEvenly(all: string[], bytesMax: number): { texts: string[]; textBytes: number } {
  const bytes = all.reduce((sum, { length }) => sum + length, 0);
  const share = Math.min(1, bytesMax / bytes);
  const texts = all.filter((_, i) => Math.floor((i + 1) * share) > Math.floor(i * share));
  return { texts, textBytes: texts.reduce((sum, { length }) => sum + length, 0) };
}

function placeAt(extents: Extent[], byte: number): [Extent, offset: number] {
  let before = 0;
  const extent = extents.find(({ length }) => (before += length) > byte)!;
  return [extent, byte - (before - extent.length)];
}

/** Reading goes on at the next whole frame, as it does behind damage. */
async function framesAt(
  storage: Storage,
  extent: Extent,
  offset: number,
  bytesMax: number,
): Promise<string[]> {
  const texts: string[] = [];
  const length = Math.min(extent.length, offset + 2 * limits.uploadFrameBytesMax);
  for await (const { text } of readExtent(storage, { ...extent, length, final: false }, offset)) {
    if (text) texts.push(text);
    if (texts.reduce((sum, { length }) => sum + length, 0) >= bytesMax) break;
  }
  return texts;
}

/** For where nothing is stored yet: one line in a hundred is a rule's `yes` or `no` line. */
export function madeUpFrames(rules: readonly Rule[], bytes: number): string[] {
  const lines = rules.flatMap(({ yes, no }) => [...yes, ...no]).map(escapeText);
  const texts: string[] = [];
  let n = 0;
  for (let made = 0; made < bytes;) {
    let text = formatBlockHeader({
      ...{ device: "made-up", boot: "b", source: "kmsg", stream: "b" },
      ...{ recvUs: 0, first: 0, last: 0, count: 0 },
    });
    while (text.length < limits.frameTextBytesMax / 2 && made + text.length < bytes) {
      const line = n % 100 === 0 ? lines[n / 100 % lines.length] : undefined;
      text += `6,${n},${n * 1000},-;${line ?? usualLine(n)}\n`;
      n++;
    }
    texts.push(text);
    made += text.length;
  }
  return texts;
}

function usualLine(n: number): string {
  const number = Math.imul(n, 0x9e3779b1) >>> 0;
  const daemon = ["conman", "dhcpd", "hostapd", "netmon", "collectd", "cron"][n % 6];
  return `${daemon}[${number % 30_000}]: request ${number.toString(16)} for station ` +
    `${number % 250} answered in ${number % 977} us, queue ${n % 13}, state ok`;
}
