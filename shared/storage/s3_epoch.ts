/**
 * A receiver's own epoch on S3: frames in, objects out that are numbered without holes.
 *
 * A commit takes its numbers when it is called, and its PUTs run beside those of others; but it
 * settles in turn, and resolves only when its numbers and all before them are closed. A number is
 * closed once its object is there. One whose PUT is given up (time-out, refusal) is open: that PUT may
 * still arrive. It is closed by an empty object, put with `If-None-Match: *`: either that is stored, and
 * the late PUT fails for good, or the late PUT was first, and stands there as a repetition of what its
 * device sends again. Numbers are never used twice.
 *
 * A server that doesn't know `If-None-Match` replaces: then a late PUT may undo the empty object, or be
 * undone by it. Nobody was told that its data is stored, so either may be what readers get.
 */
import { Buffer } from "node:buffer";
import { endText } from "../block.ts";
import { limits } from "../limits.ts";
import { Semaphore } from "../semaphore.ts";
import { compressFrame } from "../zstd.ts";
import type { Bucket } from "./s3_bucket.ts";
import {
  type Committed,
  epochKey,
  type EpochName,
  type EpochWriter,
  formatCommitted,
  type Pace,
  segmentPath,
  StorageError,
} from "./storage.ts";

const empty = new Uint8Array();
const endFrame = compressFrame(Buffer.from(endText));

/** The object `committed` of an epoch that goes on: all numbers before this one are closed. */
export function closedBefore(segment: number): Uint8Array {
  return Buffer.from(formatCommitted({ segment, length: 0, ended: false }));
}

export function committedPath(name: EpochName): string {
  return `segments/${epochKey(name)}/committed`;
}

export class S3Epoch implements EpochWriter {
  readonly receiver: string;
  readonly epoch: string;
  readonly pace: Pace;
  readonly #puts = new Semaphore(limits.s3PutsMax, "PUTs");
  #next = 0;
  /** Numbers that were given up, and have no object as yet as far as is known. */
  readonly #open = new Set<number>();
  /** All numbers before it are closed; what `committed` says of that, and since when. */
  #closed = 0;
  #published = 0;
  #publishedMs: number;
  /** Those who were called before have settled. */
  #turn: Promise<void> = Promise.resolve();

  constructor(
    private readonly bucket: Bucket,
    name: EpochName,
    companyMs: number,
    private readonly nowMs: () => number,
  ) {
    this.receiver = name.receiver;
    this.epoch = name.epoch;
    this.#publishedMs = nowMs();
    this.pace = { companyMs, batchBytes: limits.s3BatchTextBytes, parallel: limits.s3CommitsMax };
  }

  commit(frames: Uint8Array[]): Promise<void> {
    return this.#store(packObjects(frames));
  }

  probe(): Promise<void> {
    const end = this.#next;
    return this.#inTurn(async () => {
      await this.#close(end);
      this.#closed = end;
      await this.#publish();
    });
  }

  /** The epoch's last object holds `#end` alone. */
  async close(): Promise<void> {
    await this.#store([endFrame]);
    const end: Committed = { segment: this.#next - 1, length: endFrame.length, ended: true };
    await this.#putCommitted(Buffer.from(formatCommitted(end)));
  }

  #store(objects: Uint8Array[]): Promise<void> {
    const first = this.#next;
    if (first + objects.length > limits.s3ObjectsMax) {
      const most = `an epoch has at most ${limits.s3ObjectsMax} objects`;
      return Promise.reject(new StorageError(`Cannot commit because ${most}: start again`));
    }
    this.#next += objects.length;
    const deadline = this.bucket.deadline();
    const stored = Promise.allSettled(
      objects.map((bytes, i) => this.#upload(first + i, bytes, deadline)),
    );
    const published = this.#publishNowAndThen();
    return this.#inTurn(async () => {
      for (const one of await stored) if (one.status === "rejected") throw one.reason;
      await this.#close(first);
      this.#closed = first + objects.length;
      await published;
    });
  }

  #inTurn(settle: () => Promise<void>): Promise<void> {
    const settled = this.#turn.then(settle);
    this.#turn = settled.catch(() => {});
    return settled;
  }

  async #upload(segment: number, bytes: Uint8Array, deadline: number): Promise<void> {
    const key = segmentPath({ ...this, segment });
    try {
      using _permit = await this.#puts.acquire();
      if (await this.bucket.put(key, bytes, { ifAbsent: true, deadline })) return;
      // An earlier try has arrived, whose answer was lost. That is looked at, not believed.
      const there = await this.bucket.get(key, 0, bytes.length + 1);
      if (Buffer.compare(there, bytes) === 0) return;
      throw new StorageError(`Cannot write ${this.bucket.url(key)}: something else is there`);
    } catch (error) {
      this.#open.add(segment);
      throw error;
    }
  }

  /** Closes what is open below `end`; throws if something stays open. */
  async #close(end: number): Promise<void> {
    const open = [...this.#open].filter((segment) => segment < end);
    const deadline = this.bucket.deadline();
    const closed = await Promise.allSettled(open.map(async (segment) => {
      using _permit = await this.#puts.acquire();
      // Whatever is there already closes it as well.
      const key = segmentPath({ ...this, segment });
      await this.bucket.put(key, empty, { ifAbsent: true, deadline });
      this.#open.delete(segment);
    }));
    for (const one of closed) if (one.status === "rejected") throw one.reason;
  }

  /** Only who reads from the beginning, once old segments are deleted, needs it: it may fail. */
  async #publishNowAndThen(): Promise<void> {
    const due = this.nowMs() - this.#publishedMs >= limits.s3CommittedMs;
    if (due && this.#closed > this.#published) await this.#publish().catch(() => {});
  }

  async #publish(): Promise<void> {
    const closed = this.#closed;
    await this.#putCommitted(closedBefore(closed));
    this.#published = closed;
    this.#publishedMs = this.nowMs();
  }

  /** One that comes late may replace a newer one: it says less, but nothing that isn't so. */
  async #putCommitted(bytes: Uint8Array): Promise<void> {
    await this.bucket.put(committedPath(this), bytes, { ifAbsent: false });
  }
}

/** Frames, in order, in as few objects as hold them; each ends with `#end`. */
export function packObjects(frames: Uint8Array[]): Uint8Array[] {
  const objects: Uint8Array[][] = [];
  let bytes = Infinity;
  for (const frame of frames) {
    if (bytes + frame.length > limits.s3ObjectBytesMax) {
      objects.push([]);
      bytes = endFrame.length;
    }
    objects.at(-1)!.push(frame);
    bytes += frame.length;
  }
  return objects.map((parts) => Buffer.concat([...parts, endFrame]));
}
