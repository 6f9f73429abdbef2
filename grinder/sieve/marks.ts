/**
 * Marks: texts that the caller of a matcher wants to know the places of, wherever they stand. The sieve
 * looks for them as it does for the rules' literals; here is the list of those of a frame.
 */
import { limits } from "../../shared/limits.ts";
import type { Sieve } from "./sieve.ts";

export class MarkList {
  /** Where they stand, and which each of them is: in the order of (place, mark). */
  readonly at: number[] = [];
  readonly mark: number[] = [];

  constructor(private readonly marks: readonly string[]) {
    const bad = marks.find((mark) =>
      mark.length < limits.literalBytesMin || !/^[\x20-\x7e]+$/.test(mark)
    );
    if (bad !== undefined) {
      throw new RangeError(
        `Cannot look for a mark because it must be ${limits.literalBytesMin} printable ASCII ` +
          `characters: current value is ${JSON.stringify(bad)}`,
      );
    }
  }

  /** The marks that are one literal. */
  of(literal: string): number[] {
    return this.marks.flatMap((text, mark) => text === literal ? [mark] : []);
  }

  /** Makes the list of a frame. `marksOf` has for each literal of the sieve the marks that it is. */
  collect(sieve: Sieve, marksOf: readonly number[][]): void {
    this.at.length = 0;
    this.mark.length = 0;
    const { hits, hitAt, hitLiteral } = sieve;
    for (let hit = 0; hit < hits; hit++) {
      const marks = marksOf[hitLiteral[hit]!]!;
      for (let i = 0; i < marks.length; i++) this.#add(hitAt[hit]!, marks[i]!);
    }
  }

  /** They come nearly in order: each is moved up by few. */
  #add(at: number, mark: number): void {
    let i = this.at.length;
    for (; i > 0 && isBehind(this.at[i - 1]!, this.mark[i - 1]!, at, mark); i--) {
      this.at[i] = this.at[i - 1]!;
      this.mark[i] = this.mark[i - 1]!;
    }
    this.at[i] = at;
    this.mark[i] = mark;
  }
}

function isBehind(at: number, mark: number, otherAt: number, otherMark: number): boolean {
  return at > otherAt || at === otherAt && mark > otherMark;
}
