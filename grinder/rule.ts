/**
 * A rule: what to look for in a record's text, and what to make of it. `rule()`, `json()`, `logfmt()`
 * and `mapper()` write one down; `extract()` runs one, of whatever kind it is.
 */
import type { Extracted } from "./rules/extracted.ts";
import { extractJson, type JsonRule } from "./rules/json.ts";
import { extractLogfmt, type LogfmtRule } from "./rules/logfmt.ts";
import { extractMapper, type MapperRule } from "./rules/mapper.ts";
import { extractRegex, type RegexRule } from "./rules/regex.ts";

export { asLabel, type Extracted } from "./rules/extracted.ts";
export { json, type JsonRule } from "./rules/json.ts";
export { logfmt, type LogfmtRule } from "./rules/logfmt.ts";
export { mapper, type MapperRule, takeFailures } from "./rules/mapper.ts";
export { groupNames, type RegexRule, rule } from "./rules/regex.ts";

export type Rule<
  Name extends string = string,
  Label extends string = string,
  Value extends string = string,
> =
  | RegexRule<Name, Label, Value>
  | JsonRule<Name, Label, Value>
  | LogfmtRule<Name, Label, Value>
  | MapperRule<Name, Label, Value>;

/** Runs a rule on a record's text (unescaped, without the record's prefix); null if it doesn't match. */
export function extract<Label extends string>(
  rule: Rule<string, Label>,
  text: string,
): Extracted<Label> | null {
  switch (rule.kind) {
    case "regex":
      return extractRegex(rule, text);
    case "json":
      return extractJson(rule, text);
    case "logfmt":
      return extractLogfmt(rule, text);
    case "mapper":
      return extractMapper(rule, text);
  }
}
