/** The kernel's ring buffer as a source: its records as they are, and a gap where some are missing. */
import { forEachRecord, gapRecord, type LogRecord } from "../shared/record.ts";
import type { Position } from "./checkpoint.ts";
import type { KernelClock } from "./kernel_clock.ts";
import type { Ring } from "./ring.ts";
import type { Source } from "./source.ts";

/** How often an empty ring is looked at: a quarter of the flush time, some 20 wake-ups a second. */
const pollMs = 50;
/** So much of the ring is left before it is read on: a burst must not overrun it meanwhile. */
const reserve = 0.25;
/** Records taken at a time, so that others get their turn while a full ring is read. */
const takeMax = 500;

export interface KmsgOptions {
  ring: Ring;
  boot: string;
  clock: Pick<KernelClock, "observe">;
  /** What was acknowledged before this start, of whatever boot. */
  position?: Position | undefined;
  /** The ring's seq of the boot's first record, where the ring holds an earlier boot before it. */
  firstSeq?: number;
  sleep: (ms: number) => Promise<void>;
}

export class KmsgSource implements Source {
  readonly source = "kmsg";
  readonly boot: string;
  /** A boot has one ring: its id names the stream. */
  readonly stream: string;
  #nextSeq: number;
  /** The most records of those read that were seen in the ring at once. */
  #ringRecords = 0;
  #overrun = false;
  #started = false;
  #closed = false;

  constructor(private readonly options: KmsgOptions) {
    const { boot, position, firstSeq = 0 } = options;
    this.boot = boot;
    this.stream = boot;
    // Of a boot that was never seen the first record is 0: what the ring lost of it is a gap, too.
    this.#nextSeq = position?.boot === boot ? position.seq + 1 : firstSeq;
  }

  async read(): Promise<LogRecord[] | undefined> {
    for (;;) {
      const { records, empty } = this.#take();
      if (records.length > 0) return records;
      // Records that were acknowledged before are stepped over: behind them there may be new ones.
      if (empty && this.#closed) return undefined;
      await this.options.sleep(empty ? pollMs : 0);
    }
  }

  /**
   * While memory is full the ring keeps what is new, until it has lost nearly all that was read of it:
   * then what is evicted from memory is in the ring no more.
   */
  safe(): boolean {
    let oldest;
    try {
      oldest = this.options.ring.oldestSeq();
    } catch {
      // No file can be opened now. What is read is lost to memory at most, and not without a gap.
      return false;
    }
    if (oldest === undefined) return true;
    const stillThere = this.#nextSeq - oldest;
    this.#ringRecords = Math.max(this.#ringRecords, stillThere);
    return stillThere > this.#ringRecords * reserve;
  }

  /** What the ring holds now is still read. */
  close(): void {
    this.#closed = true;
  }

  #take(): { records: LogRecord[]; empty: boolean } {
    const records: LogRecord[] = [];
    for (let taken = 0; taken < takeMax; taken++) {
      const read = this.options.ring.next();
      if (read.kind === "empty") return { records, empty: true };
      if (read.kind === "overrun") this.#overrun = true;
      if (read.kind === "record") {
        forEachRecord(read.text, (r) => this.#accept(r, records), () => {});
      }
    }
    return { records, empty: false };
  }

  /** A record that can't be parsed leaves a hole in the seqs, which the next one shows. */
  #accept(record: LogRecord, records: LogRecord[]): void {
    const { seq, usec } = record;
    // An earlier boot's: its clock was another.
    if (seq < (this.options.firstSeq ?? 0)) return;
    this.options.clock.observe(usec);
    if (seq < this.#nextSeq) return void (this.#started = true);
    if (seq > this.#nextSeq) {
      const [first, last] = [this.#nextSeq, seq - 1];
      // What is missing before the first record was overwritten while no agent ran.
      const cause = this.#overrun || !this.#started ? "overrun" : "lost";
      records.push(gapRecord(seq, usec, { first, last, count: last - first + 1, cause }));
    }
    this.#overrun = false;
    this.#started = true;
    records.push(record);
    this.#nextSeq = seq + 1;
  }
}
