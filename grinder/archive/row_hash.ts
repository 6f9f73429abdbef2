/**
 * Rows in any order to one number that tells whether two sets of rows are the same: the sum, modulo 2^64,
 * of a hash of each row, over all that readers get of it. Of sets, so that what is sorted, cut or merged
 * can be compared with what it was made of: sums add up.
 *
 * A damaged or forgotten row is found all but certainly (1 in 2^64); it isn't made against forgery.
 */

export interface RowSum {
  rows: number;
  /** 16 hex digits. */
  hash: string;
}

/** What a row's hash begins with: of its stream, or of where it is in the storage. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return finish(hash);
}

export class RowHash {
  rows = 0;
  #high = 0;
  #low = 0;
  /** Those that were last given. */
  #bytes: Uint8Array = new Uint8Array();
  #view: DataView = new DataView(new ArrayBuffer(0));

  /** The record's own bytes are `bytes[start, end)`, newlines and all. */
  add(
    names: number,
    place: number,
    recvUs: number,
    timeUs: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    let a = names ^ 0x2545f491;
    let b = Math.imul(place ^ 0x9e3779b9, 0x85ebca6b);
    // Two lanes that don't wait for each other.
    // What has 32 bits takes a number's low ones; the others are had by the division.
    a = Math.imul(a ^ recvUs, 0x01000193) ^ (recvUs / 0x1_0000_0000);
    b = Math.imul(b ^ timeUs, 0x5bd1e995) ^ (timeUs / 0x1_0000_0000);
    const view = this.#viewOf(bytes);
    let i = start;
    for (; i + 4 <= end; i += 4) {
      const word = view.getInt32(i, true);
      a = Math.imul(a ^ word, 0x01000193);
      a ^= a >>> 13;
      b = Math.imul(b + word, 0x5bd1e995);
      b ^= b >>> 15;
    }
    for (; i < end; i++) {
      a = Math.imul(a ^ bytes[i]!, 0x01000193);
      b = Math.imul(b + bytes[i]!, 0x5bd1e995);
    }
    this.#add(finish(a ^ Math.imul(b, 0x9e3779b1)) >>> 0, finish(b ^ (end - start)) >>> 0);
  }

  get sum(): RowSum {
    const hex = (n: number) => n.toString(16).padStart(8, "0");
    return { rows: this.rows, hash: hex(this.#high) + hex(this.#low) };
  }

  addSum({ rows, hash }: RowSum): void {
    this.#add(parseInt(hash.slice(0, 8), 16), parseInt(hash.slice(8), 16));
    this.rows += rows - 1;
  }

  #viewOf(bytes: Uint8Array): DataView {
    if (bytes === this.#bytes) return this.#view;
    this.#bytes = bytes;
    return this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #add(high: number, low: number): void {
    const sum = this.#low + low;
    this.#low = sum >>> 0;
    this.#high = (this.#high + high + (sum > 0xffffffff ? 1 : 0)) >>> 0;
    this.rows++;
  }
}

export function sameRows(a: RowSum, b: RowSum): boolean {
  return a.rows === b.rows && a.hash === b.hash;
}

function finish(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
