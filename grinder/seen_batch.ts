/**
 * What one batch changes in what has been seen, as numbers: a hundred thousand streams change a little
 * all the time, and that little is what is saved with the batch.
 *
 * | column | of each change |
 * |--------|----------------|
 * | 0 | the stream's id; negative: of what is explained, not of what is stored |
 * | 1, 2 | the first and the last seq; none where the last is below the first |
 * | 3 | which of `frames` they are in, from 1; 0: not said |
 * | 4, 5 | the kernel's clock at the first and at the last record of it |
 */
import type { FramePlace } from "./place_list.ts";

export const columns = 6;

export class SeenBatch {
  /** Streams that are new: their ids and keys. */
  readonly streams: Array<[id: number, key: string]> = [];
  readonly frames: FramePlace[] = [];
  #numbers = new Float64Array(64 * columns);
  #length = 0;

  /** Of what it has room for before it must grow. */
  constructor(like?: SeenBatch) {
    if (like) this.#numbers = new Float64Array(Math.max(like.#length, this.#numbers.length));
  }

  /** Changes up to now. */
  get length(): number {
    return this.#length / columns;
  }

  get isEmpty(): boolean {
    return this.streams.length === 0 && this.#length === 0;
  }

  get changes(): Float64Array<ArrayBuffer> {
    return this.#numbers.subarray(0, this.#length);
  }

  /** Seqs that were new; `id` is negative where they are explained. */
  add(id: number, first: number, last: number): void {
    const numbers = this.#numbers;
    const at = this.#length - columns;
    // Record by record: one change for all of them.
    if (at >= 0 && numbers[at] === id && numbers[at + 2] === first - 1 && numbers[at + 3] === 0) {
      numbers[at + 2] = last;
    } else this.#push(id, first, last);
  }

  /** Both at once, of records that go on where their stream ended: always a change of its own. */
  block(
    id: number,
    first: number,
    last: number,
    frame: FramePlace | undefined,
    firstUsec: number,
    lastUsec: number,
  ): void {
    this.#push(id, first, last);
    if (frame) this.place(id, frame, firstUsec, lastUsec);
  }

  first(change: number): number {
    return this.#numbers[change * columns + 1]!;
  }

  last(change: number): number {
    return this.#numbers[change * columns + 2]!;
  }

  frameOf(change: number): FramePlace | undefined {
    return this.frames[this.#numbers[change * columns + 3]! - 1];
  }

  firstUsec(change: number): number {
    return this.#numbers[change * columns + 4]!;
  }

  lastUsec(change: number): number {
    return this.#numbers[change * columns + 5]!;
  }

  /** Where the newest records of a stream stand. The same frame is the same object. */
  place(id: number, frame: FramePlace, firstUsec: number, lastUsec: number): void {
    const { frames } = this;
    if (frames.at(-1) !== frame) frames.push(frame);
    let at = this.#length - columns;
    if (at < 0 || this.#numbers[at] !== id || this.#numbers[at + 3] !== 0) {
      at = this.#length;
      this.#push(id, 1, 0);
    }
    const numbers = this.#numbers;
    numbers[at + 3] = frames.length;
    numbers[at + 4] = firstUsec;
    numbers[at + 5] = lastUsec;
  }

  #push(id: number, first: number, last: number): void {
    let at = this.#length;
    this.#length += columns;
    if (this.#length > this.#numbers.length) {
      const grown = new Float64Array(2 * this.#numbers.length);
      grown.set(this.#numbers);
      this.#numbers = grown;
    }
    const numbers = this.#numbers;
    numbers[at++] = id;
    numbers[at++] = first;
    numbers[at++] = last;
    numbers[at++] = 0;
    numbers[at++] = 0;
    numbers[at++] = 0;
  }
}
