/**
 * Frames that are not acknowledged yet, in order, oldest first. The encoder puts them in, each POST
 * sends them from the oldest on, and what is acknowledged leaves.
 */
import { limits } from "../shared/limits.ts";
import type { Frame } from "./encoder.ts";

export class Outbox {
  #frames: Frame[] = [];
  #bytes = 0;
  #ended = false;
  #wake = Promise.withResolvers<void>();

  /** All unacknowledged frames, oldest first. */
  get frames(): readonly Frame[] {
    return this.#frames;
  }

  /** No frame will be added. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Resolves at the next change: a frame more, a frame less, or the end. */
  changed(): Promise<void> {
    return this.#wake.promise;
  }

  /** Adds a frame; resolves when there is room for another, so that sources wait meanwhile. */
  async push(frame: Frame): Promise<void> {
    this.#frames.push(frame);
    this.#bytes += frame.decodedBytes;
    this.#notify();
    while (this.#bytes > limits.unackedBytesMax - limits.flushBytes) await this.changed();
  }

  /** Takes the oldest frame away: it is acknowledged. */
  shift(): Frame {
    const frame = this.#frames.shift()!;
    this.#bytes -= frame.decodedBytes;
    this.#notify();
    return frame;
  }

  /** Puts another frame in the place of the oldest, which is refused for good. */
  replaceOldest(frame: Frame): void {
    this.#bytes += frame.decodedBytes - this.#frames[0]!.decodedBytes;
    this.#frames[0] = frame;
  }

  end(): void {
    this.#ended = true;
    this.#notify();
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }
}
