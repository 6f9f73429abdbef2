/**
 * Blocks of many streams in, durable frames out: group commit. What arrived while the last commit
 * was running is joined into the next one, so that one sync serves all who wait.
 */
import { Buffer } from "node:buffer";
import { limits } from "./limits.ts";
import { StorageError } from "./storage/storage.ts";
import { compressFrame } from "./zstd.ts";

/** Where committed frames go: one epoch of a storage (storage/storage.ts). */
export interface Sink {
  /** Resolves when the frames, and all before them, are durable. No frames: only rolls what is old. */
  commit(frames: Uint8Array[]): Promise<void>;
  close(): Promise<void>;
}

interface Waiting {
  block: Uint8Array;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class CommitQueue {
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #running = false;
  #rollDue = false;
  #closed = false;
  #idle: Promise<void> = Promise.resolve();
  #lastEndMs = -Infinity;
  readonly #now: () => number;
  readonly #sleep: (ms: number) => Promise<void>;

  constructor(
    private readonly sink: Sink,
    clock: { now?: () => number; sleep?: (ms: number) => Promise<void> } = {},
  ) {
    this.#now = clock.now ?? (() => performance.now());
    this.#sleep = clock.sleep ?? ((ms) => new Promise((r) => setTimeout(r, ms)));
  }

  /**
   * Queues a whole block (header line and records, at most a frame's text); resolves when it is
   * durable, rejects if it may not be. The queue owns the bytes from now on.
   */
  append(block: Uint8Array): Promise<void> {
    if (this.#closed) return Promise.reject(new StorageError("Cannot append: the queue is closed"));
    const done = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ block, resolve, reject });
    });
    this.#waitingBytes += block.length;
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
    await this.#idle;
    await this.sink.close();
  }

  #start(): void {
    if (this.#running || this.#closed) return;
    this.#running = true;
    this.#idle = this.#run();
  }

  async #run(): Promise<void> {
    // Lets the handlers of chunks that came in the same turn add theirs.
    await Promise.resolve();
    while (this.#waiting.length > 0 || this.#rollDue) {
      const restMs = limits.companyMs - (this.#now() - this.#lastEndMs);
      if (restMs > 0 && this.#waitingBytes < limits.smallBatchBytes) await this.#sleep(restMs);
      const batch = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#rollDue = false;
      await this.#commit(batch);
      this.#lastEndMs = this.#now();
    }
    // Not in a `finally`, which runs a turn later: an append in between would never be seen.
    this.#running = false;
  }

  async #commit(batch: Waiting[]): Promise<void> {
    try {
      await this.sink.commit(joinFrames(batch.map((w) => w.block)));
      for (const waiting of batch) waiting.resolve();
    } catch (error) {
      for (const waiting of batch) waiting.reject(error);
    }
  }
}

/** Blocks to compressed frames, in order, each of at most `frameTextBytesMax` of text. */
export function joinFrames(blocks: Uint8Array[]): Uint8Array[] {
  const frames: Uint8Array[] = [];
  let text: Uint8Array[] = [];
  let bytes = 0;
  for (const block of blocks) {
    if (bytes > 0 && bytes + block.length > limits.frameTextBytesMax) {
      frames.push(compressFrame(Buffer.concat(text)));
      text = [];
      bytes = 0;
    }
    text.push(block);
    bytes += block.length;
  }
  if (bytes > 0) frames.push(compressFrame(Buffer.concat(text)));
  return frames;
}
