/**
 * A source in, the same source out with at most so many bytes a second: what is beyond is dropped, and
 * a gap record says exactly which.
 *
 * A token bucket: it holds `rateBurstMs` worth, begins full, and a record passes while something is in
 * it (so that one larger than the bucket passes at all, and the next ones pay for it). Once empty it
 * must be half full again before anything passes: few long gaps rather than many short ones, which
 * would be more text than what they stand for. Records about records pass always, and cost nothing.
 */
import { limits } from "../shared/limits.ts";
import { formatRecord, gapRecord, isMeta, type LogRecord } from "../shared/record.ts";
import type { Clock } from "./post.ts";
import type { Source } from "./source.ts";

export interface RateCapOptions {
  bytesPerSecond: number;
  clock: Pick<Clock, "monotonicMs" | "sleep">;
}

/** Dropped records without a hole between them, not yet said. */
interface Run {
  first: number;
  last: number;
  usec: number;
  /** Resolves when they have waited long enough for a record that passes. */
  due: Promise<"due">;
}

export class RateCap implements Source {
  readonly #bytesMax: number;
  #bytes: number;
  #filledMs: number;
  #empty = false;
  #run: Run | undefined;
  #ended = false;
  /** A read of the inner source that a gap has overtaken. */
  #reading: Promise<LogRecord[] | undefined> | undefined;

  constructor(private readonly inner: Source, private readonly options: RateCapOptions) {
    const { bytesPerSecond, clock } = options;
    if (!(bytesPerSecond > 0)) {
      throw new RangeError(
        `Cannot cap the rate because it must be above 0 bytes a second: current value is ` +
          bytesPerSecond,
      );
    }
    this.#bytesMax = bytesPerSecond * limits.rateBurstMs / 1000;
    this.#bytes = this.#bytesMax;
    this.#filledMs = clock.monotonicMs();
  }

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
    while (!this.#ended) {
      this.#reading ??= this.inner.read();
      const read = await (this.#run ? Promise.race([this.#reading, this.#run.due]) : this.#reading);
      if (read !== "due") this.#reading = undefined;
      this.#ended = read === undefined;
      const passed: LogRecord[] = [];
      if (read === undefined || read === "due") this.#sayGap(passed);
      else for (const record of read) this.#take(record, passed);
      if (passed.length > 0) return passed;
    }
    return undefined;
  }

  safe(offlineMs: number): boolean {
    return this.inner.safe?.(offlineMs) ?? true;
  }

  close(): void {
    this.inner.close();
  }

  #take(record: LogRecord, passed: LogRecord[]): void {
    if (!this.#passes(record)) return this.#drop(record, passed);
    this.#sayGap(passed);
    passed.push(record);
  }

  #passes(record: LogRecord): boolean {
    if (isMeta(record.flag)) return true;
    this.#fill();
    if (this.#empty) return false;
    this.#bytes -= formatRecord(record).length;
    this.#empty = this.#bytes <= 0;
    return true;
  }

  #fill(): void {
    const nowMs = this.options.clock.monotonicMs();
    const more = (nowMs - this.#filledMs) * this.options.bytesPerSecond / 1000;
    this.#bytes = Math.min(this.#bytesMax, this.#bytes + more);
    this.#filledMs = nowMs;
    if (this.#bytes >= this.#bytesMax / 2) this.#empty = false;
  }

  #drop({ seq, usec }: LogRecord, passed: LogRecord[]): void {
    // A hole isn't ours: what is missing there has a gap record of its own.
    if (this.#run && seq !== this.#run.last + 1) this.#sayGap(passed);
    if (this.#run) Object.assign(this.#run, { last: seq, usec });
    else {
      const due = this.options.clock.sleep(limits.rateGapMs).then(() => "due" as const);
      this.#run = { first: seq, last: seq, usec, due };
    }
  }

  #sayGap(passed: LogRecord[]): void {
    if (!this.#run) return;
    const { first, last, usec } = this.#run;
    const count = last - first + 1;
    passed.push(gapRecord(last + 1, usec, { first, last, count, cause: "ratelimit" }));
    this.#run = undefined;
  }
}
