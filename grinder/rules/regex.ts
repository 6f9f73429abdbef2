/**
 * Rules that are a regex with named groups: `rule()` writes one down, `extractRegex()` runs it on a
 * record's text.
 *
 * TypeScript sees no group names inside a regex literal (to it that is just a RegExp), so the types
 * can't say that a label must be a group. Two others do: the check when rules are loaded
 * (rule_checks.ts) and the lint plugin (rule_lint.ts).
 */
import { numberedRegex } from "./numbered.ts";
import { type CommonOptions, type Extracted, extracted, type RuleBase } from "./extracted.ts";

/** What an operator writes behind the regex. */
export interface RuleOptions<Label extends string, Value extends string> extends CommonOptions {
  /** Groups that become labels of the event and of the aggregate: few different values each. */
  labels?: readonly Label[];
  /** The group whose text is a decimal number; the aggregate has its distribution. */
  value?: Value;
}

export interface RegexRule<
  Name extends string = string,
  Label extends string = string,
  Value extends string = string,
> extends RuleBase<Name, Label, Value> {
  readonly kind: "regex";
  readonly regex: RegExp;
}

/** Writes a rule down; nothing is checked before it is loaded. */
export function rule<
  const Name extends string,
  const Label extends string = never,
  const Value extends string = never,
>(name: Name, regex: RegExp, options: RuleOptions<Label, Value>): RegexRule<Name, Label, Value> {
  const { labels = [], value, device = [], yes, no = [] } = options;
  return { kind: "regex", name, regex, labels, value, device, yes, no };
}

/** What the text says by the rule; null if it doesn't match. */
export function extractRegex<Label extends string>(
  rule: RegexRule<string, Label>,
  text: string,
): Extracted<Label> | null {
  const numbered = numberedRegex(rule.regex);
  if (numbered === null) return extractNamed(rule, text);
  const match = numbered.regex.exec(text);
  if (match === null) return null;
  const { numbers } = numbered;
  return extracted(
    rule,
    (label) => match[numbers.get(label)!],
    (value) => match[numbers.get(value)!],
  );
}

function extractNamed<Label extends string>(
  rule: RegexRule<string, Label>,
  text: string,
): Extracted<Label> | null {
  const match = rule.regex.exec(text);
  if (match === null) return null;
  const groups = match.groups ?? {};
  return extracted(rule, (label) => groups[label], (value) => groups[value]);
}

/** The names of a regex's groups, in their order. */
export function groupNames(regex: RegExp): string[] {
  // With an empty alternative it matches anything, and then lists its groups, all undefined.
  const match = new RegExp(`${regex.source}|`, regex.flags.replaceAll(/[gy]/g, "")).exec("");
  return Object.keys(match?.groups ?? {});
}
