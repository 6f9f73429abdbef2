/**
 * A number of permits, handed out in the order they were asked for. `using permit = ...` gives a
 * permit back on every path; nothing here waits on a timer.
 */
import assert from "node:assert/strict";

/** Some of a semaphore's permits. Giving them back twice is giving them back once. */
export class Permit implements Disposable {
  #giveBack: (() => void) | undefined;

  /** @param giveBack is called once, at the first release */
  constructor(giveBack: () => void) {
    this.#giveBack = giveBack;
  }

  release(): void {
    const giveBack = this.#giveBack;
    this.#giveBack = undefined;
    giveBack?.();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

interface Waiter {
  n: number;
  grant: (permit: Permit) => void;
}

/**
 * A weighted semaphore. Those who wait are served strictly in turn: one who wants many permits
 * can't be overtaken for ever by those who want few. How many may wait is the caller's limit to
 * set.
 */
export class Semaphore {
  readonly permits: number;
  readonly name: string;
  #available: number;
  /** In turn. A Set, so that one who gives up leaves the middle at no cost. */
  readonly #waiters = new Set<Waiter>();

  /** @param name what the permits are for, in messages */
  constructor(permits: number, name: string) {
    assert(Number.isSafeInteger(permits) && permits > 0, `${name}: permits must be 1 or more`);
    this.permits = permits;
    this.name = name;
    this.#available = permits;
  }

  /** Permits not handed out now. */
  get available(): number {
    return this.#available;
  }

  /** Callers of acquire() that wait now. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Returns undefined if `n` permits aren't there now, or if others have waited for longer. */
  tryAcquire(n = 1): Permit | undefined {
    this.#assertWeight(n);
    return this.#waiters.size === 0 && n <= this.#available ? this.#take(n) : undefined;
  }

  /**
   * Waits for `n` permits.
   *
   * @throws the signal's reason if it is aborted before they are granted; nothing is held then
   */
  acquire(n = 1, signal?: AbortSignal): Promise<Permit> {
    this.#assertWeight(n);
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const giveUp = () => {
        this.#waiters.delete(waiter);
        reject(signal!.reason);
        this.#serve(); // those behind may want less
      };
      const waiter: Waiter = {
        n,
        grant: (permit) => {
          signal?.removeEventListener("abort", giveUp);
          resolve(permit);
        },
      };
      signal?.addEventListener("abort", giveUp, { once: true });
      this.#waiters.add(waiter);
      this.#serve();
    });
  }

  #take(n: number): Permit {
    this.#available -= n;
    return new Permit(() => {
      this.#available += n;
      this.#serve();
    });
  }

  #serve(): void {
    for (const waiter of this.#waiters) {
      if (waiter.n > this.#available) return;
      this.#waiters.delete(waiter);
      waiter.grant(this.#take(waiter.n));
    }
  }

  #assertWeight(n: number): void {
    assert(
      Number.isSafeInteger(n) && n > 0 && n <= this.permits,
      `${this.name}: a request must be for 1 to ${this.permits} permits, not ${n}`,
    );
  }
}
