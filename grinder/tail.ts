/** The running grinder: reads what is new, commits it, and waits for news, until it is stopped. */
import { limits } from "../shared/limits.ts";
import { readNew } from "../shared/segment_reader.ts";
import { type Storage, StorageError } from "../shared/storage/storage.ts";
import type { Grind } from "./grind.ts";

export interface TailOptions {
  storage: Storage;
  grind: Grind;
  /** Ends after what is there now. */
  once: boolean;
  stop: AbortSignal;
  /** Called at each poll: what isn't in the storage but may have changed. */
  refresh: () => Promise<void>;
  report: (text: string) => void;
}

/** Returns when it is stopped; all that was read is committed then, open windows included. */
export async function tail({ storage, grind, once, stop, refresh, report }: TailOptions) {
  let wake = () => {};
  let news = true;
  const watching = once ? undefined : storage.watch(() => {
    news = true;
    wake();
  });
  stop.addEventListener("abort", () => wake());
  let lastRefreshMs = Date.now();
  let failing = false;
  while (!stop.aborted) {
    news = false;
    try {
      await readAll(storage, grind, stop);
      if (failing) report("the storage can be read again");
      failing = false;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      if (!failing) report(error.message);
      failing = true;
    }
    if (once) break;
    grind.commit(Date.now(), Date.now() * 1000);
    if (Date.now() - lastRefreshMs >= limits.pollMs) {
      await refresh();
      lastRefreshMs = Date.now();
    }
    // A watch may miss something: the poll is the net under it.
    if (!news && !stop.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, limits.pollMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
  watching?.[Symbol.dispose]();
  grind.commit(Date.now(), Infinity);
}

async function readAll(storage: Storage, grind: Grind, stop: AbortSignal): Promise<void> {
  for await (const read of readNew(storage, grind.cursors)) {
    grind.take(read);
    if (grind.textBytes >= limits.batchTextBytesMax) grind.commit(Date.now());
    if (stop.aborted) return;
  }
}
