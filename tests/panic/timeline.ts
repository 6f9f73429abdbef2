/**
 * A receiver's storage in, what each boot said out: each line once, in its order, with the time on the
 * wall that the grinder would give it, and the gaps where they are.
 */
import { BootClocks } from "../../grinder/boot_clocks.ts";
import { type BlockHeader, readBlocks } from "../../shared/block.ts";
import {
  forEachRecord,
  type Gap,
  type LogRecord,
  parseGap,
  parseSync,
  unescapeText,
} from "../../shared/record.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { type Doubtful, LastWords } from "../verify/last_words.ts";
import { type Distinct, StoredStreams } from "../verify/streams.ts";

export interface TimelineLine {
  seq: number;
  usec: number;
  /** Unix time in microseconds, and how far off it may be. */
  wallUs: number;
  errorUs: number;
  text: string;
  /** Out of the dead boot's memory. */
  recovered: boolean;
}

export interface TimelineBoot {
  boot: string;
  /** Those of kmsg by seq, and behind them the last words. */
  lines: TimelineLine[];
  gaps: Gap[];
  /** Last words that are stored as ordinary records as well. */
  twice: number;
}

/** Boots in the order of their first blocks. */
export async function readTimeline(data: string): Promise<TimelineBoot[]> {
  const storage = new FolderStorage(data);
  const timeline = new Timeline();
  for await (const { text } of readNew(storage, new Map())) {
    for (const { header, text: records } of readBlocks(text ?? "")) {
      forEachRecord(records, (record) => timeline.notice(header, record), () => {});
    }
  }
  // Only now are the clocks and all last words known.
  const words = await LastWords.of(storage);
  const streams = new StoredStreams((found) => {
    if (words.take(found) !== "later") timeline.add(found);
  });
  await streams.read(storage);
  for (const doubtful of words.rest()) timeline.addLastWord(doubtful);
  return timeline.boots;
}

class Timeline {
  readonly #clocks = new BootClocks({ load: () => undefined, all: () => [] });
  readonly #boots = new Map<string, TimelineBoot>();

  get boots(): TimelineBoot[] {
    return [...this.#boots.values()];
  }

  /** Takes what is said about records: clocks and gaps. */
  notice(header: BlockHeader, record: LogRecord): void {
    const gap = record.flag === "g" ? parseGap(record) : undefined;
    const sync = record.flag === "s" ? parseSync(record) : undefined;
    if (gap) this.#boot(header).gaps.push(gap);
    if (sync) this.#clocks.sync(header, record.usec, sync, header.recvUs);
    else this.#clocks.received(header, record.usec, header.recvUs);
  }

  add({ header, record }: Distinct): void {
    const { seq, usec, flag } = record;
    const time = this.#clocks.wallTime(header, usec, header.recvUs);
    for (const text of unescapeText(record.text).split("\n")) {
      this.#boot(header).lines.push({ seq, usec, ...time, text, recovered: flag === "p" });
    }
  }

  addLastWord({ found, counts }: Doubtful): void {
    if (counts) this.add(found);
    else this.#boot(found.header).twice++;
  }

  #boot({ boot }: BlockHeader): TimelineBoot {
    const known = this.#boots.get(boot);
    if (known) return known;
    const fresh = { boot, lines: [], gaps: [], twice: 0 };
    this.#boots.set(boot, fresh);
    return fresh;
  }
}
