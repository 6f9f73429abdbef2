/**
 * The seam between blocks and rules: a matcher says which rules match which records of a block. It may
 * be as clever as it likes, as long as it says what `SlowMatcher` says.
 */
import { type LogRecord, unescapeText } from "../shared/record.ts";
import { extract, type Extracted, type Rule } from "./rule.ts";
import { type Plan, planRules } from "./sieve/plan.ts";

export interface Match extends Extracted<string> {
  rule: Rule;
}

export interface Matcher {
  readonly rules: readonly Rule[];
  /** What the rules say of one record, in the rules' order. */
  match(record: LogRecord): Match[];
}

/** Every rule's regex on every record: the obvious twin. */
export class SlowMatcher implements Matcher {
  constructor(readonly rules: readonly Rule[]) {}

  match(record: LogRecord): Match[] {
    const text = unescapeText(record.text);
    const matches: Match[] = [];
    for (const rule of this.rules) {
      const extracted = extract(rule, text);
      if (extracted) matches.push({ rule, ...extracted });
    }
    return matches;
  }
}

/** A rule only where one of the literals stands that it requires: for records that come one by one. */
export class LiteralMatcher implements Matcher {
  readonly plans: readonly Plan[];

  constructor(readonly rules: readonly Rule[]) {
    this.plans = planRules(rules);
  }

  match(record: LogRecord): Match[] {
    const text = unescapeText(record.text);
    const matches: Match[] = [];
    for (const { rule: index, literals } of this.plans) {
      if (literals && !literals.some((literal) => text.includes(literal))) continue;
      const rule = this.rules[index]!;
      const extracted = extract(rule, text);
      if (extracted) matches.push({ rule, ...extracted });
    }
    return matches;
  }
}
