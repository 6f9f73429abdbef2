/** Stored frames to digests: decoded, matched, written down. */
import type { StoredFrame } from "../../shared/segment_reader.ts";
import type { Rule } from "../rule.ts";
import { paddingBytes } from "../sieve/frame_matcher.ts";
import { Digester } from "./digester.ts";
import { FrameDecoder } from "./frame_decoder.ts";
import { DigestWriter } from "./packed_digest.ts";
import { type FrameRing, slotState } from "./ring.ts";

export class FrameDigester {
  readonly out = new DigestWriter();
  readonly #decoder = new FrameDecoder(paddingBytes);
  readonly #digester: Digester;

  constructor(rules: readonly Rule[]) {
    this.#digester = new Digester(rules);
  }

  /** Leaves the digest in `out`; false if the frame doesn't decode. */
  digest(frame: StoredFrame): boolean {
    const text = this.#decoder.decode(frame);
    if (!text) return false;
    this.#digester.digest(text, frame.textBytes, this.out);
    return true;
  }

  /** The same of a text, given as a byte string. */
  digestText(text: string): void {
    this.#digester.digest(this.#decoder.place(text), text.length, this.out);
  }

  /** Does a frame that was claimed. */
  serve(ring: FrameRing, slot: number): void {
    if (this.digest(ring.frame(slot))) ring.finish(slot, this.out);
    else ring.fail(slot, slotState.bad);
  }
}
