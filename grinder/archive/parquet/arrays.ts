/**
 * Arrays for the columns of a row group: new ones, or the same again for each group, which spares the
 * machine a tenth of the work. What is in them is whatever was there.
 */
import { FrameDecoder } from "../../engine/frame_decoder.ts";

export interface Arrays {
  float64(length: number): Float64Array;
  int32(length: number): Int32Array;
  /** A page's zstd frame, decompressed; undefined if that has to be done in the usual way. */
  page(stored: Uint8Array, bytes: number): Uint8Array | undefined;
}

export const newArrays: Arrays = {
  float64: (length) => new Float64Array(length),
  int32: (length) => new Int32Array(length),
  page: () => undefined,
};

/** Behind each page: for who looks at it in words. */
export const spareBytes = 64;

/** What it gives holds until the next `reset`. */
export class ArrayPool implements Arrays {
  readonly #floats: Float64Array[] = [];
  readonly #ints: Int32Array[] = [];
  readonly #pages: Uint8Array[] = [];
  readonly #decoder = new FrameDecoder(spareBytes);
  #nextFloat = 0;
  #nextInt = 0;
  #nextPage = 0;

  reset(): void {
    this.#nextFloat = this.#nextInt = this.#nextPage = 0;
  }

  float64(length: number): Float64Array {
    const i = this.#nextFloat++;
    const known = this.#floats[i];
    if (known && known.length >= length) return known.subarray(0, length);
    return this.#floats[i] = new Float64Array(length);
  }

  int32(length: number): Int32Array {
    const i = this.#nextInt++;
    const known = this.#ints[i];
    if (known && known.length >= length) return known.subarray(0, length);
    return this.#ints[i] = new Int32Array(length);
  }

  page(stored: Uint8Array, bytes: number): Uint8Array | undefined {
    const i = this.#nextPage++;
    let room = this.#pages[i];
    if (!room || room.length < bytes + spareBytes) {
      room = this.#pages[i] = new Uint8Array(bytes + (bytes >> 3) + spareBytes);
    }
    const isDone = this.#decoder.decodeInto(room, { bytes: stored, textBytes: bytes });
    return isDone ? room.subarray(0, bytes) : undefined;
  }
}
