/** The index in, of a hot segment the stretches in which nothing can match out. */
import { epochKey, type Extent } from "../../shared/storage/storage.ts";
import type { ClockRecord, GramRow, GramTable } from "../index/gram_table.ts";
import type { GramQuery } from "./gram_query.ts";

/** Whole frames, one after the other. */
export interface Skippable {
  from: number;
  to: number;
  /** When the newest of them was received; 0 if that isn't known. */
  recvUs: number;
  clocks: readonly ClockRecord[];
}

export interface GramFilterOptions {
  grams: GramTable;
  query: GramQuery;
  /** Whether clock records are wanted. */
  clocks: boolean;
  /** Told once of an index that isn't as it was written. */
  warn: (text: string) => void;
}

export class GramFilter {
  #isTold = false;

  constructor(private readonly options: GramFilterOptions) {}

  /** In order. None where nothing is known, or what is known isn't right. */
  skippable(extent: Extent): Skippable[] {
    const { grams, query } = this.options;
    try {
      return grams.of(epochKey(extent), extent.segment)
        .filter(({ to, bits }) => to <= extent.length && !query.mayMatch(bits))
        .map((row) => ({ ...row, clocks: this.#clocks(row) }));
    } catch (error) {
      this.#tell(error as Error);
      return [];
    }
  }

  #clocks(row: GramRow): readonly ClockRecord[] {
    const { grams, clocks } = this.options;
    return clocks ? grams.clocks(row) : [];
  }

  #tell({ message }: Error): void {
    if (this.#isTold) return;
    this.#isTold = true;
    // An index that was never told of grams has no such table.
    if (message.includes("no such table")) return;
    this.options.warn(
      `the index of grams can't be used: ${message}. All is read there; ` +
        "`deno task index --rebuild` makes it anew",
    );
  }
}
