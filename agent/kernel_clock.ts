/**
 * The clock that stamps /dev/kmsg, as a program can know it: microseconds since boot, without the time
 * in suspend. Userspace can't read the kernel's local_clock; CLOCK_MONOTONIC differs from it by a slow
 * drift, which the stamps of fresh records show.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { Buffer } from "node:buffer";

/** Crystals are within 100 ppm of each other and NTP slews by 500 at most: more isn't drift. */
const driftMax = 600e-6;
const driftUsMin = 100_000;
/** The drift is learned from records of so long: shorter, and there are too few; longer, too old. */
const windowUs = 600e6;

export class KernelClock {
  readonly #atStartUs: number;
  readonly #startMs: number;
  /** The least of (monotonic - stamp) seen in this window and the one before: the drift. */
  #windows: [number, number] = [Infinity, Infinity];
  #windowEndUs = -Infinity;

  constructor(private readonly nowMs: () => number, monotonicUs: () => number = monotonicNowUs) {
    this.#startMs = nowMs();
    this.#atStartUs = monotonicUs();
  }

  nowUs(): number {
    return Math.round(this.#monotonicUs() - this.#driftUs());
  }

  /** To be told of each record as it is read: the delay until then is never negative. */
  observe(usec: number): void {
    const monotonicUs = this.#monotonicUs();
    if (monotonicUs > this.#windowEndUs) {
      this.#windows = [Infinity, this.#windows[0]];
      this.#windowEndUs = monotonicUs + windowUs;
    }
    this.#windows[0] = Math.min(this.#windows[0], monotonicUs - usec);
  }

  #monotonicUs(): number {
    return this.#atStartUs + (this.nowMs() - this.#startMs) * 1000;
  }

  #driftUs(): number {
    const least = Math.min(...this.#windows);
    const most = Math.max(driftUsMin, this.#monotonicUs() * driftMax);
    // Only old records have been read: that says nothing about the drift.
    return Math.abs(least) <= most ? least : 0;
  }
}

/** CLOCK_MONOTONIC where the kernel shows it, else the time since boot (which counts suspend). */
export function monotonicNowUs(): number {
  try {
    const fd = openSync("/proc/timer_list", "r");
    const head = Buffer.alloc(200);
    const length = readSync(fd, head, 0, head.length, null);
    closeSync(fd);
    const match = /now at (\d+) nsecs/.exec(head.toString("latin1", 0, length));
    if (match) return Number(match[1]) / 1000;
  } catch { /* for root only, and not in every kernel */ }
  return Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1e6;
}

export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
