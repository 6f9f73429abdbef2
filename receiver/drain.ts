/**
 * Ends of streams and refusals go in, a time to come back comes out: so that those who were refused
 * come back about as fast as there is room for them. Rates fade with `drainMs`.
 */
import { limits } from "../shared/limits.ts";

export class Drain {
  #completed = 0;
  #refused = 0;
  #atMs: number;

  constructor(private readonly nowMs: () => number) {
    this.#atMs = nowMs();
  }

  completed(): void {
    this.#fade();
    this.#completed++;
  }

  refused(): void {
    this.#fade();
    this.#refused++;
  }

  /**
   * Seconds until all who were refused lately would be through at the present rate, and for each
   * another point in the later half of it: each try costs. At most the normal interval of uploads.
   */
  retryAfterSec(random: () => number): number {
    const allSec = this.#refused / Math.max(this.#completed, 1) * limits.drainMs / 1000;
    const bounded = Math.min(Math.max(allSec, 4), limits.intervalMs / 1000);
    return Math.ceil(bounded * (0.5 + random() / 2));
  }

  #fade(): void {
    const nowMs = this.nowMs();
    const left = Math.exp((this.#atMs - nowMs) / limits.drainMs);
    this.#completed *= left;
    this.#refused *= left;
    this.#atMs = nowMs;
  }
}
