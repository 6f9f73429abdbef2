/**
 * Streams that are let in go in; for each that is refused a time to come back comes out, by appointment:
 * for each second to come twice as many as are let in now, so that the rate can grow. Each try costs a
 * connection, so nobody is to come long before there is room.
 */
import { limits } from "../shared/limits.ts";
import { Rate } from "./rate.ts";

/** What agents obey: no wait is longer than the normal interval. */
const secMax = limits.intervalMs / 1000;
/** More come than were let in of late: else who is let in slowly once would be so for ever. */
const growth = 2;

export class Drain {
  readonly #rate: Rate;
  /** Appointments by second, modulo the length; of those that are past none are left. */
  readonly #booked = new Array<number>(secMax + 1).fill(0);
  #sec: number;

  constructor(private readonly nowMs: () => number) {
    this.#rate = new Rate(nowMs);
    this.#sec = Math.floor(nowMs() / 1000);
  }

  admitted(): void {
    this.#rate.count();
  }

  /** Seconds, at most the normal interval of uploads; where all of it is booked, in its last third. */
  retryAfterSec(random: () => number): number {
    this.#forget();
    const perSec = Math.max(limits.returnsPerSecMin, growth * this.#rate.perSec);
    let sec = 1;
    while (sec <= secMax && this.#booked[this.#at(sec)]! >= perSec) sec++;
    if (sec > secMax) sec = secMax - Math.floor(random() * secMax / 3);
    this.#booked[this.#at(sec)]!++;
    return sec;
  }

  #at(sec: number): number {
    return (this.#sec + sec) % this.#booked.length;
  }

  #forget(): void {
    const nowSec = Math.floor(this.nowMs() / 1000);
    const past = Math.min(nowSec - this.#sec, this.#booked.length);
    for (let sec = 0; sec < past; sec++) this.#booked[this.#at(sec)] = 0;
    this.#sec = nowSec;
  }
}
