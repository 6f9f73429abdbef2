/** Stored frames to what is found in them: decoded, sieved, and only what matched looked at closer. */
import { Buffer } from "node:buffer";
import { limits } from "../../shared/limits.ts";
import type { StoredFrame } from "../../shared/segment_reader.ts";
import { FrameDecoder } from "../engine/frame_decoder.ts";
import { type FrameRing, slotState } from "../engine/ring.ts";
import { HeaderScan, RecordScan } from "../engine/scan.ts";
import { FrameMatcher, paddingBytes } from "../sieve/frame_matcher.ts";
import { newlineFrom, type Text, textOf } from "../sieve/words.ts";
import { type AskedRegex, ruleOf } from "./asked_regex.ts";
import { FoundWriter } from "./found_frame.ts";
import { clockMark, FrameClocks } from "./frame_clocks.ts";
import { levelOf } from "./level.ts";

/** What is looked for, as it is told to other threads. */
export interface Wanted extends AskedRegex {
  /** Undefined: of all. */
  devices?: ReadonlySet<string> | undefined;
  /** Of this source only: kmsg, file:NAME ... */
  from?: string | undefined;
  /** At least so severe. */
  level?: number | undefined;
  /** Clock records as well, which say when things happened. */
  clocks: boolean;
  /** All blocks, also those in which nothing is found. */
  allBlocks: boolean;
}

/** Of log text on which it is measured what to look for: of 1 MiB that would take longer than a search. */
const sampleBytes = 128 * 1024;
const space = 0x20;
const hash = 0x23;

export class FrameSearcher {
  readonly out = new FoundWriter();
  /** The archive's frames may be longer by a header. */
  readonly #decoder = new FrameDecoder(paddingBytes + limits.headerBytesMax);
  #matcher: FrameMatcher | undefined;
  readonly #header = new HeaderScan();
  readonly #record = new RecordScan();
  readonly #clocks = new FrameClocks();
  /** Where the records begin that match. */
  readonly #starts: number[] = [];
  #text: Text = textOf(new Uint8Array(0));
  /** The same bytes: as a buffer they give strings. */
  #buffer: Buffer = Buffer.alloc(0);

  constructor(private readonly wanted: Wanted) {}

  /** Leaves what it finds in `out`; false if the frame doesn't decode. */
  search(frame: StoredFrame): boolean {
    // What begins with a # is a text already: no frame does.
    if (frame.bytes[0] === hash) {
      this.searchText(Buffer.from(frame.bytes).toString("latin1"));
      return true;
    }
    const text = this.#decoder.decode(frame);
    if (!text) return false;
    this.#search(text, frame.textBytes);
    return true;
  }

  /** The same of a text, given as a byte string. */
  searchText(text: string): void {
    this.#search(this.#decoder.place(text), text.length);
  }

  /** Does a frame that was claimed. */
  serve(ring: FrameRing, slot: number): void {
    if (this.search(ring.frame(slot))) ring.finish(slot, this.out);
    else ring.fail(slot, slotState.bad);
  }

  #search(text: Buffer, length: number): void {
    const { out, wanted } = this;
    const marks = wanted.clocks ? [clockMark] : [];
    const sample = text.subarray(0, Math.min(length, sampleBytes));
    const matcher = this.#matcher ??= new FrameMatcher([ruleOf(wanted)], sample, marks);
    const bytes = new Uint8Array(text.buffer, text.byteOffset, text.length);
    [this.#buffer, this.#text] = [text, textOf(bytes)];
    this.#starts.length = 0;
    matcher.match(bytes, length, ({ start }) => this.#starts.push(start));
    out.begin();
    // Nearly all frames begin with a header.
    out.firstRecvUs(this.#header.read(this.#text, 0, length) ? this.#header.recvUs : NaN);
    const frame = { text: this.#text, buffer: text, length };
    this.#clocks.each(matcher, frame, (clock) => out.clock(clock));
    this.#blocks(matcher, length);
  }

  #blocks({ hashLineAt, hashLines }: FrameMatcher, length: number): void {
    const starts = this.#starts;
    let next = 0;
    for (
      let block = 0;
      block < hashLines && (this.wanted.allBlocks || next < starts.length);
      block++
    ) {
      const end = block + 1 < hashLines ? hashLineAt[block + 1]! : length;
      const from = next;
      while (next < starts.length && starts[next]! < end) next++;
      if (this.wanted.allBlocks || next > from) this.#block(hashLineAt[block]!, end, from, next);
    }
  }

  /** Of its matches those from one to another. */
  #block(start: number, end: number, from: number, to: number): void {
    const headerEnd = newlineFrom(this.#text, start, end);
    const [, device, , source] = this.#buffer.toString("latin1", start, headerEnd).split(" ");
    const { devices, from: wantedSource, allBlocks } = this.wanted;
    const isWanted = (!devices || devices.has(device!)) &&
      (wantedSource === undefined || wantedSource === source);
    if (!isWanted && !allBlocks) return;
    const { bytes } = this.#text;
    this.out.found(bytes, start, end, headerEnd);
    const isRaw = source === "raw";
    let [at, number] = [headerEnd + 1, 0];
    for (let i = from; isWanted && i < to; i++) {
      for (; isRaw && at < this.#starts[i]!; number++) at = newlineFrom(this.#text, at, end) + 1;
      if (!this.#isBelow(this.#starts[i]!, isRaw)) {
        this.#found(this.#starts[i]!, end, number, isRaw);
      }
    }
  }

  /** Whether a record is of a lower level than those that are wanted; of raw lines that is found later. */
  #isBelow(start: number, isRaw: boolean): boolean {
    const { level } = this.wanted;
    if (isRaw || level === undefined || !this.#record.read(this.#text.bytes, start)) return false;
    return levelOf(this.#record.prio) > level;
  }

  #found(start: number, blockEnd: number, number: number, isRaw: boolean): void {
    const { bytes } = this.#text;
    let end = newlineFrom(this.#text, start, blockEnd) + 1;
    while (!isRaw && end < blockEnd && bytes[end] === space) {
      end = newlineFrom(this.#text, end, blockEnd) + 1;
    }
    this.out.record(bytes, start, Math.min(end, blockEnd), number);
  }
}
