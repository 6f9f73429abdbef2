/**
 * What the grinder has seen of one stream in, its account out: each seq from the first to the last that
 * was ever seen or spoken of is stored, or a gap record says why not, or nobody explains it. A record
 * that is stored beats a gap, and of two gaps that tell of the same seq the one that came first counts.
 */
import { IntervalSet } from "../../shared/intervals.ts";
import type { Gap } from "../../shared/record.ts";

export const causes = ["overrun", "evicted", "ratelimit", "refused", "lost"] as const;
export type Cause = typeof causes[number];

/** Records; all of them can be added up. */
export type Counts = Record<"stored" | Cause | "other" | "unexplained", number>;

export interface StreamAccount extends Counts {
  device: string;
  /** `-` where the state doesn't say: a followed file's stream goes on over boots. */
  boot: string;
  source: string;
  stream: string;
  /** Seqs, in the text form of intervals. */
  seqs: string;
  unexplainedSeqs: string;
  /** A gap whose end nobody knows: of its cause there may be more than is counted. */
  openGap: boolean;
}

/** What the state has of a stream. */
export interface SeenStream {
  stored: IntervalSet;
  /** By gap records, also those that have been forgotten since. */
  explained: IntervalSet;
  /** In the order in which they came. */
  gaps: ReadonlyArray<Omit<Gap, "cause"> & { cause: string }>;
}

export function noCounts(): Counts {
  return {
    ...{ stored: 0, overrun: 0, evicted: 0, ratelimit: 0, refused: 0, lost: 0 },
    ...{ other: 0, unexplained: 0 },
  };
}

export function addCounts(sum: Counts, more: Counts): void {
  for (const name of Object.keys(noCounts()) as Array<keyof Counts>) sum[name] += more[name];
}

/** The account of a stream without its names. */
export function accountOf(
  { stored, explained, gaps }: SeenStream,
): Omit<StreamAccount, "device" | "boot" | "source" | "stream"> {
  const counts = noCounts();
  counts.stored = stored.count;
  const told = new IntervalSet();
  for (const gap of gaps) counts[causeOf(gap.cause)] += claim(gap, stored, told);
  // Their gap records were forgotten for their age; the seqs weren't.
  for (const [first, last] of explained.intervals()) {
    counts.other += newIn(first, last, stored, told);
  }
  const unexplained = holesOf(stored, told);
  return {
    ...counts,
    unexplained: unexplained.count,
    seqs: stored.encode(),
    unexplainedSeqs: unexplained.encode(),
    openGap: gaps.some(({ last }) => last === "?"),
  };
}

/** How many records a gap tells of that no gap before it did. */
function claim(gap: SeenStream["gaps"][number], stored: IntervalSet, told: IntervalSet): number {
  const { first, last, count } = gap;
  if (first === undefined || last === undefined) return count;
  const highest = stored.intervals().at(-1)?.[1] ?? -1;
  return newIn(first, last === "?" ? Math.max(first, highest) : last, stored, told);
}

function newIn(first: number, last: number, stored: IntervalSet, told: IntervalSet): number {
  const added = told.add(first, last);
  if (added.length === 0) return 0;
  const fresh = new IntervalSet();
  for (const [from, to] of added) fresh.add(from, to);
  return fresh.subtract(stored).count;
}

/** Between the first and the last seq that is in either. */
function holesOf(stored: IntervalSet, told: IntervalSet): IntervalSet {
  const either = new IntervalSet();
  for (const set of [stored, told]) {
    for (const [first, last] of set.intervals()) either.add(first, last);
  }
  const holes = new IntervalSet();
  for (const [first, last] of either.missing()) holes.add(first, last);
  return holes;
}

/** A cause that a later agent knows and this grinder doesn't is a cause all the same. */
function causeOf(cause: string): Cause | "other" {
  return causes.find((known) => known === cause) ?? "other";
}
