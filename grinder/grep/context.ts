/**
 * Matches in, groups of lines out: each match with the records before and behind it *in its stream*, by
 * their seqs. They may stand in other blocks, which other devices' are between, were stored by another
 * receiver, and come later: a group waits for them, but not for ever.
 */
import type { BlockHeader } from "../../shared/block.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { limits } from "../../shared/limits.ts";
import { forEachRecord, isMeta, type LogRecord } from "../../shared/record.ts";
import { forEachRawLine } from "../raw_lines.ts";
import { streamKey } from "../seen.ts";
import type { FoundBlock } from "./found_frame.ts";
import type { FramePlace } from "./frame_texts.ts";
import type { Line } from "./line.ts";

export interface ContextOptions {
  /** Records of the stream. */
  before: number;
  after: number;
  textOf: (frame: FramePlace) => Promise<string>;
  timeOf: (header: BlockHeader, usec: number) => Line["time"];
  /** How long a group waits for what is missing, by receive time. */
  holdMs: number;
}

/** A block and its matches that are new. */
export interface MatchedBlock {
  block: FoundBlock;
  matches: Line[];
}

interface BlockPlace extends Pick<FoundBlock, "header" | "start" | "end"> {
  frame: FramePlace;
}

interface Group {
  stream: Stream;
  first: number;
  last: number;
  /** What is still to come of first..last. */
  missing: Set<number>;
  lines: Line[];
  /** When its newest match was received. */
  recvUs: number;
}

interface Stream {
  /** The newest ones. */
  blocks: BlockPlace[];
  groups: Group[];
  shown: IntervalSet;
}

/**
 * Blocks of a stream that are remembered beside those that hold the records before: so many frames of
 * one receiver can come before those of another that are older, and some blocks come twice.
 */
const spareBlocks = limits.frameSlots;

export class Context {
  readonly #streams = new Map<string, Stream>();
  readonly #open = new Set<Group>();
  /** Blocks, of all streams. */
  #remembered = 0;

  constructor(private readonly options: ContextOptions) {}

  /** All blocks of a frame, in order; gives the groups that are complete, or have waited enough. */
  async take(
    frame: FramePlace,
    recvUs: number,
    blocks: readonly MatchedBlock[],
  ): Promise<Line[][]> {
    for (const { block, matches } of blocks) {
      const stream = this.#stream(keyOf(frame, block));
      this.#remember(stream, { header: block.header, start: block.start, end: block.end, frame });
      for (const match of matches) this.#match(stream, match);
      // What was missing before can be in this block only.
      await this.#fill(stream, matches.length > 0 ? stream.blocks : stream.blocks.slice(-1));
    }
    const over = this.#open.size - limits.grepGroupsMax;
    return [...this.#open].filter(({ missing, recvUs: newestUs }, i) =>
      missing.size === 0 || newestUs + this.options.holdMs * 1000 < recvUs || i < over
    ).map((group) => this.#close(group));
  }

  /** Nothing comes any more. */
  end(): Line[][] {
    return [...this.#open].map((group) => this.#close(group));
  }

  #remember({ blocks }: Stream, block: BlockPlace): void {
    const spare = this.#remembered > limits.grepBlocksMax ? 0 : spareBlocks;
    blocks.push(block);
    const over = blocks.splice(0, Math.max(0, blocks.length - this.options.before - 1 - spare));
    this.#remembered += 1 - over.length;
  }

  #match(stream: Stream, match: Line): void {
    const { before, after } = this.options;
    const { seq } = match.record;
    const [first, last] = [Math.max(0, seq - before), seq + after];
    const group = this.#groupOf(stream, first, last);
    for (let other = first; other <= last; other++) {
      const isIn = other >= group.first && other <= group.last;
      if (!isIn && !stream.shown.has(other)) group.missing.add(other);
    }
    group.first = Math.min(group.first, first);
    group.last = Math.max(group.last, last);
    group.missing.delete(seq);
    group.lines.push(match);
    group.recvUs = Math.max(group.recvUs, match.header.recvUs);
  }

  /** An open one that touches first..last: several become one. */
  #groupOf(stream: Stream, first: number, last: number): Group {
    const touching = stream.groups.filter((one) => first <= one.last + 1 && last + 1 >= one.first);
    const [group, ...others] = touching;
    if (!group) {
      const made = {
        stream,
        first,
        last: first - 1,
        missing: new Set<number>(),
        lines: [],
        recvUs: 0,
      };
      stream.groups.push(made);
      this.#open.add(made);
      return made;
    }
    for (const other of others) {
      // What is between the two is between them and the match.
      for (let seq = group.last + 1; seq < other.first; seq++) group.missing.add(seq);
      for (let seq = other.last + 1; seq < group.first; seq++) group.missing.add(seq);
      group.first = Math.min(group.first, other.first);
      group.last = Math.max(group.last, other.last);
      for (const seq of other.missing) group.missing.add(seq);
      group.lines.push(...other.lines);
      this.#drop(other);
    }
    return group;
  }

  async #fill({ groups }: Stream, blocks: readonly BlockPlace[]): Promise<void> {
    for (const block of blocks) {
      const { header: { source, first, last } } = block;
      const isIn = (seq: number) => source === "raw" || (seq >= first && seq <= last);
      const wanting = groups.filter(({ missing }) => missing.values().some(isIn));
      if (wanting.length > 0) {
        this.#fillFrom(block, await this.options.textOf(block.frame), wanting);
      }
    }
  }

  #fillFrom(
    { header, start, end, frame }: BlockPlace,
    text: string,
    groups: readonly Group[],
  ): void {
    const textStart = text.indexOf("\n", start) + 1;
    const visit = (record: LogRecord, at: number) => {
      if (isMeta(record.flag) && header.source !== "raw") return;
      const group = groups.find(({ missing }) => missing.has(record.seq));
      if (!group) return;
      group.missing.delete(record.seq);
      const place = { segment: frame.segment, offset: frame.offset, line: textStart + at };
      const time = this.options.timeOf(header, record.usec);
      group.lines.push({ kind: "context", header, record, place, time });
    };
    if (header.source !== "raw") return forEachRecord(text.slice(textStart, end), visit, () => {});
    forEachRawLine(text.slice(textStart, end), visit);
    for (const { missing } of groups) missing.clear();
  }

  #close(group: Group): Line[] {
    const { stream, lines } = group;
    this.#drop(group);
    for (const { record: { seq } } of lines) stream.shown.add(seq, seq);
    return lines.sort((a, b) => a.record.seq - b.record.seq);
  }

  #forgetOldest(): void {
    const [oldest, { blocks }] = this.#streams.entries().next().value!;
    this.#streams.delete(oldest);
    this.#remembered -= blocks.length;
  }

  #drop(group: Group): void {
    this.#open.delete(group);
    group.stream.groups.splice(group.stream.groups.indexOf(group), 1);
  }

  #stream(key: string): Stream {
    const known = this.#streams.get(key);
    // Moved to the end: the one of which nothing has come for the longest time is let go first.
    if (known) this.#streams.delete(key);
    const stream = known ?? { blocks: [], groups: [], shown: new IntervalSet() };
    this.#streams.set(key, stream);
    if (this.#streams.size > limits.streamsCachedMax) this.#forgetOldest();
    return stream;
  }
}

/** A raw block is a stream of its own. */
function keyOf({ segment, offset }: FramePlace, { header, start }: FoundBlock): string {
  return header.source === "raw" ? `${segment} ${offset} ${start}` : streamKey(header);
}
