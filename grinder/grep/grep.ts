/** What is stored in, the lines that are looked for out, as soon as they are found; each record once. */
import { limits } from "../../shared/limits.ts";
import { forEachRecord, type LogRecord } from "../../shared/record.ts";
import type { TimeRange } from "../history/time_range.ts";
import { forEachRawLine } from "../raw_lines.ts";
import { BootTimes } from "./boot_times.ts";
import { Context } from "./context.ts";
import { Distinct } from "./distinct.ts";
import type { FoundBlock, FoundRecord } from "./found_frame.ts";
import type { FrameTexts } from "./frame_texts.ts";
import { levelOf } from "./level.ts";
import type { Line } from "./line.ts";
import type { Searched } from "./search.ts";
import type { Task } from "./tasks.ts";

export interface GrepOptions {
  /** Of the time when records were written; undefined: of all. */
  range?: TimeRange | undefined;
  /** At least so severe. */
  level?: number | undefined;
  /** Records of the stream around a match; undefined: none. */
  around?: { before: number; after: number } | undefined;
  /** Matches are only counted: no lines come out. */
  countOnly?: boolean;
  /** How long a match waits for them, by receive time: sources overtake each other. */
  holdMs?: number;
  texts: FrameTexts;
}

export class Grep {
  matches = 0;
  readonly #distinct = new Distinct();
  readonly #times = new BootTimes();
  readonly #context: Context | undefined;

  constructor(private readonly options: GrepOptions) {
    const { around, texts, holdMs = limits.narrativeHoldMs } = options;
    this.#context = around && new Context({
      ...around,
      holdMs,
      textOf: (frame) => texts.of(frame),
      timeOf: (header, usec) => this.#times.of(header, usec),
    });
  }

  /** Groups of lines that can be shown now; without context each match is one. Throws `StorageError`. */
  async take({ task, found }: Searched): Promise<Line[][]> {
    for (const sync of found.syncs) this.#times.add(sync);
    const blocks = found.blocks.map((block) => ({ block, matches: this.#matches(task, block) }));
    if (!this.#context) return blocks.flatMap(({ matches }) => matches.map((match) => [match]));
    if (task.text !== undefined) this.options.texts.keep(task, task.text);
    const { segment, offset, storedBytes } = task;
    return await this.#context.take({ segment, offset, storedBytes }, found.recvUs, blocks);
  }

  /** What is left when nothing comes any more. */
  end(): Line[][] {
    return this.#context?.end() ?? [];
  }

  #matches({ segment, offset }: Task, { header, records }: FoundBlock): Line[] {
    const { level = 7, range, countOnly = false } = this.options;
    const lines: Line[] = [];
    for (const found of records) {
      const record = recordOf(header.source === "raw", found);
      if (levelOf(record.prio) > level) continue;
      // To tell it takes longer than all else.
      const time = countOnly && !range ? undefined : this.#times.of(header, record.usec);
      if (range && (time!.wallUs < range.sinceUs || time!.wallUs >= range.untilUs)) continue;
      if (!this.#distinct.isNew(header, record.seq)) continue;
      this.matches++;
      if (countOnly) continue;
      const place = { segment, offset, line: found.line };
      lines.push({ kind: "match", header, record, place, time: time! });
    }
    return lines;
  }
}

function recordOf(isRaw: boolean, { text, number }: FoundRecord): LogRecord {
  let found: LogRecord | undefined;
  if (isRaw) forEachRawLine(text, (record) => found = { ...record, seq: number });
  else forEachRecord(text, (record) => found = record, () => {});
  return found!;
}
