/** A frame's text to what rules say of it: each match with its record and the header that it stands under. */
import { Buffer } from "node:buffer";
import { type Block, type BlockHeader, readBlocks } from "../shared/block.ts";
import { forEachRecord, type LogRecord } from "../shared/record.ts";
import type { TimeRange } from "./history/time_range.ts";
import { forEachRawLine } from "./raw_lines.ts";
import type { Once } from "./reading/once.ts";
import { blocksOf } from "./reading/stored.ts";
import type { Rule } from "./rule.ts";
import { type FrameMatch, FrameMatcher, paddingBytes } from "./sieve/frame_matcher.ts";

export interface Found {
  rule: Rule;
  labels: Record<string, string>;
  value?: number;
  record: LogRecord;
  header: BlockHeader;
  /** Where the record begins in the frame's text. */
  start: number;
}

export const always: TimeRange = { sinceUs: -Infinity, untilUs: Infinity };

/** Tells the records of a frame that were received in the range and that `once` hasn't seen. */
export function newRecords(
  text: string,
  range: TimeRange,
  once: Once,
): (found: Pick<Found, "start">) => boolean {
  const frame = { segment: "", offset: 0, fromUs: 0, text };
  const blocks = [...blocksOf(frame, range, once)];
  return ({ start }) => {
    const block = blocks.findLast(({ line }) => line <= start);
    if (!block || start >= block.line + block.text.length) return false;
    return block.fresh === "all" || block.fresh.has(start - block.line);
  };
}

export class FrameEvents {
  readonly matcher: FrameMatcher;
  #bytes = new Uint8Array(0);

  /** `sample` is log text as it is stored, on which the matcher plans. */
  constructor(readonly rules: readonly Rule[], sample: string, nowMs?: () => number) {
    this.matcher = new FrameMatcher(rules, Buffer.from(sample, "latin1"), [], nowMs);
  }

  /** Of all records of the frame, in their order. */
  in(text: string): Found[] {
    const matches: FrameMatch[] = [];
    this.#matchAll(text, (match) => matches.push(match));
    // In most frames there is little or nothing: only then it is looked for where that stands.
    if (matches.length === 0) return [];
    const blocks = [...readBlocks(text)];
    let block = 0;
    return matches.map(({ rule, start, ...extracted }) => {
      while (blocks[block + 1] && blocks[block + 1]!.offset <= start) block++;
      const { header } = blocks[block]!;
      const record = recordAt(text, blocks[block]!, start);
      return { rule: this.rules[rule]!, ...extracted, record, header, start };
    });
  }

  #matchAll(text: string, found: (match: FrameMatch) => void): void {
    if (this.#bytes.length < text.length + paddingBytes) {
      this.#bytes = new Uint8Array(text.length + paddingBytes);
    }
    // Log text is nearly always ASCII, which is UTF-8 too: some runtimes write latin1 byte by byte.
    const { read, written } = new TextEncoder().encodeInto(text, this.#bytes);
    const isAscii = read === text.length && written === read;
    if (!isAscii) Buffer.from(this.#bytes.buffer).write(text, 0, "latin1");
    this.matcher.match(this.#bytes, text.length, found);
  }
}

function recordAt(text: string, { header, offset }: Block, start: number): LogRecord {
  // The record's continuation lines belong to it, and no other record.
  const end = /\n(?! )/g;
  end.lastIndex = start;
  const lines = text.slice(start, end.exec(text)?.index);
  let found: LogRecord | undefined;
  const take = (record: LogRecord) => void (found ??= record);
  if (header.source === "raw") forEachRawLine(lines, take);
  else forEachRecord(lines, take, () => {});
  if (found) return found;
  throw new Error(`no record at ${start} of a block at ${offset}: the matcher is wrong`);
}
