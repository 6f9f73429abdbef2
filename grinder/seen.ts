/**
 * What has been seen of each stream, so that nothing is counted twice: two sets of seqs, *stored* and
 * *explained*. A gap record only ever adds to explained; a stored record beats a gap.
 */
import type { BlockHeader } from "../shared/block.ts";
import { IntervalSet } from "../shared/intervals.ts";
import { limits } from "../shared/limits.ts";
import type { Gap } from "../shared/record.ts";
import { Cached } from "./cached.ts";

export interface StreamSeen {
  stored: IntervalSet;
  explained: IntervalSet;
}

/** Filled at a time when there are too many: finding the oldest looks at all of them. */
const holesFilled = limits.intervalsMax / 10;

/** By `streamKey`. */
export class Seen extends Cached<StreamSeen> {
  /** Holes that were closed because a stream had too many, since the last `saved`. */
  forgottenHoles = 0;

  constructor(load: (key: string) => StreamSeen | undefined) {
    super(load, limits.streamsCachedMax);
  }

  /** All of a block's records have been stored before, if its header can be believed. */
  covers(key: string, { first, last }: BlockHeader): boolean {
    return this.get(key)?.stored.covers(first, last) ?? false;
  }

  /** Takes note of an ordinary record; true if it is new. */
  add(key: string, seq: number): boolean {
    const seen = this.#of(key);
    if (seen.stored.add(seq, seq).length === 0) return false;
    this.#fillOldest(seen.stored);
    this.set(key, seen);
    return true;
  }

  explain(key: string, gap: Gap): void {
    if (gap.first === undefined || gap.last === undefined || gap.last === "?") return;
    const seen = this.#of(key);
    seen.explained.add(gap.first, gap.last);
    this.#fillOldest(seen.explained);
    this.set(key, seen);
  }

  override saved(): void {
    super.saved();
    this.forgottenHoles = 0;
  }

  #of(key: string): StreamSeen {
    return this.get(key) ?? { stored: new IntervalSet(), explained: new IntervalSet() };
  }

  /** Who makes so many holes harms himself: what still comes for them is taken for a repetition. */
  #fillOldest(set: IntervalSet): void {
    if (set.size <= limits.intervalsMax) return;
    const oldest = set.missing().slice(0, holesFilled);
    set.add(oldest[0]![0], oldest.at(-1)![1]);
    this.forgottenHoles += oldest.length;
  }
}

/** Names have no spaces. */
export function streamKey(header: Pick<BlockHeader, "device" | "source" | "stream">): string {
  return `${header.device} ${header.source} ${header.stream}`;
}
