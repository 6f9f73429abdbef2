/**
 * Rules that are a function, for what a regex can't say: `mapper()` writes one down, `extractMapper()`
 * runs it on a record's text.
 *
 *     mapper("odd_checksum", ["checksum "], (text) => ..., { labels: ["where"], yes, no })
 *
 * The function is called only where one of the literals stands in the text. It returns
 * `{labels, value}`, or null where it has nothing to say. If it throws, or returns something else, the
 * record counts as one that doesn't match; `takeFailures` says how often that was. Nothing can stop a
 * function that runs too long: the grinder waits for it, as it does for a regex.
 */
import { type CommonOptions, type Extracted, extracted, type RuleBase } from "./extracted.ts";

/** What the function makes of a text. */
export interface Mapped<Label extends string> {
  labels?: Record<Label, string>;
  value?: number | undefined;
}

/** What an operator writes behind the function. */
export interface MapperOptions<Label extends string, Value extends string> extends CommonOptions {
  /** All that the function returns as labels: few different values each. */
  labels?: readonly Label[];
  /** What its value is; if it is given, the function must return one for each yes line. */
  value?: Value;
}

export interface MapperRule<
  Name extends string = string,
  Label extends string = string,
  Value extends string = string,
> extends RuleBase<Name, Label, Value> {
  readonly kind: "mapper";
  /** The operator's: what it returns needn't be what its type says. */
  readonly map: (text: string) => unknown;
  /** One set of plain texts: the text of every match holds at least one of them. */
  readonly literals: readonly (readonly string[])[];
  /** Since they were last taken. */
  readonly failures: Failures;
}

export interface Failures {
  count: number;
  /** What was thrown first. */
  first: string;
}

/** Writes a rule down; nothing is checked before it is loaded. */
export function mapper<
  const Name extends string,
  const Label extends string = never,
  const Value extends string = never,
>(
  name: Name,
  literals: readonly string[],
  map: (text: string) => Mapped<NoInfer<Label>> | null,
  options: MapperOptions<Label, Value>,
): MapperRule<Name, Label, Value> {
  const { labels = [], value, device = [], yes, no = [] } = options;
  const failures = { count: 0, first: "" };
  return {
    kind: "mapper",
    name,
    literals: [literals],
    map,
    failures,
    labels,
    value,
    device,
    yes,
    no,
  };
}

/** What the text says by the rule; null if it doesn't match. */
export function extractMapper<Label extends string>(
  rule: MapperRule<string, Label>,
  text: string,
): Extracted<Label> | null {
  if (!rule.literals.every((set) => set.some((literal) => text.includes(literal)))) return null;
  try {
    const mapped = rule.map(text);
    return mapped === null ? null : checked(rule, mapped);
  } catch (error) {
    if (rule.failures.count++ === 0) rule.failures.first = String(error);
    return null;
  }
}

function checked<Label extends string>(
  rule: MapperRule<string, Label>,
  mapped: unknown,
): Extracted<Label> {
  const said = mapped as { labels?: Record<string, unknown>; value?: unknown };
  if (typeof said !== "object" || typeof (said.labels ?? {}) !== "object" || "then" in said) {
    throw new TypeError(`it must return {labels, value} or null: it returned ${typeof mapped}`);
  }
  const value = typeof said.value === "number" ? said.value : undefined;
  const textOf = (label: string) => {
    const text = said.labels?.[label];
    return text === undefined ? undefined : String(text);
  };
  // A value that isn't declared has no name, but counts all the same.
  return extracted({ labels: rule.labels, value: "value" }, textOf, () => value);
}

/** The mappers among the rules that have failed since the last call. */
export function takeFailures(
  rules: readonly { kind: string; name: string; failures?: Failures }[],
): Array<Failures & { rule: string }> {
  const failed = rules.filter(({ failures }) => failures && failures.count > 0);
  return failed.map(({ name, failures }) => {
    const taken = { rule: name, ...failures! };
    Object.assign(failures!, { count: 0, first: "" });
    return taken;
  });
}
