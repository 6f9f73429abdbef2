/**
 * Records that came out of a dead boot's memory (flag `p`) and are stored as kmsg records as well: of
 * each line so many make events as the one source has that has most of it.
 *
 * Kept as if all kmsg records had come before all last words. In whichever order a grinder had them,
 * as many records make events; only which of those with the same line it is depends on the order, so
 * each of them may stand for another (events.ts). Only lines of last words are remembered.
 *
 * A dump that begins in the middle of a record, and that record after it: there the grinder counts
 * what they share twice, rather than losing the other half. This calls it what it is, a duplicate.
 */
import { type BlockHeader, readBlocks } from "../../shared/block.ts";
import { forEachRecord, type LogRecord, unescapeText } from "../../shared/record.ts";
import { readNew } from "../../shared/segment_reader.ts";
import type { Storage } from "../../shared/storage/storage.ts";
import { type Distinct, streamKey } from "./streams.ts";

export interface Doubtful {
  found: Distinct;
  /** Names of its lines; records that share one may make its events in its place. */
  lines: string[];
  /** Whether it makes events by these books. */
  counts: boolean;
}

export class LastWords {
  /** How often each line of last words was counted, and how often it is in each of their streams. */
  readonly #lines = new Map<string, { counted: number; inStream: Map<string, number> }>();
  readonly #waiting: Array<{ found: Distinct; lines: string[] }> = [];

  /** Finds out which lines there are, in any order. */
  static async of(storage: Storage): Promise<LastWords> {
    const words = new LastWords();
    for await (const { text } of readNew(storage, new Map())) {
      if (text === undefined || !headerOfSome.test(text)) continue;
      for (const block of readBlocks(text)) {
        forEachRecord(block.text, (record) => words.#learn(block.header, record), () => {});
      }
    }
    return words;
  }

  /**
   * Takes a record, which must not have come before. Undefined: no other can be the same. `later`:
   * it is one of the last words, which `rest` gives.
   */
  take(found: Distinct): Doubtful | "later" | undefined {
    if (this.#lines.size === 0) return undefined;
    const { header, record } = found;
    const isLast = isLastWord(header, record);
    if (!isLast && header.source !== "kmsg") return undefined;
    const lines = linesOf(header, record).filter((line) => this.#lines.has(line));
    if (lines.length === 0) return undefined;
    if (isLast) {
      this.#waiting.push({ found, lines });
      return "later";
    }
    for (const line of lines) this.#lines.get(line)!.counted++;
    return { found, lines, counts: true };
  }

  /** All last words, once everything has been taken. */
  *rest(): Generator<Doubtful> {
    for (const { found, lines } of this.#waiting) {
      const stream = streamKey(found.header);
      let counts = false;
      for (const line of lines) {
        const known = this.#lines.get(line)!;
        const seen = (known.inStream.get(stream) ?? 0) + 1;
        known.inStream.set(stream, seen);
        if (seen <= known.counted) continue;
        known.counted++;
        counts = true;
      }
      yield { found, lines, counts };
    }
  }

  #learn(header: BlockHeader, record: LogRecord): void {
    if (!isLastWord(header, record)) return;
    for (const line of linesOf(header, record)) {
      this.#lines.set(line, { counted: 0, inStream: new Map() });
    }
  }
}

/** A frame has them only behind such a header. */
const headerOfSome = /^#1 \S+ \S+ (?:pstore |\S+ ring-)/m;

function isLastWord({ source, stream }: BlockHeader, { flag }: LogRecord): boolean {
  return flag === "p" && (source === "pstore" || stream.startsWith("ring-"));
}

/** A dump has the lines of one record as several. */
function linesOf({ device, boot }: BlockHeader, { usec, text }: LogRecord): string[] {
  return unescapeText(text).split("\n").map((line) => `${device} ${boot} ${usec} ${line}`);
}
