/**
 * What a process that makes load and its parent say to each other: it prints JSON lines, the first
 * `ready` when the allow-list is written, the last `done`; the receiver's URL is read from its stdin.
 */
import process from "node:process";
import type { Identity } from "../../shared/identity.ts";
import { signToken } from "../../shared/token.ts";

export function tell(event: string, values: object = {}): void {
  process.stdout.write(`${JSON.stringify({ event, ...values })}\n`);
}

/** The receiver that the parent has started meanwhile. */
export async function receiverUrl(): Promise<URL> {
  for await (const line of console) return new URL(line);
  throw new Error("Cannot begin because the parent must name the receiver: it has gone");
}

/** CPU time of this process, in ms. */
export function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Signed before the clock starts. Some at a time: each waits for a thread of the runtime's. */
export async function tokens(devices: Identity[], audience = "logmill"): Promise<string[]> {
  const signed: string[] = [];
  for (let i = 0; i < devices.length; i += 256) {
    const some = devices.slice(i, i + 256).map((one) => signToken(one, audience, Date.now()));
    signed.push(...await Promise.all(some));
  }
  return signed;
}

/** Adds to counts by name: `{busy: 3}`. */
export function count(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1;
}

/** Calls streams when they are due, to within `tickMs`. */
export class Wheel<T> {
  readonly #ticks = new Map<number, T[]>();
  #next: number;

  constructor(private readonly tickMs: number, startMs: number) {
    this.#next = Math.floor(startMs / tickMs);
  }

  add(atMs: number, one: T): void {
    const tick = Math.max(this.#next, Math.ceil(atMs / this.tickMs));
    const others = this.#ticks.get(tick);
    if (others) others.push(one);
    else this.#ticks.set(tick, [one]);
  }

  /** All that are due by now. What they add for now is called at the next turn. */
  run(nowMs: number, call: (one: T) => void): void {
    for (; this.#next * this.tickMs <= nowMs; this.#next++) {
      const due = this.#ticks.get(this.#next);
      this.#ticks.delete(this.#next);
      due?.forEach(call);
    }
  }

  async wait(): Promise<void> {
    const ms = Math.max(0, this.#next * this.tickMs - performance.now());
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
}
