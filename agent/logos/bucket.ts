/**
 * How much one program may log: the cost of each line in, whether it may be written out, and words for
 * the log where lines are dropped.
 *
 * | bucket | holds at most | fills in | an empty one |
 * |--------|---------------|----------|--------------|
 * | burst  | BURST / 2: two uploads' worth must fit the kernel's ring | 300 s | drops the line |
 * | daily  | DAY           | 86,400 s | drops the line |
 * | notice | BURST / 2     | as fast as daily | only says that this can't go on |
 *
 * All begin half full, since programs say much when they start. A line that doesn't fit empties the
 * bucket and begins an *episode*: until it ends the bucket is filled only at long intervals, so that
 * there are few long gaps rather than many short ones. Each dropped line is counted once, in the
 * episode of the first bucket that was too empty for it. What a bucket says itself costs nothing.
 *
 * Buckets, sizes and words are those of Google Fiber's cmds/logos.c; the rule `logos_dropped` reads
 * the words.
 */
import assert from "node:assert/strict";

/** What the kernel's ring must hold of one program between uploads; ten may go wild in 10 MB. */
export const burstBytesDefault = 1_000_000;
/** A twentieth of the 100 MB that a device was allowed. */
export const dayBytesDefault = 5_000_000;
const burstPeriodMs = 300_000;
const dayPeriodMs = 86_400_000;
/** Less would fill by less than one byte a second. */
export const burstBytesMin = 600;
export const dayBytesMin = 86_400;

/** How long the first episode's bucket waits for each filling; each episode waits twice as long ... */
const episodeWaitMs = 5_000;
/** ... up to this. */
const episodeWaitMsMax = 120_000;

interface BucketOptions {
  bytesMax: number;
  bytesPerMs: number;
  begins: (bytesPerSecond: number) => string;
  ends: (dropped: number) => string;
}

class Bucket {
  #bytes: number;
  #filledMs: number;
  #waitMs = episodeWaitMs / 2;
  /** Lines dropped in this episode; 0 outside of one. */
  #dropped = 0;
  /** What the last dropped line would have cost. */
  #wantedBytes = 0;

  constructor(private readonly options: BucketOptions, nowMs: number) {
    this.#bytes = options.bytesMax / 2;
    this.#filledMs = nowMs;
  }

  /** Half full again. */
  reset(nowMs: number): void {
    this.#bytes = this.options.bytesMax / 2;
    this.#filledMs = nowMs;
  }

  hasRoom(cost: number, nowMs: number): boolean {
    const passedMs = nowMs - this.#filledMs;
    if (this.#dropped === 0 || passedMs >= this.#waitMs) {
      const { bytesMax, bytesPerMs } = this.options;
      this.#bytes = Math.min(bytesMax, this.#bytes + passedMs * bytesPerMs);
      this.#filledMs = nowMs;
    }
    return this.#bytes >= cost;
  }

  /** There may never be room for a line larger than the bucket: then a full one is enough. */
  hasRoomForWanted(nowMs: number): boolean {
    return this.hasRoom(Math.min(this.#wantedBytes, this.options.bytesMax), nowMs);
  }

  take(cost: number): void {
    this.#bytes -= cost;
  }

  drop(cost: number, say: (text: string) => void): void {
    if (this.#dropped === 0) {
      this.#bytes = 0;
      this.#waitMs = Math.min(episodeWaitMsMax, this.#waitMs * 2);
      say(this.options.begins(Math.floor(this.options.bytesPerMs * 1000)));
    }
    this.#dropped++;
    this.#wantedBytes = cost;
  }

  endEpisode(say: (text: string) => void): void {
    if (this.#dropped === 0) return;
    say(this.options.ends(this.#dropped));
    this.#dropped = 0;
  }
}

export interface RateLimitOptions {
  burstBytes: number;
  dayBytes: number;
  /** A clock that never goes back. */
  nowMs: () => number;
  /** Takes a line for the log, which is written whatever the limits are. */
  say: (text: string) => void;
}

export class RateLimit {
  readonly #burst: Bucket;
  readonly #daily: Bucket;
  readonly #notice: Bucket;
  #isLifted = false;

  constructor(private readonly options: RateLimitOptions) {
    const { burstBytes, dayBytes } = options;
    assert(burstBytes >= burstBytesMin && dayBytes >= dayBytesMin, "limits are at their minimum");
    const bytesMax = Math.floor(burstBytes / 2);
    const nowMs = options.nowMs();
    this.#burst = new Bucket({
      bytesMax,
      bytesPerMs: bytesMax / burstPeriodMs,
      begins: (rate) =>
        `W: burst limit: dropping messages to prevent overflow (${rate} bytes/sec).`,
      ends: (dropped) => `W: burst limit: ${dropped} messages were dropped.`,
    }, nowMs);
    this.#daily = new Bucket({
      bytesMax: dayBytes,
      bytesPerMs: dayBytes / dayPeriodMs,
      begins: (rate) => `W: daily limit: dropping messages (${rate} bytes/sec).`,
      ends: (dropped) => `W: daily limit: ${dropped} messages were dropped.`,
    }, nowMs);
    this.#notice = new Bucket({
      bytesMax,
      bytesPerMs: dayBytes / dayPeriodMs,
      begins: (rate) => `I: burst notice: this log rate is unsustainable (${rate} bytes/sec).`,
      ends: (dropped) => `I: burst notice: ${dropped} messages would have been dropped.`,
    }, nowMs);
  }

  /** Whether a line of `cost` bytes may be written. It is paid for if it may. */
  admit(cost: number): boolean {
    if (this.#isLifted) return true;
    if (!this.#pass(this.#burst, cost) || !this.#pass(this.#daily, cost)) return false;
    this.#burst.take(cost);
    this.#daily.take(cost);
    if (this.#pass(this.#notice, cost)) this.#notice.take(cost);
    return true;
  }

  /** To be called now and then: says what was dropped where the program has fallen silent since. */
  tick(): void {
    const nowMs = this.options.nowMs();
    for (const bucket of this.#all()) {
      if (bucket.hasRoomForWanted(nowMs)) bucket.endEpisode(this.options.say);
    }
  }

  /** Makes the buckets half full, as at the start. */
  refill(): void {
    const nowMs = this.options.nowMs();
    for (const bucket of this.#all()) bucket.reset(nowMs);
    this.tick();
  }

  lift(): void {
    if (this.#isLifted) return;
    this.#isLifted = true;
    this.end();
    this.options.say("W: SIGUSR1: rate limit disabled.");
  }

  restore(): void {
    if (!this.#isLifted) return;
    this.#isLifted = false;
    this.refill();
    this.options.say("W: SIGUSR2: rate limit re-enabled.");
  }

  /** There will be no more lines: says what was dropped. */
  end(): void {
    for (const bucket of this.#all()) bucket.endEpisode(this.options.say);
  }

  #pass(bucket: Bucket, cost: number): boolean {
    const hasRoom = bucket.hasRoom(cost, this.options.nowMs());
    if (hasRoom) bucket.endEpisode(this.options.say);
    else bucket.drop(cost, this.options.say);
    return hasRoom;
  }

  #all(): Bucket[] {
    return [this.#burst, this.#daily, this.#notice];
  }
}
