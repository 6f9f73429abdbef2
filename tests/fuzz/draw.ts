/** A seed and names in, random choices out: the same ones for the same seed and names, each time. */
import { Buffer } from "node:buffer";
import { seededRandom } from "../fleet/random.ts";

export class Draw {
  /** A number in [0, 1). */
  readonly next: () => number;

  /** Draws of different names don't disturb each other: one of them can be left out. */
  constructor(...names: Array<string | number>) {
    this.next = seededRandom(fnv1a(names.join("/")));
  }

  /** A whole number from `low` up to, not including, `high`. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.between(0, list.length)]!;
  }

  /** One of a list in which some come more often: `weight` is 1 unless it says otherwise. */
  weighted<T extends { weight?: number }>(list: readonly T[]): T {
    let left = this.next() * list.reduce((sum, { weight }) => sum + (weight ?? 1), 0);
    return list.find(({ weight }) => (left -= weight ?? 1) < 0) ?? list.at(-1)!;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at++) bytes[at] = this.next() * 256;
    return bytes;
  }
}

/** FNV-1a, 32 bits: also tells a marker that is whole from one that a mutation made. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  return hash >>> 0;
}
