/**
 * A source in, the same source out, with a disk behind it for a long outage: what memory can't take any
 * more is read all the same, and queued on disk.
 *
 * | state | what is read of the source goes | what the pipeline reads |
 * |-------|---------------------------------|-------------------------|
 * | all is well, or a short outage | to the pipeline, when it asks; nothing to the disk | the source |
 * | spooling: offline for a minute, and memory is full | to the queue, until that is read to its end | the queue |
 * | the disk fails, or can make no room | nowhere: it isn't read | the queue to its end, the source |
 * | eager | to the queue, at once | the queue |
 *
 * So the order is kept: what memory has, then the queue, then what is new. Memory holds the beginning of
 * an outage, as ever (outbox.ts); what a kill takes from it are records that the disk never had.
 * An eager spool is for memory that survives a reset, and wears out nothing: what a kill or a reset takes
 * are records that weren't read yet.
 */
import { limits } from "../shared/limits.ts";
import type { LogRecord } from "../shared/record.ts";
import { QueueError } from "./disk_queue.ts";
import type { Clock } from "./post.ts";
import type { Source } from "./source.ts";
import type { SpoolQueue } from "./spool_queue.ts";
import { Unbroken } from "./unbroken.ts";

export interface DiskSpoolOptions {
  queue: SpoolQueue;
  clock: Pick<Clock, "monotonicMs" | "sleep">;
  /** Each record goes over the disk, at once. Where the disk fails, the pipeline reads the source. */
  eager?: boolean;
  /** Told of changes of state. Not to be shipped. */
  report?: (text: string) => void;
}

export class DiskSpool implements Source {
  /** Read of the source, and neither in the queue nor taken by the pipeline. */
  #held: LogRecord[] = [];
  #heldBytes = 0;
  #reading: Promise<void> | undefined;
  #ended = false;
  #failure: { error: unknown } | undefined;
  /** There may be entries in the queue that aren't read, or there will be. */
  #spooling = false;
  #writing = false;
  #appending: Promise<boolean> | undefined;
  #appends = 0;
  /** Resolves at the next append, or when there will be none. */
  #moved = Promise.withResolvers<void>();
  /** Resolves when the pipeline has read all that is queued, or has no room itself. */
  #wanted = Promise.withResolvers<void>();
  #pipelineFull = false;
  /** When the queue didn't take something. */
  #refusedMs: number | undefined;
  #reported = false;
  readonly #unbroken = new Unbroken();

  constructor(private readonly inner: Source, private readonly options: DiskSpoolOptions) {}

  get boot(): string {
    return this.inner.boot;
  }

  get source(): string {
    return this.inner.source;
  }

  get stream(): string {
    return this.inner.stream;
  }

  get over(): boolean {
    return this.inner.over ?? false;
  }

  async read(): Promise<LogRecord[] | undefined> {
    this.#pipelineFull = false;
    for (;;) {
      if (this.options.eager) this.#mayWrite();
      const queued = this.#spooling ? await this.#queued() : undefined;
      if (queued) return this.#unbroken.pass(queued);
      if (this.#spooling) continue;
      if (this.#held.length > 0) return this.#unbroken.pass(this.#take());
      if (this.#failure) throw this.#failure.error;
      if (this.#ended) return undefined;
      await this.#fill();
    }
  }

  /**
   * Who asks has no room: after a minute of that the disk takes what he can't, and it is safe there.
   * Where the disk can't either, the source's own word counts.
   */
  safe(offlineMs: number): boolean {
    const wanted = this.#spooling || offlineMs > limits.diskSpoolAfterMs;
    if (wanted) this.#mayWrite();
    this.#pipelineFull = true;
    this.#wanted.resolve();
    return this.#writing || this.#done || (this.inner.safe?.(offlineMs) ?? true);
  }

  /** The record `seq` and all before it are durable at a receiver: resolves when that is on disk. */
  acknowledged(seq: number): Promise<void> {
    return this.options.queue.appended.acknowledged(seq);
  }

  /** What was read still comes, and what is queued. */
  close(): void {
    this.inner.close();
  }

  /** The next of the queue. Undefined if there is none now; at its end spooling is over. */
  async #queued(): Promise<LogRecord[] | undefined> {
    const [appends, settled, moved] = [this.#appends, !this.#appending, this.#moved.promise];
    const entry = await this.options.queue.appended.read();
    if (entry) return entry.records;
    if (this.options.eager && this.#writing) {
      this.#wanted.resolve();
      await moved;
      return undefined;
    }
    // What was on its way to the disk meanwhile comes before what is new.
    if (settled && appends === this.#appends) this.#spooling = false;
    else await this.#appending;
    return undefined;
  }

  /** All that there was is with the queue or with the pipeline. */
  get #done(): boolean {
    return this.#ended && this.#held.length === 0;
  }

  #mayWrite(): void {
    if (!this.#writing && !this.#done && this.#mayTry()) void this.#write();
  }

  /** Takes from the source to the queue until that is read to its end, or takes no more. */
  async #write(): Promise<void> {
    this.#writing = this.#spooling = true;
    while (this.#spooling && !this.#done) {
      if (this.options.eager) await this.#isWanted();
      await this.#gather();
      if (!this.#spooling || this.#held.length === 0) continue;
      this.#appends++;
      this.#appending = this.#append();
      const isDurable = await this.#appending;
      this.#appending = undefined;
      if (!isDurable) break;
      this.#tellMoved();
    }
    this.#writing = false;
    this.#tellMoved();
  }

  /** While the pipeline reads, the queue is no further: else a burst would evict what memory has room for. */
  async #isWanted(): Promise<void> {
    if (!this.#pipelineFull) await this.#wanted.promise;
    this.#wanted = Promise.withResolvers();
  }

  #tellMoved(): void {
    this.#moved.resolve();
    this.#moved = Promise.withResolvers<void>();
  }

  /** Each append is a sync, and wears flash: what comes within a while goes together. */
  async #gather(): Promise<void> {
    const wanted = () => this.#spooling && !this.#ended && this.#heldBytes < limits.flushBytes;
    while (wanted() && this.#held.length === 0) await this.#fill();
    // What came during the last append goes together without that.
    if (this.options.eager) return;
    const due = this.options.clock.sleep(limits.offlineFlushMs).then(() => "due" as const);
    while (wanted() && await Promise.race([this.#fill(), due]) !== "due");
  }

  async #append(): Promise<boolean> {
    const { queue, report } = this.options;
    const { boot, source, stream } = this.inner;
    const records = this.#take(limits.flushBytes);
    try {
      await queue.append({ names: { boot, source, stream }, records });
      if (this.#reported) report?.(`${source}: the disk spool goes on`);
      this.#reported = false;
      this.#refusedMs = undefined;
      return true;
    } catch (error) {
      this.#held.unshift(...records);
      this.#heldBytes += sizeOf(records);
      this.#refusedMs = this.options.clock.monotonicMs();
      // The queue has said itself that its disk fails.
      const known = error instanceof QueueError && error.code === "queue_broken";
      if (known || this.#reported) return false;
      report?.(`${source}: the disk spool stands still: ${(error as Error).message}`);
      this.#reported = true;
      return false;
    }
  }

  #mayTry(): boolean {
    const { clock } = this.options;
    return this.#refusedMs === undefined ||
      clock.monotonicMs() - this.#refusedMs >= limits.diskSpoolRetryMs;
  }

  /** One read of the source, whoever waits for it; resolves when what came is held. */
  #fill(): Promise<void> {
    return this.#reading ??= this.#readInner();
  }

  async #readInner(): Promise<void> {
    try {
      const records = await this.inner.read();
      this.#ended = records === undefined;
      this.#held.push(...records ?? []);
      this.#heldBytes += sizeOf(records ?? []);
    } catch (error) {
      this.#ended = true;
      this.#failure = { error };
    }
    this.#reading = undefined;
  }

  /** Some of what is held, the oldest first: at least one record. */
  #take(bytesMax = Infinity): LogRecord[] {
    let count = 0;
    for (let bytes = 0; count < this.#held.length && bytes < bytesMax; count++) {
      bytes += sizeOf([this.#held[count]!]);
    }
    const taken = this.#held.splice(0, count);
    this.#heldBytes -= sizeOf(taken);
    return taken;
  }
}

/** In memory and on disk, roughly: numbers and flags are some 40 bytes. */
function sizeOf(records: LogRecord[]): number {
  return records.reduce(
    (sum, { fields, text, more }) =>
      more.reduce((bytes, line) => bytes + line.length, sum + fields.length + text.length + 40),
    0,
  );
}
