/**
 * A frame's text to its digest, fast: of most blocks only the header, the ends and what the rules
 * found are looked at. Where that can't do, the block's text goes along, to be read record by record.
 */
import { Buffer } from "node:buffer";
import { believableNumbers, endText } from "../../shared/block.ts";
import { type LogRecord, parseRecord, parseSync } from "../../shared/record.ts";
import { forEachRawLine } from "../raw_lines.ts";
import type { Rule } from "../rule.ts";
import { type FrameMatch, FrameMatcher } from "../sieve/frame_matcher.ts";
import type { DigestWriter } from "./packed_digest.ts";
import { HeaderScan, recordBefore, RecordScan } from "./scan.ts";
import { lineStart, newlineFrom, type Text, textOf } from "./words.ts";

/** What begins a block; what each good clock sync record holds; what each good gap record holds. */
const marks = ["\n#", "wall_us=", "count="] as const;
const gapFlag = "g".charCodeAt(0);
const syncFlag = "s".charCodeAt(0);

/** The usecs of a plain block. */
interface Ends {
  firstUsec: number;
  lastUsec: number;
}

export class Digester {
  #matcher: FrameMatcher | undefined;
  readonly #header = new HeaderScan();
  readonly #record = new RecordScan();
  #text: Text = textOf(new Uint8Array(0));
  /** The same bytes: as a buffer they give strings. */
  #buffer: Buffer = Buffer.alloc(0);
  readonly #headers = new Waiting<number>((at) => at);
  readonly #syncs = new Waiting<number>((at) => at);
  readonly #gaps = new Waiting<number>((at) => at);
  readonly #finds = new Waiting<FrameMatch>(({ start }) => start);

  constructor(private readonly rules: readonly Rule[]) {}

  /** `text` has 32 bytes to spare behind `length`, which are overwritten. */
  digest(text: Buffer, length: number, out: DigestWriter): void {
    this.#matcher ??= new FrameMatcher(this.rules, text.subarray(0, length), marks);
    this.#buffer = text;
    // A buffer's own methods are slow in one runtime.
    this.#text = textOf(new Uint8Array(text.buffer, text.byteOffset, text.length));
    const waiting = [this.#headers, this.#syncs, this.#gaps] as const;
    for (const queue of [...waiting, this.#finds]) queue.clear();
    const take = (match: FrameMatch) => this.#finds.push(match);
    this.#matcher.match(text, length, take, (mark, at) => waiting[mark]!.push(at));
    out.begin();
    for (let start = 0; start < length;) {
      const next = this.#headers.take();
      const end = next === undefined ? length : next + 1;
      this.#block(start, end, out);
      start = end;
    }
    out.end();
  }

  #block(start: number, end: number, out: DigestWriter): void {
    const header = this.#header;
    const finds = this.#finds.takeBefore(end);
    const syncs = this.#syncs.takeBefore(end);
    const gaps = this.#gaps.takeBefore(end);
    if (!header.read(this.#text, start, end)) {
      if (this.#buffer.toString("latin1", start, end) !== endText) out.badBlock();
      return;
    }
    if (endsWith(this.#text.bytes, header.sourceEnd, " raw")) return this.#raw(end, finds, out);
    const mayRecover = this.#mayRecover();
    if (mayRecover) out.lastWords();
    const isPlain = !mayRecover && (gaps.length === 0 || !gaps.some((at) => this.#isGap(at)));
    const ends = isPlain ? this.#plainEnds(end, finds) : undefined;
    const { end: offset } = header;
    out.block(ends ? "plain" : "exact", header, offset, ends);
    out.names(this.#text, header.namesStart, header.namesEnd);
    if (ends) this.#syncRecords(end, syncs, out);
    else out.text(this.#text.bytes, offset, end);
    for (const { start: line, ...found } of finds) {
      const record = this.#recordAt(line, end);
      if (record) out.find(found.rule, line, record, found);
    }
  }

  /** Nothing, unless the block is what its header says, as far as its ends and finds tell. */
  #plainEnds(end: number, finds: readonly FrameMatch[]): Ends | undefined {
    const { first, last, end: start } = this.#header;
    if (!believableNumbers(this.#header, end - start)) return undefined;
    const firstUsec = this.#firstUsec(start, end);
    const lastUsec = this.#lastUsec(start, end);
    if (firstUsec === undefined || lastUsec === undefined) return undefined;
    const record = this.#record;
    const isIn = (at: number) =>
      record.read(this.#text.bytes, at) && record.seq >= first && record.seq <= last;
    return finds.every((find) => isIn(find.start)) ? { firstUsec, lastUsec } : undefined;
  }

  /** The usec of the first record, if the first ordinary one is that of FIRST. */
  #firstUsec(start: number, end: number): number | undefined {
    const record = this.#record;
    let usec: number | undefined;
    for (let at = start; at < end; at = newlineFrom(this.#text, at, end) + 1) {
      if (!record.read(this.#text.bytes, at)) return undefined;
      usec ??= record.usec;
      if (record.flag !== syncFlag) return record.seq === this.#header.first ? usec : undefined;
    }
    return undefined;
  }

  /** The usec of the last record, if the last ordinary one is that of LAST. */
  #lastUsec(start: number, end: number): number | undefined {
    const record = this.#record;
    let usec: number | undefined;
    for (let at = end; at > start;) {
      at = recordBefore(this.#text, start, at);
      if (!record.read(this.#text.bytes, at)) return undefined;
      usec ??= record.usec;
      if (record.flag !== syncFlag) return record.seq === this.#header.last ? usec : undefined;
    }
    return undefined;
  }

  #isGap(at: number): boolean {
    const start = lineStart(this.#text, this.#header.end, at);
    return this.#record.read(this.#text.bytes, start) && this.#record.flag === gapFlag;
  }

  /** As `mayRecover` (../recovered.ts) has it. */
  #mayRecover(): boolean {
    const { sourceEnd, streamStart } = this.#header;
    return endsWith(this.#text.bytes, sourceEnd, " pstore") ||
      endsWith(this.#text.bytes, streamStart + 5, " ring-");
  }

  #syncRecords(end: number, places: readonly number[], out: DigestWriter): void {
    let before = -1;
    for (const at of places) {
      const line = lineStart(this.#text, this.#header.end, at);
      // One line may hold the mark twice.
      if (line === before) continue;
      before = line;
      const record = this.#recordAt(line, end);
      const sync = record?.flag === "s" ? parseSync(record) : undefined;
      if (sync) out.sync(line, record!, sync);
    }
  }

  /** The record of which this is the first line. */
  #recordAt(line: number, end: number): LogRecord | undefined {
    const lineEnd = newlineFrom(this.#text, line, end);
    return parseRecord(this.#buffer.toString("latin1", line, lineEnd));
  }

  /** All of it is read: what is raw has no form that could be relied on. */
  #raw(end: number, finds: readonly FrameMatch[], out: DigestWriter): void {
    const { namesStart, namesEnd, recvUs, end: offset } = this.#header;
    const places = new Map<number, FrameMatch[]>();
    for (const find of finds) places.set(find.start, [...places.get(find.start) ?? [], find]);
    const found: Array<[FrameMatch, LogRecord]> = [];
    let count = 0;
    forEachRawLine(this.#buffer.toString("latin1", offset, end), (record, at) => {
      count++;
      for (const find of places.get(offset + at) ?? []) found.push([find, record]);
    });
    const header = { recvUs, first: 0, last: 0, count };
    out.block("raw", header, offset);
    out.names(this.#text, namesStart, namesEnd);
    for (const [find, record] of found) out.find(find.rule, find.start, record, find);
  }
}

function endsWith(bytes: Uint8Array, end: number, text: string): boolean {
  for (let i = 1; i <= text.length; i++) {
    if (bytes[end - i] !== text.charCodeAt(text.length - i)) return false;
  }
  return true;
}

/** What stands in a frame, in order, taken block by block. */
class Waiting<T> {
  readonly #all: T[] = [];
  #next = 0;

  constructor(private readonly placeOf: (item: T) => number) {}

  clear(): void {
    this.#all.length = 0;
    this.#next = 0;
  }

  push(item: T): void {
    this.#all.push(item);
  }

  take(): T | undefined {
    return this.#all[this.#next++];
  }

  takeBefore(end: number): readonly T[] {
    const from = this.#next;
    while (this.#next < this.#all.length && this.placeOf(this.#all[this.#next]!) < end) {
      this.#next++;
    }
    return from === this.#next ? none : this.#all.slice(from, this.#next);
  }
}

const none: readonly never[] = [];
