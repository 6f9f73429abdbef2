/** What the rules say of a record: their names, for the margin; and whether it says how its boot ends. */
import type { LogRecord } from "../../shared/record.ts";
import type { BuiltIn } from "../built_in.ts";
import { LiteralMatcher, type Matcher, SlowMatcher } from "../match.ts";
import { type End, endOf, withEndRules } from "../reboots.ts";
import type { Rule } from "../rule.ts";

export interface Said {
  rules: string[];
  end?: End;
}

/**
 * So many records are matched by all rules: the first lines are out before it is known which literals the
 * rules require.
 */
const slowRecords = 300;

export class Margin {
  #matcher: Matcher;
  #records = 0;
  readonly #ends = new Map<string, End>();

  constructor(rules: readonly Rule[], { reboot }: Pick<BuiltIn, "reboot">) {
    this.#matcher = new SlowMatcher(withEndRules(rules));
    for (const name of reboot?.clean ?? []) this.#ends.set(name, "clean");
    for (const name of reboot?.panic ?? []) this.#ends.set(name, "panic");
  }

  of(record: LogRecord): Said {
    if (++this.#records === slowRecords) this.#matcher = new LiteralMatcher(this.#matcher.rules);
    const said: Said = { rules: [] };
    for (const { rule } of this.#matcher.match(record)) {
      const end = endOf.get(rule);
      if (!end) said.rules.push(rule.name);
      const shown = end ?? this.#ends.get(rule.name);
      // One that panics may have begun to shut down.
      if (shown && said.end !== "panic") said.end = shown;
    }
    return said;
  }
}
