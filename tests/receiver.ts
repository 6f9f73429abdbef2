/** A receiver in the test's own process: its parts put together as in receiver/main.ts. */
import { Admission } from "../receiver/admission.ts";
import { type Parts, Receiver } from "../receiver/app.ts";
import { ReceiverMetrics } from "../receiver/receiver_metrics.ts";
import type { Device } from "../shared/allowlist.ts";
import { CommitQueue, type Sink } from "../shared/commit_queue.ts";
import { limits } from "../shared/limits.ts";
import { type ReceiverBudget, receiverBudget } from "../shared/limits/receiver_budget.ts";
import { TokenVerifier } from "../shared/token.ts";
import { decompressFrame } from "../shared/zstd.ts";

export interface ReceiverOptions {
  sink: Sink;
  allowed: (thumbprint: string) => Device | undefined;
  /** Who sends, if it isn't for a token to say. */
  identify?: Parts["identify"];
  /** What differs from the usual one. */
  budget?: Partial<ReceiverBudget>;
  bulkBytesPerSec?: number;
  flushMs?: () => number;
  /** Unix time, for tokens and blocks. */
  nowMs?: () => number;
  /** For intervals. */
  monotonicMs?: () => number;
  random?: () => number;
}

export function newReceiver(options: ReceiverOptions) {
  const { nowMs = Date.now, monotonicMs = () => performance.now(), random = Math.random } = options;
  const metrics = new ReceiverMetrics();
  const commits = new CommitQueue(options.sink, { committed: (c) => metrics.committed(c) });
  const budget = { ...receiverBudget(limits.receiverMemoryBytes), ...options.budget };
  const admission = new Admission({
    budget,
    bulkBytesPerSec: options.bulkBytesPerSec ?? limits.bulkBytesPerSec,
    commits,
    memoryShare: () => 0,
    nowMs: monotonicMs,
    random,
  });
  const tokens = new TokenVerifier({
    audience: "logmill",
    allowed: options.allowed,
    now: nowMs,
    cacheMax: 1_000,
  });
  const receiver = new Receiver({
    commits,
    identify: options.identify ?? ((headers) => tokens.verify(headers.get("Authorization"))),
    admission,
    metrics,
    decode: decompressFrame,
    flushMs: options.flushMs ?? (() => limits.flushMs),
    nowUs: () => nowMs() * 1000,
    random,
  });
  return { receiver, admission, commits, metrics, budget };
}
