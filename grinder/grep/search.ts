/**
 * Frames to what is found in them, in order, with the help of other threads: those and this one search
 * whichever frame is next.
 */
import { setImmediate } from "node:timers";
import { limits } from "../../shared/limits.ts";
import { FrameThreads } from "../engine/frame_threads.ts";
import { slotState } from "../engine/ring.ts";
import { type Found, unpackFound } from "./found_frame.ts";
import { FrameSearcher, type Wanted } from "./frame_searcher.ts";
import type { Task, TaskSource } from "./tasks.ts";

export interface SearchOptions {
  wanted: Wanted;
  /** Other threads; 0: all is done in this one. */
  threads: number;
  /** Told of a thread that ended. */
  warn: (text: string) => void;
}

export interface Searched {
  task: Task;
  found: Found;
}

interface Pending {
  task: Task;
  /** Where its frame is, if other threads can see it. */
  slot: number | undefined;
  /** It comes again. */
  forgotten: boolean;
}

const nothing: Found = { recvUs: NaN, syncs: [], blocks: [] };

export class Search implements AsyncDisposable {
  readonly #searcher: FrameSearcher;
  readonly #threads: FrameThreads;

  constructor({ wanted, threads, warn }: SearchOptions) {
    this.#searcher = new FrameSearcher(wanted);
    this.#threads = new FrameThreads({
      threads,
      module: new URL("./thread.ts", import.meta.url),
      data: { wanted },
      serve: (ring, slot) => this.#searcher.serve(ring, slot),
      warn,
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#threads[Symbol.asyncDispose]();
  }

  /** One source after the other ends, or throws, before the next begins. Throws `StorageError`. */
  async *of(source: TaskSource): AsyncGenerator<Searched> {
    const pending: Pending[] = [];
    let failure: { error: unknown } | undefined;
    try {
      for (let more = true; more || pending.length > 0;) {
        if (more && pending.length < limits.frameSlots) {
          const next = await source.next().catch((error: unknown) => void (failure = { error }));
          if (next) pending.push(this.#begin(next));
          else more = false;
          continue;
        }
        const first = pending[0]!;
        const found = await this.#finish(first);
        pending.shift();
        if (first.forgotten) continue;
        if (found) {
          source.heard(first.task, found.recvUs);
          await turn();
          yield { task: first.task, found };
        } else {
          forget(pending, first.task);
          await source.again(first.task);
          more = true;
        }
      }
      if (failure) throw failure.error;
    } finally {
      await this.#threads.forget(pending.map(({ slot }) => slot));
      await source.close();
    }
  }

  #begin(task: Task): Pending {
    const { frame } = task;
    const slot = frame && this.#threads.put(frame);
    return { task, slot, forgotten: false };
  }

  /** Undefined if its frame doesn't decode. */
  async #finish({ task: { frame, text }, slot }: Pending): Promise<Found | undefined> {
    if (slot !== undefined) {
      const state = await this.#threads.settled(slot);
      if (state === slotState.bad) return undefined;
      if (state === slotState.done) {
        const { numbers, bytes } = this.#threads.result(slot);
        return unpackFound(numbers, bytes);
      }
    }
    if (text !== undefined) this.#searcher.searchText(text);
    else if (!frame) return nothing;
    else if (!this.#searcher.search(frame)) return undefined;
    const { numbers, bytes } = this.#searcher.out;
    return unpackFound(numbers, bytes);
  }
}

/** What came of a task's epoch behind it comes again. */
function forget(pending: readonly Pending[], { read }: Task): void {
  for (const one of pending) {
    const other = one.task.read;
    if (other?.receiver === read?.receiver && other?.epoch === read?.epoch) one.forgotten = true;
  }
}

/** A turn of the event loop: so it is heard of who wants to stop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
