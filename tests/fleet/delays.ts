/** How long records wait: from being written until they leave the device, and until they are durable. */
import type { Frame } from "../../agent/encoder.ts";
import { Sketch } from "../../grinder/sketch.ts";

/** NaN where nothing was measured. */
export interface Percentiles {
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

/** Those of a whole fleet, in milliseconds. */
export class Delays {
  readonly #leave = new Sketch();
  readonly #durable = new Sketch();

  /** One stream's part in it. */
  stream(nowMs: () => number): StreamDelays {
    return new StreamDelays(this.#leave, this.#durable, nowMs);
  }

  get leaveMs(): Percentiles {
    return percentiles(this.#leave);
  }

  get durableMs(): Percentiles {
    return percentiles(this.#durable);
  }
}

export class StreamDelays {
  /** When each record was written that isn't acknowledged yet, Unix milliseconds, from seq #first on. */
  #writtenMs: number[] = [];
  #first = 0;
  /** When each frame first left; frames are known by their bytes. */
  readonly #leftMs = new WeakMap<Uint8Array, number>();

  constructor(
    private readonly leave: Sketch,
    private readonly durable: Sketch,
    private readonly nowMs: () => number,
  ) {}

  written(wallUs: number): void {
    this.#writtenMs.push(wallUs / 1000);
  }

  /** True if these bytes were sent before. */
  sent(bytes: Uint8Array): boolean {
    const again = this.#leftMs.has(bytes);
    if (!again) this.#leftMs.set(bytes, this.nowMs());
    return again;
  }

  acked({ bytes, range }: Frame): void {
    if (!range) return;
    const [nowMs, leftMs] = [this.nowMs(), this.#leftMs.get(bytes)];
    const done = this.#writtenMs.splice(0, range.last + 1 - this.#first);
    this.#first = range.last + 1;
    for (const writtenMs of done) {
      // What went in a short POST was joined with others: only its acknowledgement is seen.
      if (leftMs !== undefined) this.leave.add(Math.max(0, leftMs - writtenMs));
      this.durable.add(Math.max(0, nowMs - writtenMs));
    }
  }
}

function percentiles(sketch: Sketch): Percentiles {
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((q) => Math.round(sketch.quantile(q)));
  return { p50: p50!, p90: p90!, p99: p99!, max: Math.round(sketch.max) };
}
