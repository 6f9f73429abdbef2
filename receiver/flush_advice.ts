/**
 * How busy the receiver is goes in, the flush time that senders are asked for comes out: each chunk
 * costs the same however small it is, so a busy receiver asks for fewer, larger ones.
 */
import process from "node:process";
import { limits } from "../shared/limits.ts";

/** Between these the receiver is left alone: the answer to a change takes seconds to show. */
const busyShare = 0.6;
const idleShare = 0.3;
const raise = 2;
const lower = 1.25;
/** A look so many times later than it was due: others have the cores, or all is too much in any case. */
const lateTimes = 1.5;

export class FlushAdvice {
  #flushMs: number = limits.flushMs;
  #cpuMs: number;
  #atMs: number;

  /** @param load what the program has used of a core so far, and the time, both in ms */
  constructor(private readonly load = ownLoad) {
    ({ cpuMs: this.#cpuMs, nowMs: this.#atMs } = load());
  }

  get flushMs(): number {
    return Math.round(this.#flushMs);
  }

  /** To be called each `receiverLookMs`; `short`: memory for text in flight is getting short. */
  look(short: boolean): void {
    const { cpuMs, nowMs } = this.load();
    const passedMs = nowMs - this.#atMs;
    const busy = (cpuMs - this.#cpuMs) / passedMs;
    const late = passedMs > lateTimes * limits.receiverLookMs;
    this.#cpuMs = cpuMs;
    this.#atMs = nowMs;
    if (short || late || busy > busyShare) this.#flushMs *= raise;
    else if (busy < idleShare) this.#flushMs /= lower;
    this.#flushMs = Math.min(Math.max(this.#flushMs, limits.flushMs), limits.flushAskedMsMax);
  }
}

function ownLoad(): { cpuMs: number; nowMs: number } {
  const { user, system } = process.cpuUsage();
  return { cpuMs: (user + system) / 1000, nowMs: performance.now() };
}
