/**
 * Numbers and names to bytes and back. A number from 0 to 2^53 - 1 takes 7 bits of each byte, the lowest
 * first; the bit 7 says that there is more. A name is its length and its bytes. At the end stand four bytes
 * of a checksum, over what the caller says it is of as well: so that nothing is read as something else.
 */
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";

/** The bytes aren't what was written. */
export class PackedError extends Error {
  override name = "PackedError";
  readonly code = "packed";
}

export class PackedWriter {
  #bytes = Buffer.allocUnsafe(4096);
  #length = 0;

  number(value: number): void {
    if (this.#length + 8 > this.#bytes.length) this.#grow(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  name(text: string): void {
    this.number(text.length);
    if (this.#length + text.length > this.#bytes.length) this.#grow(text.length);
    this.#length += this.#bytes.write(text, this.#length, "latin1");
  }

  end(of: string): Buffer {
    if (this.#length + 4 > this.#bytes.length) this.#grow(4);
    const sum = checksum(this.#bytes.subarray(0, this.#length), of);
    const end = this.#bytes.writeUInt32LE(sum, this.#length);
    return Buffer.from(this.#bytes.subarray(0, end));
  }

  #grow(bytes: number): void {
    const grown = Buffer.allocUnsafe(2 * this.#bytes.length + bytes);
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

export class PackedReader {
  readonly #bytes: Buffer;
  #at = 0;

  /** Throws `PackedError` if it isn't what `PackedWriter.end(of)` gave. */
  constructor(packed: Uint8Array, of: string) {
    const all = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
    this.#bytes = all.subarray(0, -4);
    const isWhole = all.length >= 4 &&
      all.readUInt32LE(all.length - 4) === checksum(this.#bytes, of);
    if (!isWhole) throw new PackedError(`its checksum doesn't hold for ${of}`);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  number(): number {
    let [value, scale] = [0, 1];
    for (;; scale *= 0x80) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new PackedError("it is too short");
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  name(): string {
    const length = this.number();
    return this.#bytes.toString("latin1", this.#at, this.#at += length);
  }
}

function checksum(bytes: Uint8Array, of: string): number {
  return crc32(bytes, crc32(of));
}
