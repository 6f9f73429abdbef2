/**
 * Frames to what is found in them, in order, with the help of other threads: those and this one search
 * whichever frame is next.
 */
import { setImmediate } from "node:timers";
import { Worker } from "node:worker_threads";
import { limits } from "../../shared/limits.ts";
import { FrameRing, slotState } from "../engine/ring.ts";
import { type Found, unpackFound } from "./found_frame.ts";
import { FrameSearcher, type Wanted } from "./frame_searcher.ts";
import type { Task, TaskSource } from "./tasks.ts";
import type { ThreadData } from "./thread.ts";

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
/** A thread has ended by then, unless a regex keeps it. */
const endMs = 1_000;

export class Search implements AsyncDisposable {
  readonly #searcher: FrameSearcher;
  #ring: FrameRing | undefined;
  readonly #threads: Worker[] = [];
  readonly #exits: Promise<void>[] = [];
  #ended = false;

  constructor(private readonly options: SearchOptions) {
    this.#searcher = new FrameSearcher(options.wanted);
    if (options.threads === 0) return;
    this.#ring = new FrameRing();
    for (let i = 0; i < options.threads; i++) this.#start(this.#ring.memory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#ring?.end();
    const late = setTimeout(() => this.#threads.forEach((thread) => thread.terminate()), endMs);
    await Promise.all(this.#exits);
    clearTimeout(late);
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
      await this.#forget(pending);
      await source.close();
    }
  }

  #begin(task: Task): Pending {
    const { frame } = task;
    const slot = frame && FrameRing.fits(frame) ? this.#ring?.put(frame) : undefined;
    return { task, slot, forgotten: false };
  }

  /** Undefined if its frame doesn't decode. */
  async #finish({ task: { frame, text }, slot }: Pending): Promise<Found | undefined> {
    if (slot !== undefined) {
      await this.#settled(slot);
      const state = this.#ring?.state(slot);
      if (state === slotState.bad) return undefined;
      if (state === slotState.done) {
        const { numbers, bytes } = this.#ring!.digest(slot);
        return unpackFound(numbers, bytes);
      }
    }
    if (text !== undefined) this.#searcher.searchText(text);
    else if (!frame) return nothing;
    else if (!this.#searcher.search(frame)) return undefined;
    const { numbers, bytes } = this.#searcher.out;
    return unpackFound(numbers, bytes);
  }

  /** Does other frames as long as this one isn't done; returns when it is, or never will be. */
  async #settled(slot: number): Promise<void> {
    for (let ring; (ring = this.#ring) && ring.state(slot) === slotState.waiting;) {
      const other = ring.claim();
      if (other !== undefined) this.#searcher.serve(ring, other);
      else if (!ring.wait(slot)) await turn();
    }
  }

  /** Slots are used in turn: they must be free again. */
  async #forget(pending: readonly Pending[]): Promise<void> {
    for (let slot; (slot = this.#ring?.claim()) !== undefined;) {
      this.#ring!.fail(slot, slotState.tooLarge);
    }
    for (const { slot } of pending) if (slot !== undefined) await this.#settled(slot);
  }

  #start(memory: SharedArrayBuffer): void {
    const { wanted, warn } = this.options;
    const workerData: ThreadData = { memory, wanted };
    const thread = new Worker(new URL("./thread.ts", import.meta.url), { workerData });
    this.#threads.push(thread);
    let why = "it ended";
    thread.on("error", (error) => why = String(error));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#exits.push(promise);
    thread.on("exit", () => {
      resolve();
      if (this.#ended || !this.#ring) return;
      // What it was at would be waited for in vain.
      this.#ring.end();
      this.#ring = undefined;
      warn(`a thread is lost, all is done in one from now on: ${why}`);
    });
  }
}

/** What came of a task's epoch behind it comes again. */
function forget(pending: readonly Pending[], { read }: Task): void {
  for (const one of pending) {
    const other = one.task.read;
    if (other?.receiver === read?.receiver && other?.epoch === read?.epoch) one.forgotten = true;
  }
}

/** A turn of the event loop: so it is heard of threads that have ended, and of who wants to stop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
