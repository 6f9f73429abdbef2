/** One part of a spool's queue: read in order, stream by stream, and acknowledged by seq. */
import { limits } from "../shared/limits.ts";
import type { Place, QueuedEntry } from "./disk_queue.ts";
import type { Entry } from "./queue_entry.ts";
import type { StreamNames } from "./source.ts";

/** What a reader reads; it moves the reader's `place` on. */
interface Queue {
  next(reader: QueueReader): Promise<QueuedEntry[]>;
  settle(): Promise<void>;
}

export class QueueReader {
  /** Up to here entries were taken from the queue. */
  place: Place;
  /** Up to here they are acknowledged. */
  settled: Place;
  /** All of it is read and acknowledged. */
  finished = false;
  #pending: QueuedEntry[] = [];
  /** Each place, and the seq whose acknowledgement says that all before it is durable. */
  #unacked: Array<{ seq: number; place: Place }> = [];

  constructor(
    private readonly queue: Queue,
    /** Where it begins, and where the next one does. */
    readonly from: Place,
    readonly until?: Place,
  ) {
    this.place = from;
    this.settled = from;
  }

  /** Whose records come next; undefined if none are there now. */
  async names(): Promise<StreamNames | undefined> {
    if (this.#pending.length === 0) this.#pending = await this.queue.next(this);
    return this.#pending[0]?.names;
  }

  /** The next records of one stream; undefined if none are there now. */
  async read(): Promise<Entry | undefined> {
    const names = await this.names();
    if (!names) return undefined;
    const other = this.#pending.findIndex((entry) => !isSameStream(entry.names, names));
    const taken = this.#pending.splice(0, other < 0 ? this.#pending.length : other);
    const records = taken.flatMap((entry) => entry.records);
    // A record about records has the seq of the next ordinary one.
    if (records.length > 0) this.#remember(records.at(-1)!.seq, taken.at(-1)!.end);
    return { names, records };
  }

  /** All up to the record `seq` of the stream that is being read is durable elsewhere. */
  async acknowledged(seq: number): Promise<void> {
    const behind = this.#unacked.findLastIndex((one) => one.seq <= seq);
    if (behind < 0) return;
    this.settled = this.#unacked.splice(0, behind + 1).at(-1)!.place;
    await this.queue.settle();
  }

  /** All that was read is durable elsewhere, whatever of it had a seq. */
  async settleAll(): Promise<void> {
    this.settled = this.#unacked.splice(0).at(-1)?.place ?? this.settled;
    await this.queue.settle();
  }

  /** Nothing more will be read. */
  async finish(): Promise<void> {
    this.finished = true;
    await this.queue.settle();
  }

  #remember(seq: number, place: Place): void {
    this.#unacked.push({ seq, place });
    if (this.#unacked.length <= limits.diskSpoolPlacesMax) return;
    // Every other one goes, but not the last: then it is told more coarsely what is durable.
    this.#unacked = this.#unacked.filter((_, n, all) => (all.length - n) % 2 === 1);
  }
}

export function isSameStream(a: StreamNames, b: StreamNames): boolean {
  return a.boot === b.boot && a.source === b.source && a.stream === b.stream;
}
