/**
 * Blocks of many streams in, durable frames out: group commit. What arrived while the last commit
 * was running is joined into the next one, so that one sync or one object serves all who wait.
 */
import { Buffer } from "node:buffer";
import { limits } from "./limits.ts";
import { type EpochWriter, StorageError } from "./storage/storage.ts";
import { compressFrame } from "./zstd.ts";

/** Where committed frames go: one epoch of a storage (storage/storage.ts). */
export type Sink = Pick<EpochWriter, "pace" | "commit" | "probe" | "close">;

export interface CommitQueueOptions {
  now?: () => number;
  sleep?: (ms: number) => Promise<void>;
  /** Makes a frame of its text, which comes in parts; for a sink that compresses itself. */
  frameOf?: FrameOf;
  /** Told of each commit: how long it took from its beginning, and the text it had. */
  committed?: (commit: { ms: number; textBytes: number; ok: boolean }) => void;
  /** Told when the storage takes no writes any more, and when it takes them again (undefined). */
  changed?: (problem: Error | undefined) => void;
}

/** The parts of one block, in order. */
type Parts = readonly Uint8Array[];

export type FrameOf = (parts: readonly Uint8Array[], bytes: number) => Uint8Array;

interface Waiting {
  block: Parts;
  sinceMs: number;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class CommitQueue {
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** Commits that run, oldest first, each with the time since which its first block has waited. */
  readonly #running = new Map<Promise<void>, number>();
  #pumping = false;
  #rollDue = false;
  #closed = false;
  #failed = false;
  #problem: Error | undefined;
  #idle: Promise<void> = Promise.resolve();
  #lastBeginMs = -Infinity;
  #batchIsFull = () => {};
  readonly #now: () => number;
  readonly #sleep: (ms: number) => Promise<void>;

  constructor(private readonly sink: Sink, private readonly options: CommitQueueOptions = {}) {
    this.#now = options.now ?? (() => performance.now());
    this.#sleep = options.sleep ?? ((ms) => new Promise((r) => setTimeout(r, ms)));
  }

  /** Why the storage takes no writes now; it is asked again until it does. */
  get problem(): Error | undefined {
    return this.#problem;
  }

  /** For how long the block that has waited longest has done so. */
  get waitedMs(): number {
    const sinceMs = this.#running.values().next().value ?? this.#waiting[0]?.sinceMs;
    return sinceMs === undefined ? 0 : this.#now() - sinceMs;
  }

  /**
   * Queues a whole block (header line and records, at most a frame's text), given in as many parts as
   * the caller has it in. Resolves when it is durable together with all that was queued before it,
   * rejects if it may not be. The queue owns the bytes from now on.
   */
  append(...block: Parts): Promise<void> {
    if (this.#closed) return Promise.reject(new StorageError("Cannot append: the queue is closed"));
    if (this.#problem) return Promise.reject(this.#problem);
    const done = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ block, sinceMs: this.#now(), resolve, reject });
    });
    this.#waitingBytes += bytesOf(block);
    if (this.#waitingBytes >= this.sink.pace.batchBytes) this.#batchIsFull();
    this.#start();
    return done;
  }

  /** Gives the sink a chance to close a segment that has grown old without traffic. */
  roll(): void {
    this.#rollDue = true;
    this.#start();
  }

  /** Commits what waits, then closes the sink. What is appended later is rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#batchIsFull();
    await this.#idle;
    await this.#settled();
    await this.sink.close();
  }

  #start(): void {
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    this.#idle = this.#pump();
  }

  async #pump(): Promise<void> {
    // Lets the handlers of chunks that came in the same turn add theirs.
    await Promise.resolve();
    while (this.#failed || this.#waiting.length > 0 || this.#rollDue) {
      if (this.#failed) await this.#recover();
      else if (this.#running.size >= this.sink.pace.parallel) {
        await Promise.race(this.#running.keys());
      } else {
        await this.#company();
        if (!this.#failed) this.#begin();
      }
    }
    // Not in a `finally`, which runs a turn later: an append in between would never be seen.
    this.#pumping = false;
  }

  /** Waits for more to join a small batch. */
  async #company(): Promise<void> {
    const { companyMs, batchBytes } = this.sink.pace;
    const restMs = companyMs - (this.#now() - this.#lastBeginMs);
    if (restMs <= 0 || this.#waitingBytes >= batchBytes || this.#closed) return;
    const full = new Promise<void>((resolve) => this.#batchIsFull = resolve);
    await Promise.race([this.#sleep(restMs), full]);
  }

  #begin(): void {
    const batch = this.#waiting;
    const textBytes = this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#rollDue = false;
    this.#lastBeginMs = this.#now();
    const commit = this.#commit(batch, textBytes).finally(() => this.#running.delete(commit));
    this.#running.set(commit, batch[0]?.sinceMs ?? this.#lastBeginMs);
  }

  async #commit(batch: Waiting[], textBytes: number): Promise<void> {
    const beginMs = this.#now();
    const report = (ok: boolean) =>
      this.options.committed?.({ ms: this.#now() - beginMs, textBytes, ok });
    try {
      await this.sink.commit(joinFrames(batch.map((w) => w.block), this.options.frameOf));
      for (const waiting of batch) waiting.resolve();
      report(true);
    } catch (error) {
      this.#failed = true;
      for (const waiting of batch) waiting.reject(error);
      report(false);
      this.#start();
    }
  }

  /** Nothing more is begun until the storage says that it takes writes; who waits is told at once. */
  async #recover(): Promise<void> {
    await this.#settled();
    while (this.#failed) {
      try {
        await this.sink.probe();
        this.#failed = false;
        this.#become(undefined);
      } catch (error) {
        this.#become(error as Error);
        for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
        this.#waitingBytes = 0;
        if (this.#closed) return void (this.#failed = false);
        await this.#sleep(limits.probeMs);
      }
    }
  }

  #become(problem: Error | undefined): void {
    const changed = (problem === undefined) !== (this.#problem === undefined);
    this.#problem = problem;
    if (changed) this.options.changed?.(problem);
  }

  async #settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.keys());
  }
}

/** Blocks to compressed frames, in order, each of at most `frameTextBytesMax` of text. */
export function joinFrames(blocks: readonly Parts[], frameOf: FrameOf = compressed): Uint8Array[] {
  const frames: Uint8Array[] = [];
  let text: Uint8Array[] = [];
  let bytes = 0;
  for (const block of blocks) {
    const blockBytes = bytesOf(block);
    if (bytes > 0 && bytes + blockBytes > limits.frameTextBytesMax) {
      frames.push(frameOf(text, bytes));
      text = [];
      bytes = 0;
    }
    text.push(...block);
    bytes += blockBytes;
  }
  if (bytes > 0) frames.push(frameOf(text, bytes));
  return frames;
}

function compressed(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  return compressFrame(Buffer.concat(parts, bytes));
}

function bytesOf(parts: Parts): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
