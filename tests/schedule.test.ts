import { expect, test } from "bun:test";
import { frameOf } from "../agent/encoder.ts";
import { Outbox } from "../agent/outbox.ts";
import type { Clock } from "../agent/post.ts";
import { Uploader } from "../agent/uploader.ts";
import { formatAck } from "../shared/acks.ts";
import { limits } from "../shared/limits.ts";
import { readUploadFrame } from "../shared/upload.ts";
import { walkFrame } from "../shared/zstd.ts";
import { ordinary } from "./fixtures.ts";
import { seededRandom } from "./fleet/random.ts";

const agents = 2_000;
const intervalMs = limits.intervalMs;
const windowMs = 2_000;

/** A clock for thousands of sleepers: time goes from one waking to the next. */
class Timeline implements Clock {
  #nowMs = 0;
  /** A binary heap, by time. */
  readonly #heap: Array<{ atMs: number; wake: () => void }> = [];

  nowMs = () => Date.UTC(2026, 10, 22) + this.#nowMs;
  monotonicMs = () => this.#nowMs;
  sleep = (ms: number) =>
    new Promise<void>((wake) => this.#insert({ atMs: this.#nowMs + ms, wake }));

  async runTo(untilMs: number): Promise<void> {
    await new Promise((next) => setImmediate(next));
    while (this.#heap.length > 0 && this.#heap[0]!.atMs <= untilMs) {
      const { atMs, wake } = this.#takeFirst();
      this.#nowMs = atMs;
      wake();
      // What wakes up runs to its next sleep.
      await new Promise((next) => setImmediate(next));
    }
    this.#nowMs = untilMs;
  }

  #insert(sleeper: { atMs: number; wake: () => void }): void {
    const heap = this.#heap;
    let at = heap.push(sleeper) - 1;
    while (at > 0 && heap[(at - 1) >> 1]!.atMs > sleeper.atMs) {
      heap[at] = heap[(at - 1) >> 1]!;
      at = (at - 1) >> 1;
    }
    heap[at] = sleeper;
  }

  #takeFirst(): { atMs: number; wake: () => void } {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && heap[child + 1]!.atMs < heap[child]!.atMs) child++;
      if (heap[child]!.atMs >= last.atMs) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

/** All of a body's text, in bytes: what a receiver would acknowledge. */
function textBytes(body: Uint8Array): number {
  let bytes = 0;
  for (let at = 0; at < body.length;) {
    const walk = walkFrame(body, at);
    if (walk.kind !== "frame") throw new Error(walk.kind);
    bytes += readUploadFrame(body.subarray(at, at + walk.length)).decodedBytes;
    at += walk.length;
  }
  return bytes;
}

for (const outageMs of [90_000, 600_000]) {
  test(
    `${agents} agents that come back after ${outageMs / 1000} s don't come all at once`,
    async () => {
      const clock = new Timeline();
      const random = seededRandom(outageMs);
      const outageStartMs = 120_000;
      const backMs = outageStartMs + outageMs;
      const endMs = backMs + 4 * intervalMs;
      const uploads: number[] = [];
      const tries: number[][] = [];

      const start = (agent: number) => {
        const outbox = new Outbox();
        const tried: number[] = tries[agent] = [];
        const network = (_url: unknown, init: RequestInit): Promise<Response> => {
          const nowMs = clock.monotonicMs();
          tried.push(nowMs);
          if (nowMs >= outageStartMs && nowMs < backMs) {
            return Promise.reject(new Error("no network"));
          }
          uploads.push(nowMs);
          outbox.push(frameOf(ordinary(tried.length)));
          return Promise.resolve(
            new Response(formatAck({ acked: textBytes(init.body as Buffer) })),
          );
        };
        void new Uploader({
          receivers: ["http://receiver"],
          token: () => Promise.resolve("token"),
          names: { boot: "b", source: "kmsg", stream: "b" },
          outbox,
          acked: () => {},
          flushMs: () => {},
          kernelUs: () => 0,
          wallSynced: () => true,
          intervalMs,
          report: () => {},
          clock,
          random,
          fetch: network as typeof fetch,
        }).run();
      };
      for (let agent = 0; agent < agents; agent++) start(agent);
      await clock.runTo(endMs);

      // No wait is longer than the normal interval, which is itself 60 s and up to a tenth more.
      for (const tried of tries) {
        for (let i = 1; i < tried.length; i++) {
          expect(tried[i]! - tried[i - 1]!).toBeLessThanOrEqual(1.1 * intervalMs);
        }
      }
      const evenShare = agents * windowMs / intervalMs;
      const counts = Array.from({ length: (endMs - backMs) / windowMs }, () => 0);
      for (const atMs of uploads) {
        if (atMs >= backMs) counts[Math.floor((atMs - backMs) / windowMs)]!++;
      }
      const most = Math.max(...counts) / evenShare;
      console.log(`the fullest 2 s after the outage: ${most.toFixed(2)} of the even share`);
      expect(uploads.filter((atMs) => atMs >= backMs).length).toBeGreaterThan(3 * agents);
      expect(most).toBeLessThan(2);
    },
    120_000,
  );
}
