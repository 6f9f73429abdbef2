/**
 * One POST: frames from the outbox go out, and what is acknowledged leaves it. Live, the body stays
 * open, and acknowledgements come back while it does. Short, the body is what waits now, and the
 * status answers for all of it.
 */
import { Buffer } from "node:buffer";
import { TextLineStream } from "@std/streams";
import { parseAck } from "../shared/acks.ts";
import { parseRetryAfter } from "../shared/backoff.ts";
import { limits } from "../shared/limits.ts";
import type { Frame } from "./encoder.ts";
import type { Outbox } from "./outbox.ts";
import { Sent } from "./sent.ts";

export interface Clock {
  /** Unix time in milliseconds. It may be set while we run: by years, at the first time sync. */
  nowMs: () => number;
  /** Milliseconds since some moment, for intervals; nobody sets it. */
  monotonicMs: () => number;
  sleep: (ms: number) => Promise<void>;
}

export interface PostOptions {
  url: string;
  headers: Record<string, string>;
  outbox: Outbox;
  /** A frame with a clock sync record: made anew for each POST and each heartbeat. */
  syncFrame: () => Frame;
  acked: (frame: Frame) => void;
  /** The receiver has acknowledged something, be it a clock record. */
  heard?: () => void;
  /** Resolves when the wall clock was set or the machine slept: a clock record is due then. */
  clockJump?: (() => Promise<void>) | undefined;
  /** Sends nothing but a clock record before the receiver has answered: the last POST came to nothing. */
  knocks?: boolean;
  /** The receiver asks for another flush time. */
  flushMs: (ms: number) => void;
  clock: Clock;
  fetch: typeof fetch;
}

export type Outcome =
  /** All that was sent is durable. */
  | { kind: "done" }
  /** No network, or as good as that: try again later. `stalled`: sent, and never acknowledged. */
  | { kind: "failed"; why: string; stalled?: boolean; retryAfterMs?: number; serverMs?: number }
  /** This batch won't be taken, however often it is sent. */
  | { kind: "refused"; why: string };

/** About the batch; every other status is about the network. */
const refusalStatuses = new Set([400, 413, 415]);
const refusalCodes = /^(bad_header|bad_frame|frame_too_large|body_too_large|unsupported_encoding)$/;

/**
 * Keeps a POST open for `lengthMs`, or until the outbox has ended and is sent; of mode `bulk` until all
 * that waits is sent.
 */
export async function livePost(
  options: PostOptions,
  lengthMs: number,
  mode: "live" | "bulk" = "live",
): Promise<Outcome> {
  const { clock, outbox } = options;
  const sent = new Sent(outbox, options.acked, clock.monotonicMs, options.heard);
  const cut = new AbortController();
  const timeUp = clock.sleep(lengthMs);
  const answered = Promise.withResolvers<void>();
  // A proxy may keep the answer back.
  const letIn = options.knocks
    ? Promise.race([answered.promise, clock.sleep(limits.knockMs)])
    : undefined;
  const body = liveBody(options, { sent, timeUp, letIn }, cut.signal, mode);
  void cutWhenStalled(sent, cut, clock);
  try {
    const response = await send(options, body, "live", mode, cut.signal);
    if (response.status !== 200) return await statusOutcome(response, clock);
    answered.resolve();
    return await readAcks(response, sent, options);
  } catch (error) {
    return { kind: "failed", why: (error as Error).message, stalled: sent.stalled };
  } finally {
    cut.abort();
    outbox.inFlight = 0;
  }
}

/** Sends at most `framesMax` of what waits now. */
export async function shortPost(options: PostOptions, framesMax: number): Promise<Outcome> {
  const { clock, outbox } = options;
  const sent = new Sent(outbox, options.acked, clock.monotonicMs, options.heard);
  const cut = new AbortController();
  const parts = [sent.sendOnce(options.syncFrame())];
  while (sent.next && parts.length <= framesMax) parts.push(sent.sendNext());
  void cutWhenStalled(sent, cut, clock);
  try {
    const response = await send(options, Buffer.concat(parts), "end", "live", cut.signal);
    if (response.status !== 200) return await statusOutcome(response, clock);
    // A captive portal says 200 to everything: only a receiver's own word moves the checkpoint.
    const line = parseAck(await response.text());
    sent.ack(line?.acked ?? 0);
    if (sent.waiting === 0) return { kind: "done" };
    return { kind: "failed", why: "the answer isn't one of a receiver" };
  } catch (error) {
    return { kind: "failed", why: (error as Error).message, stalled: sent.stalled };
  } finally {
    cut.abort();
    outbox.inFlight = 0;
  }
}

/** The body of a live POST: a clock record first and at each heartbeat, frames as they come. */
function liveBody(
  { outbox, syncFrame, clock, clockJump }: PostOptions,
  { sent, timeUp, letIn }: { sent: Sent; timeUp: Promise<void>; letIn: Promise<void> | undefined },
  cut: AbortSignal,
  mode: "live" | "bulk",
): ReadableStream<Uint8Array> {
  let over = false;
  let syncDue = true;
  let waits = letIn;
  let beat = Promise.resolve();
  void timeUp.then(() => over = true);
  const startBeat = () => {
    syncDue = false;
    const due = Promise.race([
      clock.sleep(limits.heartbeatMs),
      ...(clockJump ? [clockJump()] : []),
    ]);
    beat = due.then(() => void (syncDue = true));
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      for (;;) {
        const sentAll = !sent.next && !syncDue;
        if (cut.aborted || over || (sentAll && (outbox.ended || mode === "bulk"))) {
          return controller.close();
        }
        if (syncDue) {
          startBeat();
          return controller.enqueue(sent.sendOnce(syncFrame()));
        }
        if (waits) {
          // A backlog that is sent to a receiver that has no room costs both, and comes to nothing.
          await waits;
          waits = undefined;
          continue;
        }
        if (sent.next) return controller.enqueue(sent.sendNext());
        await Promise.race([outbox.changed(), timeUp, beat]);
      }
    },
  }, { highWaterMark: 0 });
}

/** A server that froze gives no event of its own. */
async function cutWhenStalled(sent: Sent, cut: AbortController, clock: Clock): Promise<void> {
  while (!cut.signal.aborted) {
    await clock.sleep(1_000);
    if (sent.stalled) cut.abort(new Error("no acknowledgement came"));
  }
}

function send(
  options: PostOptions,
  body: BodyInit,
  ack: "live" | "end",
  mode: "live" | "bulk",
  signal: AbortSignal,
): Promise<Response> {
  const headers = {
    ...options.headers,
    "Content-Encoding": "zstd",
    "Logmill-Mode": mode,
    "Logmill-Ack": ack,
  };
  // `duplex` is what the standard asks for with a streamed body; the types don't know it yet.
  const init = { method: "POST", headers, body, signal, duplex: "half" };
  return options.fetch(options.url, init as RequestInit);
}

async function readAcks(response: Response, sent: Sent, options: PostOptions): Promise<Outcome> {
  const lines = response.body!
    .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .pipeThrough(new TextLineStream());
  for await (const text of lines) {
    const line = parseAck(text);
    if (!line) return { kind: "failed", why: "the answer isn't one of a receiver", stalled: true };
    sent.ack(line.acked);
    if (line.flush_ms !== undefined) options.flushMs(line.flush_ms);
    if (line.done) return { kind: "done" };
    if (line.error === undefined) continue;
    return { kind: refusalCodes.test(line.error) ? "refused" : "failed", why: line.error };
  }
  return { kind: "failed", why: "the answer ended early" };
}

async function statusOutcome(response: Response, clock: Clock): Promise<Outcome> {
  const text = (await response.text()).slice(0, 300).split("\n", 1)[0]!;
  const why = `${response.status} ${text}`;
  if (refusalStatuses.has(response.status)) return { kind: "refused", why };
  const outcome: Outcome = { kind: "failed", why };
  const retryAfterMs = parseRetryAfter(response.headers.get("Retry-After"), clock.nowMs());
  if (retryAfterMs !== undefined) outcome.retryAfterMs = retryAfterMs;
  const serverMs = Date.parse(response.headers.get("Date") ?? "");
  if (response.status === 401 && !Number.isNaN(serverMs)) outcome.serverMs = serverMs;
  return outcome;
}
