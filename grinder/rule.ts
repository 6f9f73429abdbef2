/**
 * A rule: a regex with named groups and what to make of them. `rule()` writes one down, `extract()`
 * runs one on a record's text.
 *
 * TypeScript sees no group names inside a regex literal (to it that is just a RegExp), so the types
 * can't say that a label must be a group. Two others do: the check when rules are loaded
 * (load_rules.ts) and the lint plugin (rule_lint.ts).
 */
import { limits } from "../shared/limits.ts";

/** What an operator writes behind the regex. */
export interface RuleOptions<Label extends string, Value extends string> {
  /** Groups that become labels of the event and of the aggregate: few different values each. */
  labels?: readonly Label[];
  /** The group whose text is a decimal number; the aggregate has its distribution. */
  value?: Value;
  /** The device's own labels, from the allow-list, that the aggregate carries too: city, model. */
  device?: readonly string[];
  /** Texts of real records that must match; loading fails if one doesn't. At least one. */
  yes: readonly string[];
  /** Texts that come near and must not match. */
  no?: readonly string[];
}

export interface Rule<
  Name extends string = string,
  Label extends string = string,
  Value extends string = string,
> {
  readonly kind: "regex";
  readonly name: Name;
  readonly regex: RegExp;
  readonly labels: readonly Label[];
  readonly value: Value | undefined;
  readonly device: readonly string[];
  readonly yes: readonly string[];
  readonly no: readonly string[];
}

/** What one record says by one rule. */
export interface Extracted<Label extends string = string> {
  /** Every label of the rule; "" where its group took no part in the match. */
  labels: Record<Label, string>;
  /** Absent where the rule has no value, or its text is no finite decimal number. */
  value?: number;
}

/** Writes a rule down; nothing is checked before it is loaded. */
export function rule<
  const Name extends string,
  const Label extends string = never,
  const Value extends string = never,
>(name: Name, regex: RegExp, options: RuleOptions<Label, Value>): Rule<Name, Label, Value> {
  const { labels = [], value, device = [], yes, no = [] } = options;
  return { kind: "regex", name, regex, labels, value, device, yes, no };
}

/** Runs a rule on a record's text (unescaped, without the record's prefix); null if it doesn't match. */
export function extract<Label extends string>(
  rule: Rule<string, Label>,
  text: string,
): Extracted<Label> | null {
  const match = rule.regex.exec(text);
  if (match === null) return null;
  const groups = match.groups ?? {};
  const labels = {} as Record<Label, string>;
  for (const label of rule.labels) labels[label] = asLabel(groups[label] ?? "");
  const value = rule.value === undefined ? undefined : decimal(groups[rule.value]);
  return value === undefined ? { labels } : { labels, value };
}

/** Labels are names, not texts: what a label's value has beyond its limit is cut off. */
export function asLabel(text: string): string {
  return text.slice(0, limits.labelCharsMax);
}

/** The names of a regex's groups, in their order. */
export function groupNames(regex: RegExp): string[] {
  // With an empty alternative it matches anything, and then lists its groups, all undefined.
  const match = new RegExp(`${regex.source}|`, regex.flags.replaceAll(/[gy]/g, "")).exec("");
  return Object.keys(match?.groups ?? {});
}

const decimalShape = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)$/;

function decimal(text: string | undefined): number | undefined {
  // Number("") is 0 and Number("0x10") is 16: neither was meant.
  if (text === undefined || !decimalShape.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
