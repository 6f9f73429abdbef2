/**
 * Blocks in, the texts of frames out: each of `frameTextBytesEnough` up to `frameTextBytesMax` (the last
 * may be shorter), whole blocks in order. A block is copied as it comes, so whoever brings one may let go of its memory at once.
 */
import { limits } from "./limits.ts";

/** The parts of one block, in order. */
export type Parts = readonly Uint8Array[];

/** Told once what became of a block: durable, or the error for which it may not be. */
export type Settled = (error?: unknown) => void;

/** Makes room for one frame's text: `frameTextBytesMax`. */
type Memory = () => ArrayBufferLike;

export class Batch {
  /** Of each block, in order. */
  readonly settled: Settled[] = [];
  bytes = 0;
  /** When its first block came. */
  sinceMs: number | undefined;
  readonly #texts: Uint8Array[] = [];
  #space: Uint8Array | undefined;
  #used = 0;

  /** @param memory makes room for one text; `full` is told of each as soon as it is whole */
  constructor(private readonly memory: Memory, private readonly full = (_text: Uint8Array) => {}) {}

  add(block: Parts, nowMs: number, settled: Settled): void {
    let blockBytes = 0;
    for (const part of block) blockBytes += part.length;
    if (this.#used > 0 && this.#used + blockBytes > limits.frameTextBytesMax) {
      this.full(this.#cut());
    }
    this.#space ??= new Uint8Array(this.memory(), 0, limits.frameTextBytesMax);
    for (const part of block) {
      this.#space.set(part, this.#used);
      this.#used += part.length;
    }
    this.bytes += blockBytes;
    this.sinceMs ??= nowMs;
    this.settled.push(settled);
    if (this.#used >= limits.frameTextBytesEnough) this.full(this.#cut());
  }

  /** The texts of its frames, each at the beginning of its memory. Nothing may be added any more. */
  texts(): Uint8Array[] {
    if (this.#used > 0) this.#cut();
    return this.#texts;
  }

  #cut(): Uint8Array {
    const text = this.#space!.subarray(0, this.#used);
    this.#texts.push(text);
    this.#space = undefined;
    this.#used = 0;
    return text;
  }
}
