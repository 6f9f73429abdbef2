/** Amounts go in, the time to wait comes out: so much a second, and a burst after a pause. */
export class TokenBucket {
  #level: number;
  #filledMs: number;

  /** @param burst what may be taken at once from a full bucket; it starts full */
  constructor(
    private readonly perSec: number,
    private readonly burst: number,
    private readonly nowMs: () => number,
  ) {
    this.#level = burst;
    this.#filledMs = nowMs();
  }

  /** Takes `n`, also beyond what is there; returns for how many ms to wait until the debt is paid. */
  take(n: number): number {
    const nowMs = this.nowMs();
    const more = (nowMs - this.#filledMs) / 1000 * this.perSec;
    this.#level = Math.min(this.burst, this.#level + more) - n;
    this.#filledMs = nowMs;
    return this.#level >= 0 ? 0 : -this.#level / this.perSec * 1000;
  }
}
