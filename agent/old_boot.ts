/** What a ring still holds of a boot that is over, as a source that ends. */
import { forEachRecord, gapRecord, type LogRecord } from "../shared/record.ts";
import type { Ring } from "./ring.ts";
import type { Source } from "./source.ts";

/** Records taken at a time, so that others get their turn. */
const takeMax = 500;

export interface OldBootOptions {
  ring: Ring;
  boot: string;
  stream: string;
  /** In place of the records' own. */
  flag: string | undefined;
  /** As the ring numbers them. */
  first: number;
  last: number;
  /** Added to the ring's seqs. */
  shift: number;
}

/** A stretch of the ring: it ends, and nothing is added to it. */
export class OldBoot implements Source {
  readonly source = "kmsg";
  readonly over = true;
  readonly boot: string;
  readonly stream: string;
  #next: number;
  #usec = 0;
  #ended = false;

  constructor(private readonly options: OldBootOptions) {
    this.boot = options.boot;
    this.stream = options.stream;
    this.#next = options.first;
  }

  read(): Promise<LogRecord[] | undefined> {
    const records: LogRecord[] = [];
    while (!this.#ended && records.length < takeMax) this.#take(records);
    return Promise.resolve(records.length > 0 ? records : undefined);
  }

  close(): void {
    if (!this.#ended) this.options.ring.close();
    this.#ended = true;
  }

  #take(records: LogRecord[]): void {
    const read = this.options.ring.next();
    if (read.kind === "record") {
      forEachRecord(read.text, (record) => this.#accept(record, records), () => {});
    }
    if (this.#next <= this.options.last && read.kind !== "empty") return;
    // The current boot may have overwritten the rest meanwhile.
    this.#gap(this.options.last + 1, records);
    this.close();
  }

  #accept(record: LogRecord, records: LogRecord[]): void {
    const { last, shift, flag } = this.options;
    if (record.seq < this.#next) return;
    this.#gap(Math.min(record.seq, last + 1), records);
    if (record.seq > last) return;
    this.#usec = record.usec;
    this.#next = record.seq + 1;
    records.push({ ...record, seq: record.seq + shift, flag: flag ?? record.flag });
  }

  /** What is missing before the ring's `seq`. */
  #gap(seq: number, records: LogRecord[]): void {
    if (seq <= this.#next) return;
    const [first, last] = [this.#next + this.options.shift, seq - 1 + this.options.shift];
    const gap = { first, last, count: last - first + 1, cause: "overrun" } as const;
    records.push(gapRecord(last + 1, this.#usec, gap));
    this.#next = seq;
  }
}

/** A stream of which there is but one thing to say. */
export class OneRecord implements Source {
  readonly source = "kmsg";
  readonly over = true;
  #record: LogRecord | undefined;

  constructor(readonly boot: string, readonly stream: string, record: LogRecord) {
    this.#record = record;
  }

  read(): Promise<LogRecord[] | undefined> {
    const records = this.#record && [this.#record];
    this.#record = undefined;
    return Promise.resolve(records);
  }

  close(): void {
    this.#record = undefined;
  }
}
