/**
 * Chunks in, one stretch of bytes out, of which the head is taken away piece by piece. Space grows by
 * doubling, so that a body in many small chunks isn't copied as a whole for each of them.
 */
import { Buffer } from "node:buffer";

const none = new Uint8Array(0);

export class HeldBytes {
  #space: Uint8Array = none;
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  /** All that is held; good until the next `append` or `drop`. */
  get bytes(): Uint8Array {
    return this.#space.subarray(this.#start, this.#end);
  }

  /** The chunk's bytes belong to this from now on. */
  append(chunk: Uint8Array): void {
    if (this.length === 0) {
      // Most frames come in one chunk: nothing is copied.
      [this.#space, this.#start, this.#end] = [chunk, 0, chunk.length];
      return;
    }
    if (this.#end + chunk.length > this.#space.length) this.#move(2 * (this.length + chunk.length));
    this.#space.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Takes `length` bytes off the head; space of which little is used is given back. */
  drop(length: number): void {
    this.#start += length;
    if (this.length === 0) [this.#space, this.#start, this.#end] = [none, 0, 0];
    else if (this.length < this.#space.length / 4) this.#move(this.length);
  }

  #move(size: number): void {
    const space = Buffer.allocUnsafeSlow(size);
    space.set(this.bytes);
    [this.#space, this.#start, this.#end] = [space, 0, this.length];
  }
}
