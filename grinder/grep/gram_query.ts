/** A regex in, whether a text of which only the grams are known (grams.ts) can hold what it matches out. */
import { requiredSets } from "../sieve/literals.ts";
import { type AskedRegex, ruleOf } from "./asked_regex.ts";
import { gramHashes, mayHold } from "./grams.ts";

export class GramQuery {
  private constructor(private readonly sets: readonly Uint32Array[][]) {}

  /** Undefined if nothing is in everything that matches: then any text can hold some of it. */
  static of(regex: AskedRegex): GramQuery | undefined {
    const sets = requiredSets(ruleOf(regex))
      .map((literals) => literals.map(gramHashes))
      .filter((set) => set.every((hashes) => hashes.length > 0));
    return sets.length > 0 ? new GramQuery(sets) : undefined;
  }

  /** False: nothing in that text matches. */
  mayMatch(bits: Uint8Array): boolean {
    return this.sets.every((set) => set.some((hashes) => mayHold(bits, hashes)));
  }
}
