/**
 * Blocks of many streams in, durable frames out: group commit. What arrived while the last commit
 * was running is joined into the next one, so that one sync or one object serves all who wait.
 */
import { Batch, type Parts, type Settled } from "./commit_queue_batch.ts";
import { limits } from "./limits.ts";
import { type EpochWriter, StorageError } from "./storage/storage.ts";
import { compressFrame } from "./zstd.ts";

/** Where committed frames go: one epoch of a storage (storage/storage.ts). */
export type Sink = Pick<EpochWriter, "pace" | "commit" | "probe" | "close">;

/** The side of a sink that compresses itself: its commits get the frames' texts. */
export interface Texts {
  /** Memory for one text, of `frameTextBytesMax`. It is used again after the text's commit. */
  memory(): ArrayBufferLike;
  /** This text is whole and may be compressed now. If it isn't committed, a probe comes before the next that is. */
  full(text: Uint8Array): void;
}

export interface CommitQueueOptions {
  now?: () => number;
  sleep?: (ms: number) => Promise<void>;
  /** For a sink that compresses itself. */
  texts?: Texts;
  /** Told of each commit: how long it took from its beginning, and the text it had. */
  committed?: (commit: { ms: number; textBytes: number; ok: boolean }) => void;
  /** Told when the storage takes no writes any more, and when it takes them again (undefined). */
  changed?: (problem: Error | undefined) => void;
}

export class CommitQueue {
  #waiting: Batch;
  /** Memory of texts that are durable. The newest is taken first: it is still in the processor's cache. */
  readonly #free: ArrayBufferLike[] = [];
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
    this.#waiting = this.#newBatch();
  }

  /** Why the storage takes no writes now; it is asked again until it does. */
  get problem(): Error | undefined {
    return this.#problem;
  }

  /** For how long the block that has waited longest has done so. */
  get waitedMs(): number {
    const sinceMs = this.#running.values().next().value ?? this.#waiting.sinceMs;
    return sinceMs === undefined ? 0 : this.#now() - sinceMs;
  }

  /**
   * Queues a whole block (header line and records, at most a frame's text), given in as many parts as
   * the caller has it in; they are copied. `settled` is told when it is durable together with all that
   * was queued before it, or why it may not be.
   */
  add(block: Parts, settled: Settled): void {
    if (this.#closed) return settled(new StorageError("Cannot append: the queue is closed"));
    if (this.#problem) return settled(this.#problem);
    this.#waiting.add(block, this.#now(), settled);
    if (this.#waiting.bytes >= this.sink.pace.batchBytes) this.#batchIsFull();
    this.#start();
  }

  /** The same, as a promise. */
  append(...block: Parts): Promise<void> {
    return new Promise((resolve, reject) => {
      this.add(block, (error) => error === undefined ? resolve() : reject(error));
    });
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
    while (this.#failed || this.#waiting.settled.length > 0 || this.#rollDue) {
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
    if (restMs <= 0 || this.#waiting.bytes >= batchBytes || this.#closed) return;
    const full = new Promise<void>((resolve) => this.#batchIsFull = resolve);
    await Promise.race([this.#sleep(restMs), full]);
  }

  #begin(): void {
    const batch = this.#waiting;
    this.#waiting = this.#newBatch();
    this.#rollDue = false;
    this.#lastBeginMs = this.#now();
    const commit = this.#commit(batch).finally(() => this.#running.delete(commit));
    this.#running.set(commit, batch.sinceMs ?? this.#lastBeginMs);
  }

  async #commit(batch: Batch): Promise<void> {
    const beginMs = this.#now();
    const texts = batch.texts();
    let failure: { error: unknown } | undefined;
    try {
      const given = this.options.texts ? texts : texts.map((text) => compressFrame(text));
      await this.sink.commit(given);
    } catch (error) {
      failure = { error };
      this.#failed = true;
      this.#start();
    }
    this.#giveBack(texts);
    for (const settled of batch.settled) settled(failure?.error);
    const ms = this.#now() - beginMs;
    this.options.committed?.({ ms, textBytes: batch.bytes, ok: failure === undefined });
  }

  #giveBack(texts: Uint8Array[]): void {
    for (const { buffer } of texts) this.#free.push(buffer);
  }

  #newBatch(): Batch {
    const { texts } = this.options;
    const make = () => texts?.memory() ?? new ArrayBuffer(limits.frameTextBytesMax);
    return new Batch(() => this.#free.pop() ?? make(), (text) => {
      // Else its commit is about to begin: a message of its own would only cost.
      if (this.#running.size > 0) texts?.full(text);
    });
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
        const batch = this.#waiting;
        this.#waiting = this.#newBatch();
        this.#giveBack(batch.texts());
        for (const settled of batch.settled) settled(error);
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
