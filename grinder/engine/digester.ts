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
import { HeaderScan, recordBefore, RecordScan, SyncScan } from "./scan.ts";
import { lineStart, newlineFrom, type Text, textOf } from "../sieve/words.ts";

/** What each good clock sync record holds, and each good gap record. */
const marks = ["wall_us=", "count="] as const;
const syncMark = 0;
const gapFlag = "g".charCodeAt(0);
const syncFlag = "s".charCodeAt(0);

export class Digester {
  #matcher: FrameMatcher | undefined;
  readonly #header = new HeaderScan();
  readonly #record = new RecordScan();
  readonly #sync = new SyncScan();
  #text: Text = textOf(new Uint8Array(0));
  /** The same bytes: as a buffer they give strings. */
  #buffer: Buffer = Buffer.alloc(0);
  readonly #syncs = new Places();
  readonly #gaps = new Places();
  readonly #finds = new Places();
  /** What was found at each of those places. */
  readonly #matches: FrameMatch[] = [];
  readonly #take = (match: FrameMatch) => {
    this.#finds.push(match.start);
    this.#matches.push(match);
  };
  /** The usecs of a plain block. */
  readonly #ends = { firstUsec: 0, lastUsec: 0 };

  constructor(private readonly rules: readonly Rule[]) {}

  /** `text` has 32 bytes to spare behind `length`, which are overwritten. */
  digest(text: Buffer, length: number, out: DigestWriter): void {
    const matcher = this.#matcher ??= new FrameMatcher(this.rules, text.subarray(0, length), marks);
    this.#buffer = text;
    // A buffer's own methods are slow in one runtime.
    const bytes = new Uint8Array(text.buffer, text.byteOffset, text.length);
    this.#text = textOf(bytes);
    for (const places of [this.#syncs, this.#gaps, this.#finds]) places.clear();
    this.#matches.length = 0;
    matcher.match(bytes, length, this.#take);
    const { at, mark } = matcher.marks;
    for (let i = 0; i < at.length; i++) {
      if (mark[i] === syncMark) this.#syncs.push(at[i]!);
      else this.#gaps.push(at[i]!);
    }
    this.#blocks(matcher, length, out);
  }

  /** What begins with a # is a header; what stands before the first of them is under none. */
  #blocks({ hashLineAt, hashLines }: FrameMatcher, length: number, out: DigestWriter): void {
    out.begin();
    let start = 0;
    for (let i = 0; i < hashLines; i++) {
      const next = hashLineAt[i]!;
      if (next > start) this.#block(start, next, out);
      start = next;
    }
    if (start < length) this.#block(start, length, out);
    out.end();
  }

  #block(start: number, end: number, out: DigestWriter): void {
    const header = this.#header;
    this.#finds.takeBefore(end);
    this.#syncs.takeBefore(end);
    this.#gaps.takeBefore(end);
    if (!header.read(this.#text, start, end)) {
      if (this.#buffer.toString("latin1", start, end) !== endText) out.badBlock();
      return;
    }
    if (endsWith(this.#text.bytes, header.sourceEnd, " raw")) return this.#raw(end, out);
    this.#ends.firstUsec = this.#ends.lastUsec = 0;
    const mayRecover = this.#mayRecover();
    if (mayRecover) out.lastWords();
    const isPlain = !mayRecover && !this.#hasGap() && this.#isPlain(end);
    out.block(isPlain ? "plain" : "exact", header, header.end, this.#ends);
    out.names(this.#text, header.namesStart, header.namesEnd);
    if (isPlain) this.#syncRecords(end, out);
    else out.text(this.#text.bytes, header.end, end);
    for (let i = this.#finds.from; i < this.#finds.to; i++) this.#find(this.#matches[i]!, end, out);
  }

  /** Whether the block is what its header says, as far as its ends and finds tell. */
  #isPlain(end: number): boolean {
    const header = this.#header;
    const record = this.#record;
    const { bytes } = this.#text;
    const ends = this.#ends;
    if (!believableNumbers(header, end - header.end)) return false;
    const firstUsec = this.#firstUsec(header.end, end);
    const lastUsec = this.#lastUsec(header.end, end);
    if (firstUsec < 0 || lastUsec < 0) return false;
    for (let i = this.#finds.from; i < this.#finds.to; i++) {
      if (!record.read(bytes, this.#finds.at[i]!)) return false;
      if (record.seq < header.first || record.seq > header.last) return false;
    }
    ends.firstUsec = firstUsec;
    ends.lastUsec = lastUsec;
    return true;
  }

  /** The usec of the first record, if the first ordinary one is that of FIRST; else -1. */
  #firstUsec(start: number, end: number): number {
    const record = this.#record;
    let usec = -1;
    for (let at = start; at < end; at = newlineFrom(this.#text, at, end) + 1) {
      if (!record.read(this.#text.bytes, at)) return -1;
      if (usec < 0) usec = record.usec;
      if (record.flag !== syncFlag) return record.seq === this.#header.first ? usec : -1;
    }
    return -1;
  }

  /** The usec of the last record, if the last ordinary one is that of LAST; else -1. */
  #lastUsec(start: number, end: number): number {
    const record = this.#record;
    let usec = -1;
    for (let at = end; at > start;) {
      at = recordBefore(this.#text, start, at);
      if (!record.read(this.#text.bytes, at)) return -1;
      if (usec < 0) usec = record.usec;
      if (record.flag !== syncFlag) return record.seq === this.#header.last ? usec : -1;
    }
    return -1;
  }

  #hasGap(): boolean {
    for (let i = this.#gaps.from; i < this.#gaps.to; i++) {
      const start = lineStart(this.#text, this.#header.end, this.#gaps.at[i]!);
      if (this.#record.read(this.#text.bytes, start) && this.#record.flag === gapFlag) return true;
    }
    return false;
  }

  /** As `mayRecover` (../recovered.ts) has it. */
  #mayRecover(): boolean {
    const { sourceEnd, streamStart } = this.#header;
    return endsWith(this.#text.bytes, sourceEnd, " pstore") ||
      endsWith(this.#text.bytes, streamStart + 5, " ring-");
  }

  #syncRecords(end: number, out: DigestWriter): void {
    let before = -1;
    for (let i = this.#syncs.from; i < this.#syncs.to; i++) {
      const line = lineStart(this.#text, this.#header.end, this.#syncs.at[i]!);
      // One line may hold the mark twice.
      if (line === before) continue;
      before = line;
      if (this.#isUsualSync(line)) out.sync(line, this.#record, this.#sync);
      else this.#syncRecord(line, end, out);
    }
  }

  #isUsualSync(line: number): boolean {
    const record = this.#record;
    const { bytes } = this.#text;
    return record.read(bytes, line) && record.flag === syncFlag &&
      this.#sync.read(bytes, record.behindFlag);
  }

  #syncRecord(line: number, end: number, out: DigestWriter): void {
    const record = this.#recordAt(line, end);
    const sync = record?.flag === "s" ? parseSync(record) : undefined;
    if (sync) out.sync(line, record!, sync);
  }

  #find(find: FrameMatch, end: number, out: DigestWriter): void {
    const isUsual = this.#record.read(this.#text.bytes, find.start);
    const record = isUsual ? this.#record : this.#recordAt(find.start, end);
    if (record) out.find(find.rule, find.start, record, find);
  }

  /** The record of which this is the first line. */
  #recordAt(line: number, end: number): LogRecord | undefined {
    const lineEnd = newlineFrom(this.#text, line, end);
    return parseRecord(this.#buffer.toString("latin1", line, lineEnd));
  }

  /** All of it is read: what is raw has no form that could be relied on. */
  #raw(end: number, out: DigestWriter): void {
    const { namesStart, namesEnd, recvUs, end: offset } = this.#header;
    const finds = this.#matches.slice(this.#finds.from, this.#finds.to);
    const found: Array<[FrameMatch, LogRecord]> = [];
    let [count, next] = [0, 0];
    forEachRawLine(this.#buffer.toString("latin1", offset, end), (record, at) => {
      count++;
      while (finds[next]?.start === offset + at) found.push([finds[next++]!, record]);
    });
    const header = { recvUs, first: 0, last: 0, count };
    out.block("raw", header, offset, { firstUsec: 0, lastUsec: 0 });
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

/** Where things stand in a frame, in order, taken block by block: those at [from, to) are the present one's. */
class Places {
  readonly at: number[] = [];
  from = 0;
  to = 0;

  clear(): void {
    this.at.length = this.from = this.to = 0;
  }

  push(at: number): void {
    this.at.push(at);
  }

  /** Goes on to those before `end` that weren't taken yet. */
  takeBefore(end: number): void {
    this.from = this.to;
    while (this.to < this.at.length && this.at[this.to]! < end) this.to++;
  }
}
