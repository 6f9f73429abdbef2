/**
 * Records in, the same records out, with a gap record where seqs are missing that no gap accounts for:
 * what a damaged place on the disk has swallowed.
 */
import { gapRecord, isMeta, type LogRecord, parseGap } from "../shared/record.ts";

/** Of one stream, from wherever it begins. */
export class Unbroken {
  #nextSeq: number | undefined;

  pass(records: LogRecord[]): LogRecord[] {
    return records.flatMap((record) => {
      const range = rangeOf(record);
      if (!range) return [record];
      const first = this.#nextSeq ?? range.first;
      this.#nextSeq = Math.max(first, range.last + 1);
      if (range.first <= first) return [record];
      const [last, count] = [range.first - 1, range.first - first];
      const gap = { first, last, count, cause: "lost" } as const;
      return [gapRecord(range.first, record.usec, gap), record];
    });
  }
}

/** The seqs that a record has or stands for. */
function rangeOf(record: LogRecord): { first: number; last: number } | undefined {
  const { seq, flag } = record;
  if (!isMeta(flag)) return { first: seq, last: seq };
  const gap = flag === "g" ? parseGap(record) : undefined;
  if (gap?.first === undefined) return undefined;
  return { first: gap.first, last: typeof gap.last === "number" ? gap.last : seq - 1 };
}
