/**
 * Who may send, and how much at a time: an upload's sender and mode go in, an admitted stream comes
 * out, or a `Refusal`. A live stream that would have to wait is ended, for one that stalls holds
 * memory in the runtime; a bulk stream waits.
 *
 * | code       | status | what is full |
 * |------------|--------|--------------|
 * | busy       | 503    | slots of the mode, or the memory for text in flight |
 * | share      | 503    | this device's share: one bulk stream, `deviceStreamsMax` in all |
 * | storage    | 503    | nothing: the storage takes no writes now |
 * | too_fast   | 429    | a live stream that sends like a bulk one |
 * | too_slow   | 408    | a block that isn't whole after `blockMsMax` |
 * | age        | 503    | a live stream's time: it comes back, perhaps to another receiver |
 * | revoked, stopping | 503 | the device isn't allowed any more; the receiver ends |
 */
import type { Device } from "../shared/allowlist.ts";
import type { CommitQueue } from "../shared/commit_queue.ts";
import { limits } from "../shared/limits.ts";
import type { ReceiverBudget } from "../shared/limits/receiver_budget.ts";
import { type Permit, Semaphore } from "../shared/semaphore.ts";
import { Cut } from "./cut.ts";
import { Drain } from "./drain.ts";
import { Rate } from "./rate.ts";
import { TokenBucket } from "./token_bucket.ts";

export type Mode = "live" | "bulk";

export interface Sender {
  thumbprint: string;
  device: Device;
}

type RefusalCode = "busy" | "share" | "storage" | "too_fast" | "too_slow" | "age" | Ending;
type Ending = "revoked" | "stopping";

/** No room for this upload now; it says nothing about the data. */
export class Refusal extends Error {
  readonly status: 408 | 429 | 503;
  constructor(readonly code: RefusalCode) {
    super(`Cannot take this upload now: ${code}. Try again later.`);
    this.status = code === "too_fast" ? 429 : code === "too_slow" ? 408 : 503;
  }
}

/** What one device has open, and the bytes of its live streams' blocks that aren't whole yet. */
interface Share {
  live: number;
  bulk: number;
  heldBytes: number;
}

export interface AdmissionOptions {
  budget: ReceiverBudget;
  /** Bytes a second of one bulk stream. */
  bulkBytesPerSec: number;
  commits: Pick<CommitQueue, "problem" | "waitedMs">;
  /** How full the program's memory is: 1 is all that it may take. */
  memoryShare: () => number;
  nowMs: () => number;
  random: () => number;
}

export class Admission {
  /** In the order in which they came. */
  readonly #open: Record<Mode, Set<Stream>> = { live: new Set(), bulk: new Set() };
  readonly #shares = new Map<string, Share>();
  readonly #slots: Record<Mode, number>;
  readonly bytes: Record<Mode, Semaphore>;
  readonly #drain: Drain;
  /** Of streams that got on: something of theirs became durable. */
  readonly #started: Rate;
  /** Streams that have sent something, and of which nothing is durable yet. */
  #starting = 0;
  /** Live streams that found no slot since the last look. */
  #wanting = 0;
  #tight = false;
  #stopping = false;
  #shedMs = -Infinity;

  constructor(readonly options: AdmissionOptions) {
    const { budget, nowMs } = options;
    this.#slots = { live: budget.liveStreams, bulk: budget.bulkStreams };
    this.bytes = {
      live: new Semaphore(budget.liveBytes, "bytes in flight, live"),
      bulk: new Semaphore(budget.bulkBytes, "bytes in flight, bulk"),
    };
    this.#drain = new Drain(nowMs);
    this.#started = new Rate(nowMs);
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Memory for text in flight is getting short. */
  get short(): boolean {
    return this.bytes.live.available < this.bytes.live.permits / 2;
  }

  /** Streams that are open now. */
  open(mode: Mode): number {
    return this.#open[mode].size;
  }

  /** What stands against any upload of this mode, whoever sends it: costs next to nothing. */
  against(mode: Mode): RefusalCode | undefined {
    const { problem, waitedMs } = this.options.commits;
    if (this.#stopping) return "stopping";
    if (problem) return "storage";
    if (this.#tight) return "busy";
    if (this.#open[mode].size >= this.#slots[mode]) {
      if (mode === "live") this.#wanting++;
      return "busy";
    }
    // With a storage that takes twice as long as it should half as many may start; those that are open
    // send no more for that. Who waits too long for his first acknowledgement gives up, and sends
    // everything again.
    const share = Math.min(1, limits.slowCommitMs / Math.max(1, waitedMs));
    return this.#starting >= this.#startingMax * share ? "busy" : undefined;
  }

  /** Throws it. */
  assertRoom(mode: Mode): void {
    const code = this.against(mode);
    if (code) throw new Refusal(code);
  }

  /** Takes a slot, which the stream's dispose gives back. Throws `Refusal`. */
  admit(sender: Sender, mode: Mode, acksLive: boolean): Stream {
    this.assertRoom(mode);
    const { name } = sender.device;
    const share = this.#shares.get(name) ?? { live: 0, bulk: 0, heldBytes: 0 };
    if (mode === "bulk" && share.bulk > 0) throw new Refusal("share");
    if (share.live + share.bulk >= limits.deviceStreamsMax) throw new Refusal("share");
    share[mode]++;
    this.#shares.set(name, share);
    const stream = new Stream(this, sender, mode, acksLive, share, (change, gotOn) => {
      this.#starting += change;
      if (gotOn) this.#started.count();
    }, () => {
      this.#open[mode].delete(stream);
      if (--share[mode] === 0 && share.live + share.bulk === 0) this.#shares.delete(name);
    });
    this.#open[mode].add(stream);
    this.#drain.admitted();
    return stream;
  }

  /** When somebody who was refused just now should come back, in seconds. */
  retryAfterSec(): number {
    return this.#drain.retryAfterSec(this.options.random);
  }

  /** Ends the streams of devices that aren't allowed any more, with what they have sent. */
  cutRevoked(allowed: (thumbprint: string) => boolean): void {
    for (const stream of this.#all()) {
      if (!allowed(stream.sender.thumbprint)) stream.cut.abort(new Refusal("revoked"));
    }
  }

  /**
   * To be called about once a second: ends the streams that dribble or have stalled, and old ones.
   * Where others found no slot, as many are old sooner: more devices than slots take turns.
   */
  look(): void {
    for (const stream of this.#all()) stream.look();
    // What the runtime holds for streams that it can't read fast enough shows nowhere else.
    this.#tight = this.options.memoryShare() > 1;
    if (this.#tight) this.#endNewest(limits.turnShare);
    let left = Math.min(this.#wanting, Math.ceil(this.#open.live.size / limits.turnShare));
    this.#wanting = 0;
    for (const stream of this.#open.live) {
      if (stream.hurried && left-- > 0) stream.cut.abort(new Refusal("age"));
    }
  }

  /** Refuses what comes from now on and ends what is open; what was read of it is still committed. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const stream of this.#all()) stream.cut.abort(new Refusal("stopping"));
    while (this.open("live") + this.open("bulk") > 0) await new Promise((r) => setTimeout(r, 10));
  }

  /** Ends some of the newest live streams, so that the others may stay. */
  shed(): void {
    const nowMs = this.options.nowMs();
    if (nowMs - this.#shedMs < limits.shedMs) return;
    this.#shedMs = nowMs;
    this.#endNewest(limits.shedShare);
  }

  /** One in `share` of the live streams. */
  #endNewest(share: number): void {
    const hurried = [...this.#open.live].filter((stream) => stream.hurried);
    const newest = hurried.slice(-Math.ceil(hurried.length / share));
    for (const stream of newest) stream.cut.abort(new Refusal("busy"));
  }

  get #startingMax(): number {
    const { startingMs, startingStreamsMin, startingStreamsMax } = limits;
    const inTime = this.#started.perSec * startingMs / 1000;
    return Math.min(Math.max(inTime, startingStreamsMin), startingStreamsMax);
  }

  #all(): Stream[] {
    return [...this.#open.live, ...this.#open.bulk];
  }
}

/** One upload that was let in. */
export class Stream implements Disposable {
  /** Aborted with the reason for which the stream has to end. */
  readonly cut = new Cut();
  /** A live stream whose sender listens: it is told to come back rather than made to wait. */
  readonly hurried: boolean;
  readonly #rate: TokenBucket;
  readonly #endMs: number;
  /** When the first bytes came of a block that isn't whole yet, how many there are, and their room. */
  #pendingMs: number | undefined;
  #heldBytes = 0;
  #held: Permit | undefined;
  /** What has become of the first that it sends. */
  #first: "awaited" | "sent" | "durable" | "ended" = "awaited";
  readonly #release: () => void;

  constructor(
    private readonly admission: Admission,
    readonly sender: Sender,
    readonly mode: Mode,
    acksLive: boolean,
    private readonly share: Share,
    /** Counts it among those that wait for their first acknowledgement, or no longer; it may have got on. */
    private readonly starting: (change: 1 | -1, gotOn: boolean) => void,
    release: () => void,
  ) {
    const { nowMs, random, bulkBytesPerSec } = admission.options;
    this.hurried = acksLive && mode === "live";
    const perSec = this.hurried ? limits.liveBytesPerSec : bulkBytesPerSec;
    this.#rate = new TokenBucket(perSec, Math.max(perSec, limits.liveBurstBytes), nowMs);
    this.#endMs = this.hurried ? nowMs() + limits.streamAgeMs * (1 + random()) : Infinity;
    this.#release = once(release);
  }

  /** To be called for each chunk of the body, before its blocks. */
  chunk(bytes: number): void {
    if (this.#first === "awaited") this.#become("sent");
    this.#pendingMs ??= this.admission.options.nowMs();
    this.#hold(this.#heldBytes + bytes);
  }

  /** To be called when some of it is durable. */
  started(): void {
    this.#become("durable");
  }

  /** Ends a stream whose block isn't whole in time, or which is old. */
  look(): void {
    const nowMs = this.admission.options.nowMs();
    const pendingMs = nowMs - (this.#pendingMs ?? nowMs);
    if (pendingMs > limits.blockMsMax) this.cut.abort(new Refusal("too_slow"));
    else if (nowMs > this.#endMs) this.cut.abort(new Refusal("age"));
  }

  /** Room for a whole block, until it is durable. Throws `Refusal`, or why the stream was cut. */
  room(bytes: number): Permit | Promise<Permit> {
    this.#pendingMs = undefined;
    this.#hold(0);
    const inFlight = this.admission.bytes[this.mode];
    const waitMs = this.#rate.take(bytes);
    if (!this.hurried) {
      return (waitMs > 0 ? undefined : inFlight.tryAcquire(bytes)) ?? this.#wait(bytes, waitMs);
    }
    if (waitMs > 0) throw new Refusal("too_fast");
    if (inFlight.available < inFlight.permits / 4) this.admission.shed();
    const permit = inFlight.tryAcquire(bytes);
    if (!permit) throw new Refusal("busy");
    return permit;
  }

  async #wait(bytes: number, ms: number): Promise<Permit> {
    if (ms > 0) await cuttableSleep(ms, this.cut.signal);
    return await this.admission.bytes[this.mode].acquire(bytes, this.cut.signal);
  }

  [Symbol.dispose](): void {
    this.#become("ended");
    this.#hold(0);
    this.#release();
  }

  #become(first: "sent" | "durable" | "ended"): void {
    const [was, is] = [this.#first === "sent", first === "sent"];
    this.#first = first;
    if (was !== is) this.starting(is ? 1 : -1, first === "durable");
  }

  /**
   * A block that isn't whole takes memory as well. A bulk stream's has its place in `bulkStreamBytes`, a
   * short one in `liveStreamBytes`; what is longer takes room among the text in flight, and one device
   * can't take all of that.
   */
  #hold(bytes: number): void {
    if (this.mode === "bulk") return;
    this.share.heldBytes += bytes - this.#heldBytes;
    this.#heldBytes = bytes;
    this.#held?.release();
    this.#held = undefined;
    if (bytes <= limits.liveStreamBytes) return;
    const tooMuch = this.share.heldBytes > limits.deviceHeldBytesMax;
    if (!tooMuch) this.#held = this.admission.bytes.live.tryAcquire(bytes);
    if (tooMuch) this.cut.abort(new Refusal("share"));
    else if (!this.#held && this.hurried) this.cut.abort(new Refusal("busy"));
  }
}

function cuttableSleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const giveUp = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", giveUp);
      resolve();
    }, ms);
    signal.addEventListener("abort", giveUp, { once: true });
  });
}

function once(call: () => void): () => void {
  let called = false;
  return () => {
    if (called) return;
    called = true;
    call();
  };
}
