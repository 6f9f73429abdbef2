/**
 * Marks: texts that the caller of a matcher wants to hear of wherever they stand, in one list for a
 * frame. Of those that begin with "\n#" the sieve knows the lines already; the others it looks for as
 * it does for the rules' literals.
 */
import { Buffer } from "node:buffer";
import { limits } from "../../shared/limits.ts";
import type { Sieve } from "./sieve.ts";

const lineStart = "\n#";

export class MarkList {
  /** What the sieve must look for. */
  readonly literals: readonly string[];
  readonly #ofLines: readonly { mark: number; bytes: Uint8Array }[];
  readonly #at: number[] = [];
  readonly #mark: number[] = [];
  #next = 0;

  constructor(private readonly marks: readonly string[]) {
    const bad = marks.find((mark) => !mark.startsWith(lineStart) && !isLiteral(mark));
    if (bad !== undefined) {
      throw new RangeError(
        `Cannot look for a mark because it must be ${limits.literalBytesMin} printable ASCII ` +
          `characters or begin with "\\n#": current value is ${JSON.stringify(bad)}`,
      );
    }
    this.literals = [...new Set(marks.filter((mark) => !mark.startsWith(lineStart)))];
    this.#ofLines = marks.flatMap((text, mark) =>
      text.startsWith(lineStart) ? [{ mark, bytes: Buffer.from(text, "latin1") }] : []
    );
  }

  /** The marks that are one literal. */
  of(literal: string): number[] {
    return this.marks.flatMap((text, mark) => text === literal ? [mark] : []);
  }

  /** Makes the list of a frame. `marksOf` has for each literal of the sieve the marks that it is. */
  collect(bytes: Uint8Array, sieve: Sieve, marksOf: readonly number[][]): void {
    this.#at.length = 0;
    this.#mark.length = 0;
    this.#next = 0;
    let line = 0;
    for (let hit = 0; hit < sieve.hits; hit++) {
      const marks = marksOf[sieve.hitLiteral[hit]!]!;
      if (marks.length === 0) continue;
      const at = sieve.hitAt[hit]!;
      for (; line < sieve.hashLines && sieve.hashLineAt[line]! <= at; line++) {
        this.#addLine(bytes, sieve.hashLineAt[line]! - 1);
      }
      for (const mark of marks) this.#add(at, mark);
    }
    for (; line < sieve.hashLines; line++) this.#addLine(bytes, sieve.hashLineAt[line]! - 1);
  }

  /** Tells of all up to `end` that have not been told. */
  hearUpTo(end: number, hear: (mark: number, at: number) => void): void {
    for (; this.#next < this.#at.length && this.#at[this.#next]! <= end; this.#next++) {
      hear(this.#mark[this.#next]!, this.#at[this.#next]!);
    }
  }

  #addLine(bytes: Uint8Array, at: number): void {
    for (const { mark, bytes: wanted } of this.#ofLines) {
      if (at >= 0 && wanted.every((byte, i) => bytes[at + i] === byte)) this.#add(at, mark);
    }
  }

  /** They come nearly in order: each is moved up by few. */
  #add(at: number, mark: number): void {
    let i = this.#at.length;
    for (; i > 0 && isBehind(this.#at[i - 1]!, this.#mark[i - 1]!, at, mark); i--) {
      this.#at[i] = this.#at[i - 1]!;
      this.#mark[i] = this.#mark[i - 1]!;
    }
    this.#at[i] = at;
    this.#mark[i] = mark;
  }
}

function isLiteral(mark: string): boolean {
  return mark.length >= limits.literalBytesMin && /^[\x20-\x7e]+$/.test(mark);
}

function isBehind(at: number, mark: number, otherAt: number, otherMark: number): boolean {
  return at > otherAt || at === otherAt && mark > otherMark;
}
