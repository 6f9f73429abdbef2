/** Events go in as they happen, their rate of late comes out; what is past fades with `drainMs`. */
import { limits } from "../shared/limits.ts";

export class Rate {
  #count = 0;
  #atMs: number;

  constructor(private readonly nowMs: () => number) {
    this.#atMs = nowMs();
  }

  count(): void {
    this.#fade();
    this.#count++;
  }

  get perSec(): number {
    this.#fade();
    return this.#count / limits.drainMs * 1000;
  }

  #fade(): void {
    const nowMs = this.nowMs();
    this.#count *= Math.exp((this.#atMs - nowMs) / limits.drainMs);
    this.#atMs = nowMs;
  }
}
