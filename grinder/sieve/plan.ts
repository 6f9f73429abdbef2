/**
 * Rules and a sample of the log to what the sieve looks for: for each rule the cheapest of its
 * required sets. Without a sample it is what is cheapest in log text as one expects it.
 *
 * What a literal costs: the grams it is found by are come upon and compared, what is found is cut out
 * and given to the regex, and each slot that it takes in the tables lets other text pass as well.
 */
import { Buffer } from "node:buffer";
import type { Rule } from "../rule.ts";
import { entriesOf, expectedPerMiB, GramRates } from "./grams.ts";
import { requiredSets } from "./literals.ts";
import { paddingBytes, Sieve } from "./sieve.ts";

export interface Plan {
  /** Index of the rule. */
  rule: number;
  /** One of these is in every record that the rule matches; undefined: it looks at every record. */
  literals: readonly string[] | undefined;
  /** Estimated nanoseconds for each MiB of log text. */
  cost: number;
}

/** Measured, in nanoseconds: a record that is cut out and given to the regex. */
const regexNs = 1_500;
/** Records of 100 bytes, for a rule that looks at each. */
const recordsPerMiB = 10_000;
/** Many literals are thought of only where few cost more than this: a thousandth of what all costs. */
const cheapNs = 500;
const fewLiterals = 12;

/** `rates` are those of the sample. */
export function planRules(
  rules: readonly Rule[],
  sample: Uint8Array = new Uint8Array(0),
  rates: GramRates = new GramRates(sample),
): Plan[] {
  const sets = rules.map(requiredSets);
  const plans = rules.map((_, rule): Plan => ({
    rule,
    literals: undefined,
    cost: regexNs * recordsPerMiB,
  }));
  const choose = (isTried: (set: string[]) => boolean) => {
    const tried = plans.map(({ cost, rule }) => cost < cheapNs ? [] : sets[rule]!.filter(isTried));
    const costs = literalCosts([...new Set(tried.flat(2))], sample, rates);
    for (
      const [rule, literals] of tried.flatMap((all, rule) => all.map((set) => [rule, set] as const))
    ) {
      const cost = literals.reduce((sum, literal) => sum + costs.get(literal)!, 0);
      if (cost < plans[rule]!.cost) plans[rule] = { rule, literals, cost };
    }
  };
  choose((set) => set.length <= fewLiterals);
  choose((set) => set.length > fewLiterals);
  return plans;
}

/** What it costs to look for each literal, and to try a rule where it stands. */
function literalCosts(
  literals: string[],
  sample: Uint8Array,
  rates: GramRates,
): Map<string, number> {
  const bytes = literals.map((literal) => Buffer.from(literal, "latin1"));
  const counts = countHits(bytes, rates, sample);
  return new Map(literals.map((literal, i) => {
    const hitsPerMiB = rates.smooth(counts[i]!, expectedPerMiB(literal));
    return [literal, entriesOf(bytes[i]!, rates).cost + hitsPerMiB * regexNs];
  }));
}

/** How often each literal is in the sample: all are looked for at once. */
function countHits(literals: Uint8Array[], rates: GramRates, sample: Uint8Array): Uint32Array {
  const counts = new Uint32Array(literals.length);
  if (sample.length === 0) return counts;
  const padded = new Uint8Array(sample.length + paddingBytes);
  padded.set(sample);
  const sieve = new Sieve(literals, rates);
  sieve.scan(padded, sample.length);
  for (let i = 0; i < sieve.hits; i++) counts[sieve.hitLiteral[i]!]!++;
  return counts;
}
