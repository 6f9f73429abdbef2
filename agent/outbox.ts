/**
 * Frames that are not acknowledged yet, oldest first: what the encoder puts in, each POST sends from
 * the oldest on, and what is acknowledged leaves. In an outage it is the spool, and it is bounded.
 *
 * What goes first when there is no room:
 *
 * | part | how much | fate |
 * |------|----------|------|
 * | on its way | whatever a POST has sent | kept until the POST ends |
 * | before the outage, and its beginning | the oldest, to half of the room | kept |
 * | the middle | what is behind those | evicted, oldest first; one gap record stands there |
 * | the newest | the other half | kept |
 */
import { limits } from "../shared/limits.ts";
import { gapRecord, type LogRecord } from "../shared/record.ts";
import { type Frame, frameOf } from "./encoder.ts";

/** What a frame takes beside its bytes: objects, buffers. Measured as some 400 bytes. */
const frameOverheadBytes = 400;
/** Gap records that evicted frames had in them and that are said again; beyond it, the oldest go. */
const gapsKeptMax = 100;

export interface OutboxOptions {
  bytesMax?: number;
  /** The kernel's clock, for gap records. */
  kernelUs?: () => number;
  /** Told of the ordinary records that were evicted. */
  evicted?: (records: number) => void;
}

interface Evicted {
  first: number;
  last: number;
  count: number;
  gaps: LogRecord[];
}

export class Outbox {
  readonly #bytesMax: number;
  readonly #options: OutboxOptions;
  #frames: Frame[] = [];
  #bytes = 0;
  #ended = false;
  #wake = Promise.withResolvers<void>();
  /** The frames that stand for evicted ones, and what they stand for. */
  readonly #evicted = new WeakMap<Frame, Evicted>();
  /** How many of the oldest frames a POST has sent: they must stay where they are. */
  inFlight = 0;

  constructor(options: OutboxOptions = {}) {
    this.#options = options;
    this.#bytesMax = options.bytesMax ?? limits.spoolBytesMax;
  }

  /** All unacknowledged frames, oldest first. */
  get frames(): readonly Frame[] {
    return this.#frames;
  }

  /** Memory that they take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Decoded text in them. */
  get textBytes(): number {
    return this.#frames.reduce((sum, frame) => sum + frame.decodedBytes, 0);
  }

  /** No frame will be added. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Another read of the source may not fit. */
  get full(): boolean {
    return this.#bytes > this.#bytesMax - 2 * limits.flushBytes;
  }

  /** Something can be evicted to make room. */
  get evictable(): boolean {
    return this.#middle() < this.#frames.length - 1;
  }

  /** Resolves at the next change: a frame more, a frame less, or the end. */
  changed(): Promise<void> {
    return this.#wake.promise;
  }

  /** Adds a frame. Where there is no room for it, the middle goes. */
  push(frame: Frame): void {
    this.#frames.push(frame);
    this.#bytes += sizeOf(frame);
    while (this.#bytes > this.#bytesMax && this.evictable) this.#evict();
    this.#notify();
  }

  /** Takes the oldest frame away: it is acknowledged. */
  shift(): Frame {
    const frame = this.#frames.shift()!;
    this.#bytes -= sizeOf(frame);
    this.#notify();
    return frame;
  }

  /** Puts another frame in the place of the oldest, which is refused for good. */
  replaceOldest(frame: Frame): void {
    this.#replace(0, 1, frame);
  }

  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /** Where the middle begins. */
  #middle(): number {
    let at = 0;
    for (let bytes = 0; at < this.#frames.length; at++) {
      bytes += sizeOf(this.#frames[at]!);
      if (at >= this.inFlight && bytes > this.#bytesMax / 2) break;
    }
    // The gap of what went before is where the next one goes: a small frame may have come between.
    let near = at;
    for (let i = at - 1, bytes = 0; i >= this.inFlight && bytes < this.#bytesMax / 8; i--) {
      bytes += sizeOf(this.#frames[i]!);
      if (this.#evicted.has(this.#frames[i]!)) near = i;
    }
    return near;
  }

  #evict(): void {
    const at = this.#middle();
    const known = this.#evicted.get(this.#frames[at]!);
    const victim = this.#frames[known ? at + 1 : at]!;
    const { range = { first: Infinity, last: -1, count: 0 }, gaps } = victim;
    const whole = join(known, this.#evicted.get(victim) ?? { ...range, gaps });
    this.#options.evicted?.(victim.range?.count ?? 0);
    const gap = this.#gapFrame(whole);
    this.#replace(at, known ? 2 : 1, gap);
    this.#evicted.set(gap, whole);
  }

  /** One gap for all of it, behind those that the evicted frames had in them. */
  #gapFrame({ first, last, count, gaps }: Evicted): Frame {
    if (count === 0) return frameOf(...gaps);
    const usec = this.#options.kernelUs?.() ?? 0;
    return frameOf(...gaps, gapRecord(last + 1, usec, { first, last, count, cause: "evicted" }));
  }

  #replace(at: number, count: number, frame: Frame): void {
    const removed = this.#frames.splice(at, count, frame);
    for (const { bytes } of removed) this.#bytes -= bytes.length + frameOverheadBytes;
    this.#bytes += sizeOf(frame);
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }
}

function join(a: Evicted | undefined, b: Evicted): Evicted {
  if (!a) return b;
  return {
    first: Math.min(a.first, b.first),
    last: Math.max(a.last, b.last),
    count: a.count + b.count,
    gaps: [...a.gaps, ...b.gaps].slice(-gapsKeptMax),
  };
}

function sizeOf(frame: Frame): number {
  return frame.bytes.length + frameOverheadBytes;
}
