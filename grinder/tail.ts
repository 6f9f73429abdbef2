/** The running grinder: reads what is new, commits it, and waits for news, until it is stopped. */
import { limits } from "../shared/limits.ts";
import { type Cursors, type Storage, StorageError } from "../shared/storage/storage.ts";
import type { Digested } from "./engine/engine.ts";
import type { Done, Grind } from "./grind.ts";

export interface TailClock {
  /** Unix time. */
  nowMs(): number;
  /** Resolves after `ms`, or as soon as `cut` is aborted. */
  sleep(ms: number, cut: AbortSignal): Promise<void>;
}

export interface TailOptions {
  storage: Storage;
  grind: Grind;
  /** Reads what is beyond the cursors: engine/engine.ts. */
  digests: (storage: Storage, cursors: Cursors) => AsyncIterable<Digested>;
  /** Ends after what is there now. */
  once: boolean;
  stop: AbortSignal;
  /** Called at each poll: what isn't in the storage but may have changed. */
  refresh: () => Promise<void>;
  /** Told when the storage can't be read any more, and when it can again. */
  report: (text: string) => void;
  /** Told after each commit how far that is, and at the end once more. */
  publish?: (cursors: Cursors, last: boolean) => Promise<void>;
  clock?: TailClock;
}

/**
 * Returns when it is stopped; all that was read is committed then, open windows included. Throws
 * `StorageError` only with `once`: nobody would try again.
 */
export async function tail(options: TailOptions): Promise<void> {
  const { storage, grind, once, stop, refresh, clock: real = realClock } = options;
  const beganMs = once ? grind.beginOnce(real.nowMs()) : 0;
  const clock: TailClock = once ? { ...real, nowMs: () => beganMs } : real;
  let news = new AbortController();
  using _watching = once ? undefined : storage.watch(() => news.abort());
  stop.addEventListener("abort", () => news.abort());
  const reader = new Reader(options, clock);
  let refreshedMs = clock.nowMs();
  do {
    // Before reading: what comes meanwhile may have been missed.
    news = new AbortController();
    grind.commit(clock.nowMs(), await reader.readAll());
    await options.publish?.(grind.cursors, false);
    if (once || stop.aborted) break;
    if (clock.nowMs() - refreshedMs >= limits.pollMs) {
      await refresh();
      refreshedMs = clock.nowMs();
    }
    // A watch may miss something: the poll is the net under it.
    await clock.sleep(limits.pollMs, news.signal);
  } while (!stop.aborted);
  grind.commit(clock.nowMs(), "end");
  await options.publish?.(grind.cursors, true);
}

class Reader {
  #failures = 0;
  #failingSinceMs = 0;

  constructor(private readonly options: TailOptions, private readonly clock: TailClock) {}

  /** Takes in what can be read now; all but the last batch of it is committed. */
  async readAll(): Promise<Done> {
    const { storage, grind, stop, digests } = this.options;
    try {
      for await (const { read, digest, textOf } of digests(storage, grind.cursors)) {
        const stored = digest.hasLastWords
          ? await grind.tails.storedLines({ ...read, text: textOf() }, storage)
          : undefined;
        grind.takeDigest(read, digest, textOf, stored);
        if (grind.pendingBytes >= limits.batchTextBytesMax) {
          grind.commit(this.clock.nowMs());
          await this.options.publish?.(grind.cursors, false);
        }
        if (stop.aborted) return "batch";
      }
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      if (this.options.once) {
        // What could be read needn't be read again.
        grind.commit(this.clock.nowMs());
        throw error;
      }
      this.#failed(error);
      return "batch";
    }
    this.#succeeded();
    return "all";
  }

  #failed(error: StorageError): void {
    if (this.#failures++ > 0) return;
    this.#failingSinceMs = this.clock.nowMs();
    this.options.report(error.message);
  }

  #succeeded(): void {
    if (this.#failures === 0) return;
    const seconds = Math.round((this.clock.nowMs() - this.#failingSinceMs) / 1000);
    this.options.report(
      `the storage can be read again, after ${this.#failures} failures in ${seconds} s`,
    );
    this.#failures = 0;
  }
}

const realClock: TailClock = {
  nowMs: Date.now,
  sleep: (ms, cut) =>
    new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(end, ms);
      if (cut.aborted) end();
      else cut.addEventListener("abort", end, { once: true });
    }),
};
