/**
 * What has been seen of each stream, so that nothing is counted twice: two sets of seqs, *stored* and
 * *explained*. A gap record only ever adds to explained; a stored record beats a gap.
 */
import type { BlockHeader } from "../shared/block.ts";
import { IntervalSet } from "../shared/intervals.ts";
import { limits } from "../shared/limits.ts";
import type { Gap } from "../shared/record.ts";

export interface StreamSeen {
  stored: IntervalSet;
  explained: IntervalSet;
}

export class Seen {
  readonly #streams = new Map<string, StreamSeen>();
  /** Streams that changed since they were last saved. */
  readonly dirty = new Set<string>();

  constructor(private readonly load: (key: string) => StreamSeen | undefined) {}

  /** All of a block's records have been stored before, if its header can be believed. */
  covers({ first, last, ...header }: BlockHeader): boolean {
    return this.get(streamKey(header)).stored.covers(first, last);
  }

  /** Takes note of an ordinary record; true if it is new. */
  add(key: string, seq: number): boolean {
    const { stored } = this.get(key);
    if (stored.add(seq, seq).length === 0) return false;
    this.dirty.add(key);
    // Who makes so many holes harms himself: what still comes for the oldest is taken for a repetition.
    if (stored.size > limits.intervalsMax) stored.add(...stored.missing()[0]!);
    return true;
  }

  explain(key: string, gap: Gap): void {
    if (gap.first === undefined || gap.last === undefined || gap.last === "?") return;
    const { explained } = this.get(key);
    explained.add(gap.first, gap.last);
    if (explained.size > limits.intervalsMax) explained.add(...explained.missing()[0]!);
    this.dirty.add(key);
  }

  get(key: string): StreamSeen {
    const known = this.#streams.get(key);
    if (known) return known;
    const seen = this.load(key) ??
      { stored: new IntervalSet(), explained: new IntervalSet() };
    this.#streams.set(key, seen);
    return seen;
  }

  /** Forgets what is saved and long unused; it is loaded again when needed. Call after a commit. */
  trim(): void {
    for (const key of this.#streams.keys()) {
      if (this.#streams.size <= limits.streamsCachedMax) return;
      if (!this.dirty.has(key)) this.#streams.delete(key);
    }
  }
}

export function streamKey(header: Pick<BlockHeader, "device" | "source" | "stream">): string {
  return `${header.device} ${header.source} ${header.stream}`;
}
