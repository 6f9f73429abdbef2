/**
 * Frames to what comes of them, in order, with the help of other threads: those and this one do whichever
 * frame is next.
 */
import { setImmediate } from "node:timers";
import { limits } from "../../shared/limits.ts";
import type { Buffer } from "node:buffer";
import type { StoredFrame } from "../../shared/segment_reader.ts";
import { FrameThreads } from "../engine/frame_threads.ts";
import type { DigestWriter } from "../engine/packed_digest.ts";
import { type FrameRing, slotState } from "../engine/ring.ts";
import type { Task, TaskSource } from "./tasks.ts";

/** What is done with a frame, here or in another thread. */
export interface FrameWork {
  /** What came of it. */
  readonly out: DigestWriter;
  /** False if the frame doesn't decode. */
  search(frame: StoredFrame): boolean;
  /** The same of a text, given as a byte string. */
  searchText(text: string): void;
  /** Does a frame that was claimed. */
  serve(ring: FrameRing, slot: number): void;
}

/** At least this is known of a frame: when its first block was received (NaN: that can't be read). */
export interface Dated {
  recvUs: number;
}

export interface PipeOptions<Out extends Dated> {
  work: FrameWork;
  /** What runs in other threads, with `data`: it claims frames, and does the same work. */
  module: URL;
  data: Record<string, unknown>;
  unpack: (numbers: Float64Array, bytes: Buffer) => Out;
  /** What comes of a task without a frame, if nothing is said with it. */
  nothing: Out;
  /** Other threads; 0: all is done in this one. */
  threads: number;
  /** They are started for the first frame behind so many, if there is one. */
  framesAlone?: number;
  /** Told of a thread that ended. */
  warn: (text: string) => void;
}

interface Pending<Out> {
  task: Task<Out>;
  /** Where its frame is, if other threads can see it. */
  slot: number | undefined;
  /** It comes again. */
  forgotten: boolean;
}

export class FramePipe<Out extends Dated> implements AsyncDisposable {
  #threads: FrameThreads | undefined;
  /** Frames that came before any other thread. */
  #alone = 0;

  constructor(private readonly options: PipeOptions<Out>) {
    if ((options.framesAlone ?? 0) === 0) this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads?.[Symbol.asyncDispose]();
  }

  /** One source after the other ends, or throws, before the next begins. Throws `StorageError`. */
  async *of(source: TaskSource<Out>): AsyncGenerator<{ task: Task<Out>; found: Out }> {
    const pending: Pending<Out>[] = [];
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
          if (!first.task.found) await turn();
          yield { task: first.task, found };
        } else {
          forget(pending, first.task);
          await source.again(first.task);
          more = true;
        }
      }
      if (failure) throw failure.error;
    } finally {
      await this.#threads?.forget(pending.map(({ slot }) => slot));
      await source.close();
    }
  }

  #start(): void {
    const { work, module, data, threads, warn } = this.options;
    const serve = (ring: FrameRing, slot: number) => work.serve(ring, slot);
    this.#threads = new FrameThreads({ threads, module, data, serve, warn });
  }

  #begin(task: Task<Out>): Pending<Out> {
    const { frame } = task;
    if (frame && !this.#threads && ++this.#alone > this.options.framesAlone!) this.#start();
    const slot = frame && this.#threads?.put(frame);
    return { task, slot, forgotten: false };
  }

  /** Undefined if its frame doesn't decode. */
  async #finish(
    { task: { frame, text, found }, slot }: Pending<Out>,
  ): Promise<Out | undefined> {
    const { work, unpack, nothing } = this.options;
    if (found) return found;
    if (slot !== undefined) {
      const state = await this.#threads!.settled(slot);
      if (state === slotState.bad) return undefined;
      if (state === slotState.done) {
        const { numbers, bytes } = this.#threads!.result(slot);
        return unpack(numbers, bytes);
      }
    }
    if (text !== undefined) work.searchText(text);
    else if (!frame) return nothing;
    else if (!work.search(frame)) return undefined;
    const { numbers, bytes, byteLength } = work.out;
    return unpack(numbers, bytes.subarray(0, byteLength));
  }
}

/** What came of a task's epoch behind it comes again. */
function forget<Out>(pending: readonly Pending<Out>[], { read }: Task<Out>): void {
  for (const one of pending) {
    const other = one.task.read;
    if (other?.receiver === read?.receiver && other?.epoch === read?.epoch) one.forgotten = true;
  }
}

/** A turn of the event loop: so it is heard of who wants to stop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
