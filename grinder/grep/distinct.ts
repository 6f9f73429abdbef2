/**
 * Records that match in, whichever are new out: one that was sent twice is stored twice, and matches
 * twice. Of records that don't match nothing need be known.
 */
import type { BlockHeader } from "../../shared/block.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { limits } from "../../shared/limits.ts";
import { streamKey } from "../seen.ts";

/** Filled at a time when there are too many. */
const holesFilled = limits.intervalsMax / 10;

export class Distinct {
  readonly #seen = new Map<string, IntervalSet>();
  /** Of the newest header: matches of one block come one after the other. */
  #newest: { header: BlockHeader; seen: IntervalSet } | undefined;

  /** From now on it isn't new any more. Raw lines have no seq: each is. */
  isNew(header: BlockHeader, seq: number): boolean {
    if (header.source === "raw") return true;
    if (this.#newest?.header !== header) {
      this.#newest = { header, seen: this.#of(streamKey(header)) };
    }
    const { seen } = this.#newest;
    if (!seen.addIfNew(seq, seq)) return false;
    if (seen.size > limits.intervalsMax) fillOldest(seen);
    return true;
  }

  #of(key: string): IntervalSet {
    const known = this.#seen.get(key);
    if (known) return known;
    const seen = new IntervalSet();
    this.#seen.set(key, seen);
    // The stream that was met first is the likeliest to be at its end.
    if (this.#seen.size > limits.streamsCachedMax) {
      this.#seen.delete(this.#seen.keys().next().value!);
    }
    return seen;
  }
}

/** What would still match there is thousands of matches behind its place. */
function fillOldest(seen: IntervalSet): void {
  const oldest = seen.missing().slice(0, holesFilled);
  seen.add(oldest[0]![0], oldest.at(-1)![1]);
}
