/**
 * A storage in, what is new in it out as soon as it is committed: records, or what a rule finds in them,
 * each once. Epochs begin and end, segments roll over, frames are damaged: it goes on.
 */
import { limits } from "../../shared/limits.ts";
import { isMeta, type LogRecord, parseSync, unescapeText } from "../../shared/record.ts";
import { type Read, readNew } from "../../shared/segment_reader.ts";
import {
  type Cursor,
  epochKey,
  segmentPath,
  type Storage,
  StorageError,
} from "../../shared/storage/storage.ts";
import { BootTimes } from "../grep/boot_times.ts";
import { levelOf } from "../grep/level.ts";
import type { Line } from "../grep/line.ts";
import { nameHash } from "../reading/name_hash.ts";
import { Once } from "../reading/once.ts";
import { blocksOf, forEachFresh, type FoundBlock } from "../reading/stored.ts";
import { extract, type Extracted, type Rule } from "../rule.ts";

export interface Followed extends Line {
  /** What the rule found, if there is one. */
  extracted?: Extracted;
}

export interface FollowOptions {
  storage: Storage;
  /** From where on; changed as reading goes on. */
  cursors: Map<string, Cursor>;
  /** Received since then: Unix microseconds. */
  sinceUs: number;
  devices?: ReadonlySet<string> | undefined;
  /** At least so severe. */
  level?: number | undefined;
  rule?: Rule | undefined;
  stop: AbortSignal;
  /** Told of damage, and when the storage can't be read any more, and when it can again. */
  report: (text: string) => void;
  /** Resolves after `ms`, or as soon as `cut` is aborted. */
  sleep?: (ms: number, cut: AbortSignal) => Promise<void>;
}

/** Ends when it is stopped. An empty list says that all that is there now has been read. */
export async function* follow(options: FollowOptions): AsyncGenerator<Followed[]> {
  const { storage, cursors, stop, sleep = sleepOrNews } = options;
  let news = new AbortController();
  using _watching = storage.watch(() => news.abort());
  stop.addEventListener("abort", () => news.abort());
  const reader = new Reader(options);
  let isFailing = false;
  while (!stop.aborted) {
    // Before reading: what comes meanwhile may have been missed.
    news = new AbortController();
    try {
      for await (const read of readNew(storage, cursors)) {
        cursors.set(epochKey(read), read.next);
        yield reader.take(read);
        if (stop.aborted) return;
      }
      if (isFailing) options.report("the storage can be read again");
      isFailing = false;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      if (!isFailing) options.report(error.message);
      isFailing = true;
    }
    yield [];
    // A watch may miss something: the poll is the net under it.
    if (!stop.aborted) await sleep(limits.pollMs, news.signal);
  }
}

class Reader {
  readonly #once = new Once();
  readonly #times = new BootTimes();

  constructor(private readonly options: FollowOptions) {}

  take(read: Read): Followed[] {
    const { sinceUs, report } = this.options;
    if (read.damage !== undefined) {
      report(
        `${
          segmentPath(read)
        } at ${read.offset}: ${read.length} bytes can't be read: ${read.damage}`,
      );
    }
    const { segment: number, offset, text } = read;
    if (text === undefined) return [];
    const segment = `${epochKey(read)}/${String(number).padStart(8, "0")}`;
    const selection = { sinceUs, untilUs: Infinity, ...this.#devices() };
    const frame = { segment, offset, fromUs: 0, text };
    return [...blocksOf(frame, selection, this.#once)].flatMap((block) => this.#lines(block));
  }

  #devices(): { devices?: ReadonlySet<string> } {
    const { devices } = this.options;
    return devices ? { devices } : {};
  }

  #lines(block: FoundBlock): Followed[] {
    const { header, segment, offset } = block;
    const lines: Followed[] = [];
    forEachFresh(block, (record, line) => {
      if (header.source !== "raw" && isMeta(record.flag)) return this.#clock(block, record);
      const found = this.#find(record);
      if (!found) return;
      const time = this.#times.of(header, record.usec);
      lines.push({
        kind: "match",
        header,
        record,
        place: { segment, offset, line },
        time,
        ...found,
      });
    });
    return lines;
  }

  #clock({ header: { device, boot, recvUs } }: FoundBlock, record: LogRecord): void {
    const sync = record.flag === "s" ? parseSync(record) : undefined;
    if (!sync) return;
    this.#times.add({ boot: nameHash(`${device} ${boot}`), usec: record.usec, recvUs, ...sync });
  }

  /** Undefined if it isn't asked for. */
  #find(record: LogRecord): Pick<Followed, "extracted"> | undefined {
    const { level = 7, rule } = this.options;
    if (levelOf(record.prio) > level) return undefined;
    if (!rule) return {};
    const extracted = extract(rule, unescapeText(record.text));
    return extracted ? { extracted } : undefined;
  }
}

function sleepOrNews(ms: number, cut: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, ms);
    if (cut.aborted) end();
    else cut.addEventListener("abort", end, { once: true });
  });
}
