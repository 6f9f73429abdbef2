/**
 * What `json()` and `logfmt()` rules have in common: conditions on fields, fields that become labels,
 * and the plain texts that a line must hold to be looked at.
 *
 * Such a rule matches only where its fields stand in the text *as they are usually written*: a key or a
 * text of `where` that is spelled with escapes it doesn't need (`"\u0065vent"`) isn't found. So the
 * grinder can look for plain texts in whole frames, and parse only the lines that have them.
 */
import type { CommonOptions, RuleBase } from "./extracted.ts";

export type Scalar = string | number | boolean;

/** The field is this, matches this, or is one of these. */
export type Condition = Scalar | RegExp | readonly Scalar[];

/** Fields that become labels, as they are called in the line or under names of one's own. */
export type FieldLabels = readonly string[] | Readonly<Record<string, string>>;

export type LabelOf<Labels extends FieldLabels> = Labels extends readonly string[] ? Labels[number]
  : keyof Labels & string;

/** What an operator writes for a rule on fields. */
export interface FieldOptions<Labels extends FieldLabels, Value extends string>
  extends CommonOptions {
  /** Field -> what it must be; all of them. */
  where: Readonly<Record<string, Condition>>;
  /** Few different values each. */
  labels?: Labels;
  /** The field with a decimal number; the aggregate has its distribution. */
  value?: Value;
}

export interface FieldRule<Name extends string, Label extends string, Value extends string>
  extends RuleBase<Name, Label, Value> {
  readonly conditions: readonly (readonly [field: string, condition: Condition])[];
  /** Label -> field. */
  readonly fields: Readonly<Record<string, string>>;
  /** Sets of plain texts: the text of every match holds at least one of each. */
  readonly literals: readonly (readonly string[])[];
}

/** Writes down what the two kinds have in common. */
export function fieldRule<Name extends string, Labels extends FieldLabels, Value extends string>(
  name: Name,
  options: FieldOptions<Labels, Value>,
  literalsOf: (field: string, condition: Condition) => string[][],
): FieldRule<Name, LabelOf<Labels>, Value> {
  const { labels = [], value, device = [], yes, no = [] } = options;
  const pairs =
    (Array.isArray(labels) ? labels.map((label) => [label, label]) : Object.entries(labels)) as [
      LabelOf<Labels>,
      string,
    ][];
  // Nothing is checked before the rule is loaded; until then it only mustn't throw.
  const conditions = Object.entries(options.where ?? {});
  return {
    name,
    conditions,
    labels: pairs.map(([label]) => label),
    fields: Object.fromEntries(pairs),
    value,
    device,
    yes,
    no,
    literals: conditions.flatMap(([field, condition]) => literalsOf(field, condition)),
  };
}

/** Whether a field's value is what the condition says; `undefined` never is. */
export function meets(condition: Condition, value: Scalar | undefined): boolean {
  if (value === undefined) return false;
  if (condition instanceof RegExp) return condition.test(String(value));
  return isList(condition) ? condition.includes(value) : condition === value;
}

/** The definition of "as they are usually written": what the sieve looks for must be there. */
export function holdsLiterals(
  literals: FieldRule<string, string, string>["literals"],
  text: string,
) {
  return literals.every((set) => set.some((literal) => text.includes(literal)));
}

/** Printable ASCII without " & ' / < > and the backslash: what no writer of JSON or logfmt escapes. */
const plain = /[ !#-%(-.0-;=?-[\]-~]*/y;

/** What no writer escapes, from the beginning of a text on. */
export function plainStart(text: string, from = 0): string {
  plain.lastIndex = from;
  return plain.exec(text)![0];
}

/** The longest piece of a text that no writer escapes. */
export function plainPiece(text: string): string {
  let longest = "";
  for (let at = 0; at < text.length;) {
    const piece = plainStart(text, at);
    if (piece.length > longest.length) longest = piece;
    at += piece.length + 1;
  }
  return longest;
}

/** The values by which a condition can be met; undefined if they can't be listed. */
export function valuesOf(condition: Condition): readonly Scalar[] | undefined {
  if (isList(condition)) return condition;
  return typeof condition === "object" ? undefined : [condition];
}

export function isList(condition: Condition): condition is readonly Scalar[] {
  return Array.isArray(condition);
}

/** A set of literals, if it says anything. */
export function literalSet(literals: readonly string[]): string[][] {
  return literals.length > 0 && literals.every((literal) => literal !== "") ? [[...literals]] : [];
}
