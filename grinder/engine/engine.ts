/**
 * Committed segments to the digests of their frames, in order, with the help of other threads: those
 * and this one decode and match whichever frame is next; here the digests come out in the order of
 * the frames, so that whatever is made of them doesn't depend on how many threads there are.
 */
import { limits } from "../../shared/limits.ts";
import {
  type Read,
  readFrames,
  type StoredFrame,
  type Suspect,
} from "../../shared/segment_reader.ts";
import type { Cursors, Storage } from "../../shared/storage/storage.ts";
import { decompressFrame } from "../../shared/zstd.ts";
import type { Rule } from "../rule.ts";
import type { FrameDigest } from "./digest.ts";
import { FrameDigester } from "./frame_digester.ts";
import { unpackDigest } from "./packed_digest.ts";
import { FrameThreads } from "./frame_threads.ts";
import { slotState } from "./ring.ts";
import { type Failures, rulesMark } from "./thread_data.ts";

export interface EngineOptions {
  rules: readonly Rule[];
  /** Where other threads find them. */
  rulesPath: string;
  /** Other threads; 0: all is done in this one. */
  threads: number;
  /** Told of a thread that ended. */
  warn: (text: string) => void;
}

export interface Digested {
  read: Read;
  /** Empty where the read has no frame. */
  digest: FrameDigest;
  /** The frame's text as a byte string. */
  textOf: () => string;
}

/** A read that hasn't been given out yet. */
interface Pending {
  read: Read;
  /** Where its frame is, if other threads can see it. */
  slot: number | undefined;
}

const nothing: FrameDigest = { blocks: [], badBlocks: 0, hasLastWords: false };

export class Engine implements AsyncDisposable {
  readonly #rules: readonly Rule[];
  readonly #digester: FrameDigester;
  readonly #threads: FrameThreads;

  constructor(options: EngineOptions) {
    const { rules, rulesPath, threads, warn } = options;
    this.#rules = rules;
    this.#digester = new FrameDigester(rules);
    this.#threads = new FrameThreads({
      threads,
      module: new URL("./thread.ts", import.meta.url),
      data: { rulesPath, mark: rulesMark(rules) },
      serve: (ring, slot) => this.#digester.serve(ring, slot),
      heard: (failures) => this.#addFailures(failures as Failures),
      warn,
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#threads[Symbol.asyncDispose]();
  }

  /**
   * Everything beyond the cursors now, as `readNew` has it. The caller must have moved its cursors
   * before it asks for the next one.
   */
  async *digests(storage: Storage, cursors: Cursors): AsyncGenerator<Digested> {
    let suspect: Suspect | undefined;
    do {
      suspect = yield* this.#digests(readFrames(storage, cursors, suspect));
    } while (suspect);
  }

  /** Returns early, and forgets what was read ahead, at a frame that doesn't decode. */
  async *#digests(reads: AsyncGenerator<Read>): AsyncGenerator<Digested, Suspect | undefined> {
    const pending: Pending[] = [];
    try {
      let failure: { error: unknown } | undefined;
      for (let more = true; more || pending.length > 0;) {
        if (more && pending.length < limits.frameSlots) {
          const next = await reads.next().catch((error: unknown) => void (failure = { error }));
          if (!next || next.done) more = false;
          else pending.push(this.#begin(next.value));
          continue;
        }
        const digested = await this.#finish(pending[0]!);
        const { read } = pending.shift()!;
        if (!digested) return read;
        yield digested;
      }
      if (failure) throw failure.error;
      return undefined;
    } finally {
      await this.#threads.forget(pending.map(({ slot }) => slot));
      await reads.return(undefined);
    }
  }

  #begin(read: Read): Pending {
    const { frame } = read;
    const slot = frame && this.#threads.put(frame);
    return { read, slot };
  }

  /** Undefined if its frame doesn't decode. */
  async #finish({ read, slot }: Pending): Promise<Digested | undefined> {
    const { frame, text } = read;
    if (text !== undefined) return { read, digest: this.#digestText(text), textOf: () => text };
    if (!frame) return { read, digest: nothing, textOf: () => "" };
    const digest = slot === undefined ? this.#digest(frame) : await this.#digestIn(slot, frame);
    if (!digest) return undefined;
    const textOf = () => decompressFrame(frame.bytes, frame.textBytes).toString("latin1");
    return { read, digest, textOf };
  }

  /** What another thread, or this one, makes of a frame. */
  async #digestIn(slot: number, frame: StoredFrame): Promise<FrameDigest | undefined> {
    const state = await this.#threads.settled(slot);
    if (state === slotState.bad) return undefined;
    if (state !== slotState.done) return this.#digest(frame);
    const { numbers, bytes } = this.#threads.result(slot);
    return unpackDigest(numbers, bytes, this.#rules);
  }

  #digest(frame: StoredFrame): FrameDigest | undefined {
    return this.#digester.digest(frame) ? this.#written() : undefined;
  }

  #digestText(text: string): FrameDigest {
    this.#digester.digestText(text);
    return this.#written();
  }

  #written(): FrameDigest {
    const { numbers, length, bytes, byteLength } = this.#digester.out;
    return unpackDigest(numbers.subarray(0, length), bytes.subarray(0, byteLength), this.#rules);
  }

  /** Whoever asks these rules how they have failed hears of all threads. */
  #addFailures(all: Failures): void {
    for (const { rule: name, count, first } of all) {
      const rule = this.#rules.find((one) => one.name === name);
      if (rule?.kind !== "mapper") continue;
      rule.failures.first ||= first;
      rule.failures.count += count;
    }
  }
}
