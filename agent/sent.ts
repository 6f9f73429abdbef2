/** What one POST has sent and not yet seen acknowledged, in the order in which it was sent. */
import { limits } from "../shared/limits.ts";
import type { Frame } from "./encoder.ts";
import type { Outbox } from "./outbox.ts";

export class Sent {
  #waiting: Array<{ frame: Frame; fromOutbox: boolean }> = [];
  #ackedBytes = 0;
  #progressMs: number;

  /** `acked` is told of each frame of the outbox that became durable, in order. */
  constructor(
    private readonly outbox: Outbox,
    private readonly acked: (frame: Frame) => void,
    private readonly monotonicMs: () => number,
    private readonly heard: () => void = () => {},
  ) {
    this.#progressMs = monotonicMs();
    outbox.inFlight = 0;
  }

  /** The oldest frame of the outbox that isn't on its way. */
  get next(): Frame | undefined {
    return this.outbox.frames[this.outbox.inFlight];
  }

  /** Frames that are on their way. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Something is on its way, and for too long nothing has come back. */
  get stalled(): boolean {
    return this.#waiting.length > 0 && this.monotonicMs() - this.#progressMs > limits.ackTimeoutMs;
  }

  /** Notes that `next` goes out now; returns its bytes. */
  sendNext(): Uint8Array {
    const frame = this.next!;
    this.outbox.inFlight++;
    return this.#send(frame, true);
  }

  /** Notes that a frame goes out which isn't kept in the outbox: it needn't be sent again. */
  sendOnce(frame: Frame): Uint8Array {
    return this.#send(frame, false);
  }

  /** So many bytes of this POST's decoded text are durable: what they hold leaves the outbox. */
  ack(bytes: number): void {
    for (let head = this.#waiting[0]; head; head = this.#waiting[0]) {
      if (this.#ackedBytes + head.frame.decodedBytes > bytes) return;
      this.#ackedBytes += head.frame.decodedBytes;
      this.#waiting.shift();
      this.#progressMs = this.monotonicMs();
      this.heard();
      if (!head.fromOutbox) continue;
      this.outbox.inFlight--;
      this.acked(this.outbox.shift());
    }
  }

  #send(frame: Frame, fromOutbox: boolean): Uint8Array {
    if (this.#waiting.length === 0) this.#progressMs = this.monotonicMs();
    this.#waiting.push({ frame, fromOutbox });
    return frame.bytes;
  }
}
