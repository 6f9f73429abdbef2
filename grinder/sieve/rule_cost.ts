/** What a rule costs: how often it is tried, with what success, and how long that takes. */
import { extract, type Extracted, type Rule } from "../rule.ts";

/** So many runs are timed each; then one in so many, since reading the clock costs as much as a regex. */
const timedRuns = 64;
const timedShare = 16;

export class RuleCost {
  /** Places where one of its literals stands in a record's text. */
  candidates = 0;
  /** Records on which its regex was run. */
  runs = 0;
  matches = 0;
  /** Time in the regex; estimated from a part of the runs. */
  ms = 0;

  constructor(private readonly nowMs: () => number) {}

  /** `extract`, counted. */
  extract(rule: Rule, text: string): Extracted | null {
    const run = this.runs++;
    const weight = run < timedRuns ? 1 : run % timedShare === 0 ? timedShare : 0;
    const startMs = weight === 0 ? 0 : this.nowMs();
    const extracted = extract(rule, text);
    if (weight > 0) this.ms += (this.nowMs() - startMs) * weight;
    if (extracted !== null) this.matches++;
    return extracted;
  }
}
