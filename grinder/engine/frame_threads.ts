/**
 * Other threads that work on frames, and this one beside them: frames are put in, and what became of each
 * is asked for, in order. Where a thread is lost, all is done in this one from then on.
 */
import { Worker } from "node:worker_threads";
import type { StoredFrame } from "../../shared/segment_reader.ts";
import { FrameRing, type SlotState, slotState } from "./ring.ts";

export interface FrameThreadsOptions {
  /** Other threads; 0: all is done in this one. */
  threads: number;
  /** What runs in each: it claims frames of the ring in `workerData.memory`, to the end. */
  module: URL;
  /** What each is given beside the memory. */
  data: Record<string, unknown>;
  /** Does a frame that was claimed, in this thread. */
  serve: (ring: FrameRing, slot: number) => void;
  /** Told what a thread says; a text is why it ends. */
  heard?: (word: object) => void;
  /** Told of a thread that ended. */
  warn: (text: string) => void;
}

/** A thread has ended by then, unless a regex keeps it. */
const endMs = 1_000;

export class FrameThreads implements AsyncDisposable {
  #ring: FrameRing | undefined;
  readonly #threads: Worker[] = [];
  readonly #exits: Promise<void>[] = [];
  #ended = false;

  constructor(private readonly options: FrameThreadsOptions) {
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

  /** The slot in which others see the frame; undefined if it is to be done by who asks. */
  put(frame: StoredFrame): number | undefined {
    return FrameRing.fits(frame) ? this.#ring?.put(frame) : undefined;
  }

  /**
   * Does other frames as long as this one isn't done; gives what became of it. Undefined: nothing ever
   * will.
   */
  async settled(slot: number): Promise<SlotState | undefined> {
    for (let ring; (ring = this.#ring) && ring.state(slot) === slotState.waiting;) {
      const other = ring.claim();
      if (other !== undefined) this.options.serve(ring, other);
      else if (!ring.wait(slot)) await turn();
    }
    return this.#ring?.state(slot);
  }

  /** What came of a frame that is done, until its slot is used again. */
  result(slot: number): ReturnType<FrameRing["digest"]> {
    return this.#ring!.digest(slot);
  }

  /** Nobody asks for these any more: slots are used in turn, and must be free again. */
  async forget(slots: Iterable<number | undefined>): Promise<void> {
    for (let slot; (slot = this.#ring?.claim()) !== undefined;) {
      this.#ring!.fail(slot, slotState.tooLarge);
    }
    for (const slot of slots) if (slot !== undefined) await this.settled(slot);
  }

  #start(memory: SharedArrayBuffer): void {
    const { module, data, heard, warn } = this.options;
    const thread = new Worker(module, { workerData: { ...data, memory } });
    this.#threads.push(thread);
    let why = "it ended";
    thread.on("message", (word: string | object) => {
      if (typeof word === "string") why = word;
      else heard?.(word);
    });
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

/** A turn of the event loop: so it is heard of threads that have ended. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
