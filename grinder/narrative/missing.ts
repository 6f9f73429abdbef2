/**
 * What is missing in a device's streams: gap records, of which is left what didn't come after all, and
 * seqs that neither came nor were said to be missing.
 */
import type { BlockHeader } from "../../shared/block.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { type Gap, type LogRecord, parseGap } from "../../shared/record.ts";
import { streamKey } from "../seen.ts";

export interface Hole {
  first: number;
  last: number;
  count: number;
}

interface Stream {
  explained: IntervalSet;
  /** The highest seq that was told; -1: none was. */
  lastSeq: number;
}

export class Missing {
  readonly #streams = new Map<string, Stream>();

  /** `seenOf` gives the seqs that came, of those as well that are still to be told. */
  constructor(private readonly seenOf: (header: BlockHeader) => IntervalSet) {}

  /** A gap record came; it may be told later. */
  explain(header: BlockHeader, record: LogRecord): void {
    const gap = parseGap(record);
    if (gap?.first === undefined || gap.last === undefined || gap.last === "?") return;
    this.#of(header).explained.add(gap.first, gap.last);
  }

  /** What a gap record that is to be told says; undefined if all of it came. */
  gap(header: BlockHeader, record: LogRecord): Gap | undefined {
    const gap = parseGap(record);
    if (gap?.first === undefined || gap.last === undefined || gap.last === "?") return gap;
    const left = without(gap.first, gap.last, this.seenOf(header));
    if (left.count === 0) return undefined;
    const [first] = left.intervals()[0]!;
    const last = left.intervals().at(-1)![1];
    return { ...gap, first, last, count: left.count };
  }

  /** An ordinary record is to be told; gives the hole before it, if there is one. */
  hole(header: BlockHeader, { seq }: LogRecord): Hole | undefined {
    const stream = this.#of(header);
    const after = stream.lastSeq;
    stream.lastSeq = Math.max(after, seq);
    if (after < 0 || seq <= after + 1) return undefined;
    const left = without(after + 1, seq - 1, this.seenOf(header)).subtract(stream.explained);
    if (left.count === 0) return undefined;
    const all = left.intervals();
    return { first: all[0]![0], last: all.at(-1)![1], count: left.count };
  }

  #of(header: BlockHeader): Stream {
    const key = streamKey(header);
    const known = this.#streams.get(key) ?? { explained: new IntervalSet(), lastSeq: -1 };
    this.#streams.set(key, known);
    return known;
  }
}

function without(first: number, last: number, seen: IntervalSet): IntervalSet {
  const all = new IntervalSet();
  all.add(first, last);
  return all.subtract(seen);
}
