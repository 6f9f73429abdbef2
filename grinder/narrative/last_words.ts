/**
 * Records that came out of a dead boot's memory, told apart from those that were told already: equal is
 * what has the same time and text, as ../recovered.ts has it. Of each boot the last lines are remembered:
 * no more than a ring holds can come back.
 */
import type { LogRecord } from "../../shared/record.ts";
import { limits } from "../../shared/limits.ts";
import { countLines, Recovered, type StoredLines } from "../recovered.ts";

type Line = Pick<LogRecord, "usec" | "text">;

interface Boot {
  /** The newest, in a ring. */
  lines: Line[];
  told: number;
  /** Of these lines, once it was asked for. */
  counted: StoredLines | undefined;
}

export class LastWords {
  readonly #boots = new Map<string, Boot>();
  readonly #recovered = new Recovered({ load: () => [], boots: () => [] });

  /** Whether a record is to be told, and takes note that it is. */
  isNew(boot: string, stream: string, record: LogRecord): boolean {
    if (record.flag !== "p") return this.#stored(boot, record);
    const one = this.#of(boot);
    one.counted ??= count(one.lines);
    return this.#recovered.add(boot, stream, record, one.counted);
  }

  #stored(boot: string, record: LogRecord): boolean {
    if (this.#recovered.claim(boot, record)) return false;
    const one = this.#of(boot);
    one.lines[one.told++ % limits.narrativeLastLines] = { usec: record.usec, text: record.text };
    if (one.counted) countLines(one.counted, record);
    return true;
  }

  #of(boot: string): Boot {
    const known = this.#boots.get(boot);
    if (known) return known;
    const made: Boot = { lines: [], told: 0, counted: undefined };
    this.#boots.set(boot, made);
    if (this.#boots.size > limits.deviceBootsMax) {
      this.#boots.delete(this.#boots.keys().next().value!);
    }
    return made;
  }
}

function count(lines: readonly Line[]): StoredLines {
  const counted: StoredLines = new Map();
  for (const line of lines) countLines(counted, line);
  return counted;
}
