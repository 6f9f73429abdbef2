/**
 * Takes one stream's frames to a receiver, for as long as it takes: POST after POST, live while that
 * works, short ones for a while where it doesn't. Any failure is "no network now".
 */
import { jittered, retryDelayMs } from "../shared/backoff.ts";
import { limits } from "../shared/limits.ts";
import { gapRecord, syncRecord } from "../shared/record.ts";
import { type Frame, frameOf } from "./encoder.ts";
import type { Outbox } from "./outbox.ts";
import { type Clock, livePost, type Outcome, type PostOptions, shortPost } from "./post.ts";
import type { StreamNames } from "./source.ts";
import type { SourceStatus } from "./status.ts";

/** Some 4 MiB of text; more would only make one answer stand for more. */
const shortPostFramesMax = 64;

export interface UploaderOptions {
  /** Receivers' URLs without a path; the next one is tried after a failure. */
  receivers: string[];
  /** Signs a token that is good at this Unix time in milliseconds. */
  token: (nowMs: number) => Promise<string>;
  names: StreamNames;
  outbox: Outbox;
  /** Told of each frame that became durable, in order. */
  acked: (frame: Frame) => void;
  flushMs: (ms: number) => void;
  /** The kernel's clock and the wall's, and whether that is synchronised. */
  kernelUs: () => number;
  wallSynced: () => boolean;
  /** Milliseconds between uploads in place of a live stream; undefined: live. */
  intervalMs?: number | undefined;
  /** Resolves when the wall clock was set, or the machine slept. */
  clockJump?: (() => Promise<void>) | undefined;
  /** Takes a batch that is refused for good; its text is compressed. */
  setAside?: ((frame: Frame) => void) | undefined;
  status?: Pick<SourceStatus, "using" | "failed" | "recovered"> | undefined;
  /** Told of changes of state only, never of each try. Not to be shipped: it would feed itself. */
  report: (text: string) => void;
  clock: Clock;
  random: () => number;
  fetch: typeof fetch;
}

export class Uploader {
  /** The one that worked last; a failure moves it on. */
  #receiver = 0;
  #failures = 0;
  #refusals = 0;
  /** The receiver found a live stream too fast: the next one says that it is a bulk one. */
  #tooFast = false;
  #failedSinceMs: number | undefined;
  /** Until then short POSTs are used: something on the way doesn't let answers through early. */
  #shortUntilMs = -Infinity;
  /** How far the device's clock is off, as far as tokens are concerned. */
  #skewMs = 0;
  #lastSeq = -1;
  #onOtherSinceMs = 0;
  #wake = () => {};

  constructor(private readonly options: UploaderOptions) {}

  /** How long nothing could be sent; 0 while all is well. */
  get offlineMs(): number {
    if (this.#failedSinceMs === undefined) return 0;
    return Math.max(1, this.options.clock.monotonicMs() - this.#failedSinceMs);
  }

  /** Ends a wait: the network may be back, or somebody wants the logs now. */
  wake(): void {
    this.#wake();
  }

  /** Returns when the outbox has ended and all of it is acknowledged. */
  async run(): Promise<void> {
    const { outbox, clock } = this.options;
    while (!outbox.ended || outbox.frames.length > 0) {
      const startMs = clock.monotonicMs();
      const outcome = await this.#post();
      // An idle stream that was fine for a while and was cut then: a new failure, not one more.
      const lasted = clock.monotonicMs() - startMs > limits.settledMs;
      if (lasted && outcome.kind === "failed" && !outcome.stalled) this.#failures = 0;
      if (outcome.kind === "done") this.#succeeded();
      else await this.#failed(outcome);
    }
  }

  async #post(): Promise<Outcome> {
    const { clock, random, outbox, intervalMs } = this.options;
    const options = await this.#postOptions();
    // One that is refused is sent alone, so that the refusal is about it.
    if (this.#refusals > 0) return await shortPost(options, 1);
    const live = intervalMs === undefined && clock.monotonicMs() >= this.#shortUntilMs;
    const length = jittered(limits.postMsMin, limits.postMsMax, random);
    if (live) {
      const mode = this.#tooFast || outbox.textBytes > limits.bulkBytes ? "bulk" : "live";
      this.#tooFast = false;
      return await livePost(options, length, mode);
    }
    // After a failure the back-off was wait enough.
    if (this.#failures === 0) await this.#gather();
    // A link too slow for all of it within the acknowledgement's time-out gets less and less.
    return await shortPost(options, Math.max(1, shortPostFramesMax >> this.#failures));
  }

  /** Each short POST costs a request: lines gather for a while. */
  async #gather(): Promise<void> {
    const { clock, random, outbox, intervalMs } = this.options;
    if (intervalMs !== undefined) {
      const wait = this.#nap(jittered(0.9 * intervalMs, 1.1 * intervalMs, random));
      return void await Promise.race([wait, this.#ended()]);
    }
    if (outbox.frames.length === 0 && !outbox.ended) {
      await Promise.race([outbox.changed(), clock.sleep(limits.heartbeatMs)]);
    }
    if (!outbox.ended) await clock.sleep(jittered(500, 1500, random));
  }

  async #ended(): Promise<void> {
    while (!this.options.outbox.ended) await this.options.outbox.changed();
  }

  async #postOptions(): Promise<PostOptions> {
    const { receivers, token, names, outbox, clock } = this.options;
    const url = receivers[this.#chooseReceiver()]!;
    this.options.status?.using(url);
    return {
      url: new URL("/v1/logs", url).href,
      headers: {
        "Authorization": `Bearer ${await token(clock.nowMs() + this.#skewMs)}`,
        "Logmill-Boot": names.boot,
        "Logmill-Source": names.source,
        "Logmill-Stream": names.stream,
      },
      outbox,
      syncFrame: () => this.#syncFrame(),
      acked: (frame) => {
        this.#lastSeq = frame.range?.last ?? this.#lastSeq;
        this.#succeeded();
        this.options.acked(frame);
      },
      heard: () => this.#online(),
      knocks: this.#failures > 0,
      flushMs: this.options.flushMs,
      clockJump: this.options.clockJump,
      clock,
      fetch: this.options.fetch,
    };
  }

  /** The first of the list is the one that is wanted: after a while on another it is tried again. */
  #chooseReceiver(): number {
    const { receivers, clock } = this.options;
    const other = this.#receiver % receivers.length !== 0;
    if (!other || this.#failures > 0) this.#onOtherSinceMs = clock.monotonicMs();
    else if (clock.monotonicMs() - this.#onOtherSinceMs > limits.firstAgainMs) this.#receiver = 0;
    return this.#receiver % receivers.length;
  }

  #syncFrame(): Frame {
    const { clock, kernelUs, wallSynced, names } = this.options;
    // An empty one is a sign of life, too.
    if (names.over) return frameOf();
    const sync = { wallUs: Math.round(clock.nowMs() * 1000), synced: wallSynced() };
    return frameOf(syncRecord(this.#lastSeq + 1, kernelUs(), sync));
  }

  /** Something is durable, or all that there was: what failed before is over. */
  #succeeded(): void {
    this.#failures = this.#refusals = 0;
    this.#online();
  }

  /** A receiver has acknowledged something, be it a clock record. */
  #online(): void {
    this.options.status?.recovered();
    if (this.#failedSinceMs === undefined) return;
    const seconds = Math.round((this.options.clock.monotonicMs() - this.#failedSinceMs) / 1000);
    this.#failedSinceMs = undefined;
    this.options.report(`${this.options.names.source}: uploading again after ${seconds} s`);
  }

  async #failed(outcome: Exclude<Outcome, { kind: "done" }>): Promise<void> {
    const { clock, random, report, names } = this.options;
    this.#failures++;
    this.#receiver++;
    this.options.status?.failed(outcome.why);
    if (this.#failedSinceMs === undefined) {
      this.#failedSinceMs = clock.monotonicMs();
      report(`${names.source}: can't upload now: ${outcome.why}`);
    }
    if (outcome.kind === "refused") this.#refused(outcome.why);
    else {
      if (outcome.stalled) this.#shortUntilMs = clock.monotonicMs() + limits.shortPostsMs;
      this.#tooFast = outcome.why === "too_fast";
      if (outcome.serverMs !== undefined) this.#skewMs = outcome.serverMs - clock.nowMs();
    }
    const retryAfterMs = outcome.kind === "failed" ? outcome.retryAfterMs : undefined;
    const { backoffBaseMs: baseMs, intervalMs: capMs } = limits;
    await this.#nap(
      retryDelayMs({ failures: this.#failures, retryAfterMs, baseMs, capMs }, random),
    );
  }

  /** A wait that `wake` ends, and that the end of the source doesn't: it may have failed for long. */
  #nap(ms: number): Promise<void> {
    const woken = new Promise<void>((resolve) => this.#wake = resolve);
    return Promise.race([this.options.clock.sleep(ms), woken]);
  }

  /** After so many refusals a gap record takes the batch's place, and the rest goes on. */
  #refused(why: string): void {
    const { outbox, kernelUs, report } = this.options;
    const oldest = outbox.frames[0];
    // It was the clock record, or a gap alone, which can't be said in fewer words: no batch to blame.
    if (!oldest?.range) return void (this.#refusals = 1);
    if (++this.#refusals < limits.refusalsMax) return;
    this.#refusals = 0;
    const { first, last, count } = oldest.range;
    this.options.setAside?.(oldest);
    report(`records ${first} to ${last} are refused for good: ${why}`);
    const gap = gapRecord(first, kernelUs(), { first, last, count, cause: "refused" });
    outbox.replaceOldest(frameOf(...oldest.gaps, gap));
  }
}
