/** Times in, percentiles out, in constant memory: bins that are 5 % wide. */

const binsPerFactorE = 20;

export class Latencies {
  /** Bin 0 is below a millisecond. */
  readonly #bins = new Float64Array(400);
  #count = 0;
  #maxMs = 0;

  get count(): number {
    return this.#count;
  }

  add(ms: number): void {
    const bin = ms < 1 ? 0 : 1 + Math.floor(Math.log(ms) * binsPerFactorE);
    this.#bins[Math.min(bin, this.#bins.length - 1)]!++;
    this.#count++;
    this.#maxMs = Math.max(this.#maxMs, ms);
  }

  /** The upper end of the bin in which it lies; 0 where nothing was added. */
  percentile(share: number): number {
    let left = share * this.#count;
    for (const [bin, n] of this.#bins.entries()) {
      left -= n;
      if (left <= 0 && n > 0) return Math.min(this.#maxMs, Math.exp(bin / binsPerFactorE));
    }
    return this.#maxMs;
  }

  summary(): { p50: number; p90: number; p99: number; max: number } {
    const at = (share: number) => Math.round(this.percentile(share) * 10) / 10;
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: Math.round(this.#maxMs * 10) / 10 };
  }
}
