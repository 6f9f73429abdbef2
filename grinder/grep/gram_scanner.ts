/** Stored frames to what the index is to know of them for grep: grams and clock records (grams.ts). */
import { Buffer } from "node:buffer";
import type { StoredFrame } from "../../shared/segment_reader.ts";
import { FrameDecoder } from "../engine/frame_decoder.ts";
import { type FrameRing, slotState } from "../engine/ring.ts";
import { HeaderScan } from "../engine/scan.ts";
import type { ClockRecord } from "../index/gram_table.ts";
import { FrameMatcher, paddingBytes } from "../sieve/frame_matcher.ts";
import { textOf } from "../sieve/words.ts";
import { FoundWriter, unpackFound } from "./found_frame.ts";
import { clockMark, FrameClocks } from "./frame_clocks.ts";
import { GramFlags } from "./grams.ts";

/** Of one frame. */
export interface FrameGrams {
  /** When its first block was received; NaN: that can't be read. */
  recvUs: number;
  clocks: readonly ClockRecord[];
  bits: Uint8Array;
}

/** What a search finds, without finds, and the bits in the place of the blocks. */
class GramWriter extends FoundWriter {
  grams(flags: GramFlags): void {
    this.byteLength = flags.pack(this.bytes);
  }
}

export class GramScanner {
  readonly out = new GramWriter();
  readonly #decoder = new FrameDecoder(paddingBytes);
  readonly #header = new HeaderScan();
  readonly #clocks = new FrameClocks();
  readonly #flags = new GramFlags();
  #matcher: FrameMatcher | undefined;

  /** Leaves what it finds in `out`; false if the frame doesn't decode. */
  search(frame: StoredFrame): boolean {
    const text = this.#decoder.decode(frame);
    if (text) this.#scan(text, frame.textBytes);
    return text !== undefined;
  }

  /** The same of a text, given as a byte string. */
  searchText(text: string): void {
    this.#scan(this.#decoder.place(text), text.length);
  }

  /** Does a frame that was claimed. */
  serve(ring: FrameRing, slot: number): void {
    if (this.search(ring.frame(slot))) ring.finish(slot, this.out);
    else ring.fail(slot, slotState.bad);
  }

  #scan(buffer: Buffer, length: number): void {
    const { out } = this;
    const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
    const text = textOf(bytes);
    // What an earlier frame left there would be noted of this one.
    bytes.fill(0, length, length + paddingBytes);
    this.#flags.take(text.words, length);
    out.begin();
    out.firstRecvUs(this.#header.read(text, 0, length) ? this.#header.recvUs : NaN);
    const matcher = this.#matcher ??= new FrameMatcher([], buffer.subarray(0, length), [clockMark]);
    matcher.match(bytes, length, () => {});
    this.#clocks.each(matcher, { text, buffer, length }, (clock) => out.clock(clock));
    out.grams(this.#flags);
  }
}

/** What `GramScanner` has written, copied. */
export function unpackGrams(numbers: Float64Array, bytes: Buffer): FrameGrams {
  const { recvUs, syncs } = unpackFound(numbers, bytes);
  return { recvUs, clocks: syncs, bits: Uint8Array.from(bytes) };
}
