/**
 * Records that came out of a dead boot's memory (flag `p`), told apart from those that are stored
 * already as kmsg records: the acknowledgement may have died in the panic, or the boot's spool may come
 * after its last words. They have no common seq, so equal is what has the same time and text, line by
 * line, as often as it is there: of each line so many are counted as the source has that has most.
 */
import { createHash } from "node:crypto";
import type { BlockHeader } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import { type LogRecord, unescapeText } from "../shared/record.ts";
import { Cached } from "./cached.ts";

/** How often each line of a boot is stored as kmsg records, by `lineKeys`. */
export type StoredLines = Map<string, number>;

/** What one recovered stream has of one line. */
export interface StreamLine {
  boot: string;
  stream: string;
  line: string;
  /** How often it was in the stream. */
  seen: number;
  /** How many of these were counted, and haven't come as kmsg records since. */
  fresh: number;
}

export interface RecoveredStore {
  /** All lines of a boot. */
  load(boot: string): StreamLine[];
  /** Boots that have lines. */
  boots(): string[];
}

class BootLines {
  readonly lines = new Map<string, StreamLine[]>();
  readonly changed = new Set<StreamLine>();

  add(line: StreamLine): void {
    const known = this.lines.get(line.line);
    if (known) known.push(line);
    else this.lines.set(line.line, [line]);
  }
}

export class Recovered {
  readonly #boots: Set<string>;
  readonly #lines: Cached<BootLines>;

  constructor(store: RecoveredStore) {
    this.#boots = new Set(store.boots());
    this.#lines = new Cached((boot) => {
      const all = new BootLines();
      for (const line of store.load(boot)) all.add(line);
      return all;
    }, limits.recoveredBootsCachedMax);
  }

  /** Whether a boot has last words: its records must be claimed one by one. */
  knows(boot: string): boolean {
    return this.#boots.size > 0 && this.#boots.has(boot);
  }

  /** Takes note of a recovered record; true if it isn't stored yet, as a whole. */
  add(boot: string, stream: string, record: LogRecord, stored: StoredLines): boolean {
    this.#boots.add(boot);
    const all = this.#lines.get(boot)!;
    this.#lines.set(boot, all);
    const missing: StreamLine[] = [];
    for (const key of lineKeys(record)) {
      const mine = this.#streamLine(all, { boot, stream, line: key });
      if (!mine) return true;
      mine.seen++;
      all.changed.add(mine);
      const counted = all.lines.get(key)!.reduce((sum, { fresh }) => sum + fresh, 0);
      if (mine.seen > (stored.get(key) ?? 0) + counted) {
        mine.fresh++;
        missing.push(mine);
      }
    }
    return missing.length > 0;
  }

  /** A kmsg record that is new; true if it has been counted as a recovered one before. */
  claim(boot: string, record: LogRecord): boolean {
    if (!this.#boots.has(boot)) return false;
    const all = this.#lines.get(boot)!;
    const claimed: StreamLine[] = [];
    for (const key of lineKeys(record)) {
      const line = all.lines.get(key)?.find(({ fresh }) => fresh > 0);
      if (!line) {
        for (const other of claimed) other.fresh++;
        return false;
      }
      line.fresh--;
      claimed.push(line);
    }
    for (const line of claimed) all.changed.add(line);
    this.#lines.set(boot, all);
    return true;
  }

  *changed(): Generator<StreamLine> {
    for (const [, { changed }] of this.#lines.changed()) yield* changed;
  }

  saved(): void {
    for (const [, { changed }] of this.#lines.changed()) changed.clear();
    this.#lines.saved();
  }

  /** Undefined where a boot has so many that it can only be nonsense: they are counted as they come. */
  #streamLine(
    all: BootLines,
    names: Pick<StreamLine, "boot" | "stream" | "line">,
  ): StreamLine | undefined {
    const known = all.lines.get(names.line)?.find(({ stream }) => stream === names.stream);
    if (known) return known;
    if (all.lines.size >= limits.recoveredLinesMax) return undefined;
    const line = { ...names, seen: 0, fresh: 0 };
    all.add(line);
    return line;
  }
}

/** Streams in which recovered records may be; only the flag says which are. */
export function mayRecover({ source, stream }: Pick<BlockHeader, "source" | "stream">): boolean {
  return source === "pstore" || stream.startsWith("ring-");
}

export function countLines(lines: StoredLines, record: Pick<LogRecord, "usec" | "text">): void {
  for (const key of lineKeys(record)) lines.set(key, (lines.get(key) ?? 0) + 1);
}

/** A name for each line of a record: a dump has the lines of one record as several. */
export function lineKeys({ usec, text }: Pick<LogRecord, "usec" | "text">): string[] {
  return unescapeText(text).split("\n").map((line) =>
    createHash("sha256").update(`${usec} ${line}`).digest("base64url").slice(0, 16)
  );
}
