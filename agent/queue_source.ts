/** The disk queue as sources: its streams one after the other, oldest first. */
import { limits } from "../shared/limits.ts";
import { gapRecord, isMeta, type LogRecord } from "../shared/record.ts";
import type { DiskQueue, Place, QueuedEntry } from "./disk_queue.ts";
import type { Source, StreamNames } from "./source.ts";

/** Entries one behind the other that are of one stream. */
export class QueueSource implements Source {
  readonly boot: string;
  readonly source: string;
  readonly stream: string;
  #unacked: Array<{ seq: number; place: Place }> = [];
  #nextSeq: number | undefined;

  constructor(names: StreamNames, private readonly streams: QueuedStreams) {
    this.boot = names.boot;
    this.source = names.source;
    this.stream = names.stream;
  }

  async read(): Promise<LogRecord[] | undefined> {
    const entries = await this.streams.take(this);
    return entries?.flatMap((entry) => this.#recordsOf(entry));
  }

  /** The record `seq` is acknowledged: resolves when that is on disk. */
  async save({ seq }: { seq: number }): Promise<void> {
    const behind = this.#unacked.findLastIndex((one) => one.seq <= seq);
    if (behind < 0) return;
    await this.streams.acknowledge(this.#unacked.splice(0, behind + 1).at(-1)!.place);
  }

  close(): void {
    this.streams.close();
  }

  /** A hole in the seqs is what a damaged entry has left. */
  #recordsOf({ records, end }: QueuedEntry): LogRecord[] {
    const found: LogRecord[] = [];
    for (const record of records) {
      if (!isMeta(record.flag)) {
        const { seq, usec } = record;
        const [first, last] = [this.#nextSeq ?? seq, seq - 1];
        const gap = { first, last, count: seq - first, cause: "lost" } as const;
        if (seq > first) found.push(gapRecord(seq, usec, gap));
        this.#nextSeq = seq + 1;
      }
      found.push(record);
    }
    if (this.#nextSeq !== undefined) this.#unacked.push({ seq: this.#nextSeq - 1, place: end });
    return found;
  }
}

export class QueuedStreams {
  #place: Place;
  #finished = false;
  #closed = false;
  #stop = Promise.withResolvers<void>();

  constructor(private readonly queue: DiskQueue) {
    this.#place = queue.start;
  }

  /** The next stream; waits for it. Only to be called when all of the one before is acknowledged. */
  async next(): Promise<QueueSource | undefined> {
    // Records that were refused, or that aren't ordinary, were never acknowledged by their seq.
    if (!this.#closed) await this.queue.acknowledge(this.#place);
    const entry = (await this.#wait())?.[0];
    return entry && new QueueSource(entry.names, this);
  }

  /** The next entries of this stream; waits for them. Undefined when another stream's come. */
  async take({ source, stream }: StreamNames): Promise<QueuedEntry[] | undefined> {
    const entries = await this.#wait();
    if (!entries) return undefined;
    const other = entries.findIndex(({ names }) =>
      names.stream !== stream || names.source !== source
    );
    const taken = other < 0 ? entries : entries.slice(0, other);
    this.#place = taken.at(-1)?.end ?? this.#place;
    return taken.length > 0 ? taken : undefined;
  }

  acknowledge(place: Place): Promise<void> {
    return this.queue.acknowledge(place);
  }

  /** Nothing more is appended: it ends when the queue is empty. */
  finish(): void {
    this.#finished = true;
    this.#stop.resolve();
  }

  /** It ends now; what is in the queue stays there. */
  close(): void {
    this.#closed = true;
    this.#stop.resolve();
  }

  async #wait(): Promise<QueuedEntry[] | undefined> {
    while (!this.#closed) {
      const changed = this.queue.changed();
      const entries = await this.queue.read(this.#place, limits.flushBytes);
      if (entries.length > 0) return entries;
      if (this.#finished) return undefined;
      await Promise.race([changed, this.#stop.promise]);
    }
    return undefined;
  }
}
