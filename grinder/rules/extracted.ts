/** What a rule takes from one record, of whatever kind the rule is. */
import { limits } from "../../shared/limits.ts";

/** What one record says by one rule. */
export interface Extracted<Label extends string = string> {
  /** Every label of the rule; "" where the record has nothing for it. */
  labels: Record<Label, string>;
  /** Absent where the rule has no value, or its text is no finite decimal number. */
  value?: number;
}

/** What rules of every kind have in common. */
export interface RuleBase<Name extends string, Label extends string, Value extends string> {
  readonly name: Name;
  readonly labels: readonly Label[];
  /** What the value is called in the text: a group, a path, a key. */
  readonly value: Value | undefined;
  /** The device's own labels, from the allow-list, that the aggregate carries too. */
  readonly device: readonly string[];
  readonly yes: readonly string[];
  readonly no: readonly string[];
}

/** What an operator writes for a rule of any kind. */
export interface CommonOptions {
  /** The device's own labels, from the allow-list, that the aggregate carries too: city, model. */
  device?: readonly string[];
  /** Texts of real records that must match; loading fails if one doesn't. At least one. */
  yes: readonly string[];
  /** Texts that come near and must not match. */
  no?: readonly string[];
}

/** `take` gives what the record says under a label's name, or for the value. */
export function extracted<Label extends string>(
  rule: { labels: readonly Label[]; value: string | undefined },
  labelText: (label: Label) => string | undefined,
  valueText: (value: string) => string | number | undefined,
): Extracted<Label> {
  const labels = {} as Record<Label, string>;
  for (const label of rule.labels) labels[label] = asLabel(labelText(label) ?? "");
  const value = rule.value === undefined ? undefined : decimal(valueText(rule.value));
  return value === undefined ? { labels } : { labels, value };
}

/** Labels are names, not texts: what a label's value has beyond its limit is cut off. */
export function asLabel(text: string): string {
  return text.slice(0, limits.labelCharsMax);
}

const decimalShape = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)$/;

function decimal(given: string | number | undefined): number | undefined {
  // Number("") is 0 and Number("0x10") is 16: neither was meant.
  if (typeof given === "string" && !decimalShape.test(given)) return undefined;
  const value = Number(given);
  return Number.isFinite(value) ? value : undefined;
}
