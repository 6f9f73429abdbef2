/**
 * Blocks in, whichever of their records are new out: a record is stored twice when it was sent twice, and
 * two receivers may hold a device's records in either order. What is new is told by sets of seqs, of each
 * (device, source, stream). Raw lines have no seq: each is new.
 */
import { believable, type Block } from "../../shared/block.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { limits } from "../../shared/limits.ts";
import { forEachRecord, isMeta, type LogRecord } from "../../shared/record.ts";
import { streamKey } from "../seen.ts";

/** All of them, none, or those that begin at these places of the block's text. */
export type Fresh = "all" | "none" | ReadonlySet<number>;

export class Once {
  readonly #seen = new Map<string, IntervalSet>();
  /** Gap records: they have no seq of their own. */
  readonly #gaps = new Set<string>();

  /** What of a block is new; from now on it isn't. */
  take(block: Block): Fresh {
    const { header } = block;
    if (header.source === "raw") return "all";
    const key = streamKey(header);
    const seen = this.#of(key);
    if (believable(block)) {
      if (seen.addIfNew(header.first, header.last)) return "all";
      if (seen.covers(header.first, header.last)) return "none";
    }
    return this.#each(block, key, seen);
  }

  /** The seqs of a stream that have been seen. */
  seen(stream: Parameters<typeof streamKey>[0]): IntervalSet {
    return this.#of(streamKey(stream));
  }

  #each({ text }: Block, key: string, seen: IntervalSet): ReadonlySet<number> {
    const fresh = new Set<number>();
    const visit = (record: LogRecord, offset: number) => {
      if (this.#isNew(record, key, seen)) fresh.add(offset);
    };
    // A line that is no record is known by its place only.
    forEachRecord(text, visit, (_lines, offset) => fresh.add(offset));
    return fresh;
  }

  #isNew(record: LogRecord, key: string, seen: IntervalSet): boolean {
    if (!isMeta(record.flag)) return seen.addIfNew(record.seq, record.seq);
    const id = `${key} ${record.flag} ${record.seq} ${record.usec} ${record.fields}`;
    if (this.#gaps.has(id)) return false;
    // A device that makes so many harms itself: some of its gaps are told twice.
    if (this.#gaps.size >= limits.rulesSeenMax) this.#gaps.clear();
    this.#gaps.add(id);
    return true;
  }

  #of(key: string): IntervalSet {
    const known = this.#seen.get(key) ?? new IntervalSet();
    this.#seen.set(key, known);
    return known;
  }
}
