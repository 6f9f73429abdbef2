/**
 * Notices that the wall clock was set, or that the machine slept: then Unix time has moved against the
 * monotonic clock, and what was known of their distance is wrong.
 */
import type { Clock } from "./post.ts";

/** Slewing by NTP moves a clock by half a millisecond a second; anything like this is a jump. */
const jumpMs = 500;
const lookEveryMs = 1_000;

export class ClockWatch {
  #jumped = Promise.withResolvers<void>();
  #stopped = false;

  constructor(private readonly clock: Clock) {
    void this.#watch();
  }

  /** Resolves at the next jump. */
  jump(): Promise<void> {
    return this.#jumped.promise;
  }

  stop(): void {
    this.#stopped = true;
  }

  async #watch(): Promise<void> {
    const { nowMs, monotonicMs, sleep } = this.clock;
    let distanceMs = nowMs() - monotonicMs();
    while (!this.#stopped) {
      await sleep(lookEveryMs);
      const nowDistanceMs = nowMs() - monotonicMs();
      if (Math.abs(nowDistanceMs - distanceMs) > jumpMs) {
        this.#jumped.resolve();
        this.#jumped = Promise.withResolvers<void>();
      }
      distanceMs = nowDistanceMs;
    }
  }
}
