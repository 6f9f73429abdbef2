/**
 * Frames on their way to other threads, and their digests on the way back, through shared memory:
 * slots that are used in turn. One thread puts frames in and takes digests out, in order; others claim
 * frames, each the oldest that nobody has claimed.
 *
 * | Int32 | meaning |
 * |-------|---------|
 * | 0 | frames that were put (both of these wrap around) |
 * | 1 | frames that were claimed |
 * | 2 | 1: there will be none any more |
 * | 3 | changes whenever somebody who waits for a frame should look again |
 * | 4 + 8 slot ... | state, bytes of the frame, bytes of its text, numbers and bytes of its digest |
 *
 * Behind them, for each slot: room for a frame, and for the numbers and then the bytes of a digest.
 */
import { Buffer } from "node:buffer";
import { limits } from "../../shared/limits.ts";
import type { StoredFrame } from "../../shared/segment_reader.ts";
import type { DigestWriter } from "./packed_digest.ts";

const putAt = 0;
const claimedAt = 1;
const endAt = 2;
const wakeAt = 3;
const slotsAt = 4;
const slotInts = 8;

/** Hundreds of times what a frame takes. */
const waitMs = 500;

/** What became of a frame. */
export const slotState = {
  waiting: 0,
  done: 1,
  /** It doesn't decode. */
  bad: 2,
  /** Its digest doesn't fit: whoever asks must make it himself. */
  tooLarge: 3,
} as const;
export type SlotState = typeof slotState[keyof typeof slotState];

const frameBytes = limits.uploadFrameBytesMax;
const slotBytes = frameBytes + limits.digestBytesMax;
const headBytes = 4 * (slotsAt + slotInts * limits.frameSlots);

export class FrameRing {
  readonly #ints: Int32Array;
  #copy: Buffer | undefined;

  /** The same memory in every thread. */
  constructor(readonly memory: SharedArrayBuffer = FrameRing.newMemory()) {
    this.#ints = new Int32Array(memory, 0, headBytes / 4);
  }

  static newMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(headBytes + limits.frameSlots * slotBytes);
  }

  static fits(frame: StoredFrame): boolean {
    return frame.bytes.length <= frameBytes;
  }

  /** Puts a frame into the next slot, which must be free, and returns the slot's number. */
  put({ bytes, textBytes }: StoredFrame): number {
    const ints = this.#ints;
    const slot = ints[putAt]! & (limits.frameSlots - 1);
    const at = slotsAt + slotInts * slot;
    ints[at] = slotState.waiting;
    ints[at + 1] = bytes.length;
    ints[at + 2] = textBytes;
    this.#room(slot, 0, bytes.length).set(bytes);
    Atomics.add(ints, putAt, 1);
    this.#wake(1);
    return slot;
  }

  /** Claims the oldest frame that is free; undefined if none is. */
  claim(): number | undefined {
    const ints = this.#ints;
    for (;;) {
      const claimed = Atomics.load(ints, claimedAt);
      if (claimed === Atomics.load(ints, putAt)) return undefined;
      const next = (claimed + 1) | 0;
      if (Atomics.compareExchange(ints, claimedAt, claimed, next) !== claimed) continue;
      return claimed & (limits.frameSlots - 1);
    }
  }

  /** The same, but waits for one; undefined at the end. Blocks the thread. */
  claimNext(): number | undefined {
    for (;;) {
      const wakes = Atomics.load(this.#ints, wakeAt);
      const slot = this.claim();
      if (slot !== undefined) return slot;
      if (Atomics.load(this.#ints, endAt) === 1) return undefined;
      Atomics.wait(this.#ints, wakeAt, wakes);
    }
  }

  /** A claimed frame, until the next one is asked for. Copied, since decoders don't take shared memory. */
  frame(slot: number): StoredFrame {
    const at = slotsAt + slotInts * slot;
    const length = this.#ints[at + 1]!;
    this.#copy ??= Buffer.from(new ArrayBuffer(frameBytes));
    this.#copy.set(this.#room(slot, 0, length));
    return { bytes: this.#copy.subarray(0, length), textBytes: this.#ints[at + 2]! };
  }

  finish(slot: number, digest: DigestWriter): void {
    const { length, byteLength } = digest;
    if (8 * length + byteLength > limits.digestBytesMax) {
      return this.fail(slot, slotState.tooLarge);
    }
    const at = slotsAt + slotInts * slot;
    this.#ints[at + 3] = length;
    this.#ints[at + 4] = byteLength;
    const numbers = digest.numbers.subarray(0, length);
    new Float64Array(this.memory, this.#place(slot, frameBytes), length).set(numbers);
    const bytes = digest.bytes.subarray(0, byteLength);
    this.#room(slot, frameBytes + 8 * length, byteLength).set(bytes);
    this.#settle(slot, slotState.done);
  }

  fail(slot: number, state: Exclude<SlotState, 0 | 1>): void {
    this.#settle(slot, state);
  }

  /** What has become of a frame by now. */
  state(slot: number): SlotState {
    return Atomics.load(this.#ints, slotsAt + slotInts * slot) as SlotState;
  }

  /** Blocks the thread until something has become of a frame; false if that takes too long. */
  wait(slot: number): boolean {
    const at = slotsAt + slotInts * slot;
    return Atomics.wait(this.#ints, at, slotState.waiting, waitMs) !== "timed-out";
  }

  /** The digest of a frame that is done. Valid until the slot is used again. */
  digest(slot: number): { numbers: Float64Array; bytes: Buffer } {
    const at = slotsAt + slotInts * slot;
    const length = this.#ints[at + 3]!;
    const numbers = new Float64Array(this.memory, this.#place(slot, frameBytes), length);
    return { numbers, bytes: this.#room(slot, frameBytes + 8 * length, this.#ints[at + 4]!) };
  }

  /** Whoever waits for a frame, or comes for one later, is told that there is none. */
  end(): void {
    Atomics.store(this.#ints, endAt, 1);
    this.#wake(Infinity);
  }

  #wake(threads: number): void {
    Atomics.add(this.#ints, wakeAt, 1);
    Atomics.notify(this.#ints, wakeAt, threads);
  }

  #settle(slot: number, state: SlotState): void {
    const at = slotsAt + slotInts * slot;
    Atomics.store(this.#ints, at, state);
    Atomics.notify(this.#ints, at);
  }

  #room(slot: number, offset: number, length: number): Buffer {
    return Buffer.from(this.memory, this.#place(slot, offset), length);
  }

  #place(slot: number, offset: number): number {
    return headBytes + slot * slotBytes + offset;
  }
}
