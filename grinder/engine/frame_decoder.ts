/**
 * A frame to its text, in a buffer that is used again for each: the runtimes' own call for a whole frame
 * makes a decoder and a megabyte of zeros each time, which costs a third of the work.
 *
 * It takes the decoder's inner handle, which runtimes share with Node.js but don't document. So it is
 * asked once whether it does what is expected of it, and each answer is looked at: whatever isn't plainly
 * right is decoded again by `decompressFrame`, which has the last word.
 */
import { Buffer } from "node:buffer";
import { constants, createZstdDecompress } from "node:zlib";
import { limits } from "../../shared/limits.ts";
import type { StoredFrame } from "../../shared/segment_reader.ts";
import { compressFrame, decompressFrame } from "../../shared/zstd.ts";

/** What the decoder has in it; undefined where it hasn't. */
interface Inner {
  _handle?: {
    reset(): void;
    writeSync(
      flush: number,
      input: Uint8Array,
      inputAt: number,
      inputLength: number,
      output: Uint8Array,
      outputAt: number,
      outputLength: number,
    ): void;
    onerror?: unknown;
  };
  /** After a call: bytes of the output and of the input that weren't used. */
  _writeState?: Uint32Array;
}

const unset = 0xffff_ffff;

export class FrameDecoder {
  readonly #inner = createZstdDecompress() as unknown as Inner;
  readonly #room: Buffer;
  readonly #works: boolean;
  #failed = false;

  /** `spareBytes` are to be had behind each text. */
  constructor(spareBytes: number) {
    this.#room = Buffer.from(new ArrayBuffer(limits.frameTextBytesMax + spareBytes));
    this.#works = this.#isAsExpected();
  }

  /**
   * The text, at the beginning of a buffer that is the caller's until the next call; undefined if the
   * frame doesn't decode.
   */
  decode(frame: StoredFrame): Buffer | undefined {
    if (this.#works && this.#decode(frame)) return this.#room;
    try {
      this.#room.set(decompressFrame(frame.bytes, frame.textBytes));
      return this.#room;
    } catch {
      return undefined;
    }
  }

  /** Into a room of the caller's; false if it isn't sure. */
  decodeInto(room: Uint8Array, frame: StoredFrame): boolean {
    return this.#works && this.#decode(frame, room);
  }

  /** A text that is there already, in the same way. */
  place(text: string): Buffer {
    this.#room.write(text, "latin1");
    return this.#room;
  }

  /** False if it isn't sure. */
  #decode({ bytes, textBytes }: StoredFrame, room: Uint8Array = this.#room): boolean {
    const { _handle: handle, _writeState: left } = this.#inner as Required<Inner>;
    left.fill(unset);
    this.#failed = false;
    try {
      handle.reset();
      const { ZSTD_e_end: flush } = constants;
      handle.writeSync(flush, bytes, 0, bytes.length, room, 0, textBytes);
    } catch {
      return false;
    }
    return !this.#failed && left[0] === 0 && left[1] === 0;
  }

  #isAsExpected(): boolean {
    const { _handle: handle, _writeState: left } = this.#inner;
    if (!handle || !(left instanceof Uint32Array)) return false;
    // One runtime throws, the other one calls this.
    handle.onerror = () => this.#failed = true;
    const text = Buffer.from("decodes\n".repeat(50));
    const frame = { bytes: compressFrame(text), textBytes: text.length };
    const good = this.#decode(frame) && this.#room.subarray(0, text.length).equals(text);
    frame.bytes[frame.bytes.length - 1]! ^= 1;
    const wrongChecksum = this.#decode(frame);
    frame.bytes[frame.bytes.length - 1]! ^= 1;
    const tooLong = this.#decode({ ...frame, textBytes: text.length - 1 });
    const tooShort = this.#decode({ ...frame, textBytes: text.length + 1 });
    return good && !wrongChecksum && !tooLong && !tooShort && this.#decode(frame);
  }
}
