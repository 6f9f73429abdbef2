/**
 * Rules on logfmt lines: `logfmt()` writes one down, `extractLogfmt()` runs it on a record's text.
 *
 *     logfmt("slow_query", { where: { event: "query" }, labels: ["db"], value: "ms", yes })
 *
 * | part of the text | how it is read |
 * |------------------|----------------|
 * | `key=value` | up to the next blank (a space or a control character) |
 * | `key="a \"quoted\" value"` | escapes as in a JSON string |
 * | `key=`, `key` | the empty value; so a prefix such as `app[12]:` is a key, and does no harm |
 *
 * Keys hold no blank, `=` or `"`. That is how Go's logfmt libraries read and write; but where those refuse
 * a `=` or `"` inside an unquoted value (`url=/a?b=c`), it is taken here. Of a key that is there twice
 * the last one counts. A text that can't be read to its end, or is too long, doesn't match.
 *
 * All values are text: `where: { code: 5 }` is `code=5`. As fields.ts says, keys and values of `where`
 * must stand in the text as they are usually written: `event=query` or `event="query"`.
 */
import { limits } from "../../shared/limits.ts";
import { type Extracted, extracted } from "./extracted.ts";
import {
  type Condition,
  type FieldLabels,
  type FieldOptions,
  type FieldRule,
  fieldRule,
  holdsLiterals,
  isList,
  type LabelOf,
  literalSet,
  meets,
  plainPiece,
  plainStart,
  valuesOf,
} from "./fields.ts";

export interface LogfmtRule<
  Name extends string = string,
  Label extends string = string,
  Value extends string = string,
> extends FieldRule<Name, Label, Value> {
  readonly kind: "logfmt";
}

/** Writes a rule down; nothing is checked before it is loaded. */
export function logfmt<
  const Name extends string,
  const Labels extends FieldLabels = readonly [],
  const Value extends string = never,
>(name: Name, options: FieldOptions<Labels, Value>): LogfmtRule<Name, LabelOf<Labels>, Value> {
  const written = fieldRule(name, options, logfmtLiterals);
  const conditions = written.conditions.map(([key, condition]) =>
    [key, asTexts(condition)] as const
  );
  return { kind: "logfmt", ...written, conditions };
}

/** What the text says by the rule; null if it doesn't match. */
export function extractLogfmt<Label extends string>(
  rule: LogfmtRule<string, Label>,
  text: string,
): Extracted<Label> | null {
  if (!holdsLiterals(rule.literals, text)) return null;
  const pairs = parseLogfmt(text);
  if (!pairs?.size) return null;
  if (!rule.conditions.every(([key, condition]) => meets(condition, pairs.get(key)))) return null;
  return extracted(rule, (label) => pairs.get(rule.fields[label]!), (key) => pairs.get(key));
}

const pair = /[\0- ]*([^\0- ="]+)(?:=(?:"((?:[^"\\]|\\[^])*)"(?=[\0- ]|$)|((?!")[^\0- ]*)))?/y;
const blanks = /[\0- ]*$/y;

/** The pairs of a line; undefined if it isn't one, or is too long. */
export function parseLogfmt(text: string): Map<string, string> | undefined {
  if (text.length > limits.structuredCharsMax) return undefined;
  const pairs = new Map<string, string>();
  for (let at = 0; !isBlank(text, at);) {
    pair.lastIndex = at;
    const match = pair.exec(text);
    if (match === null) return undefined;
    const value = match[2] === undefined ? match[3] ?? "" : unquote(match[2]);
    if (value === undefined) return undefined;
    pairs.set(match[1]!, value);
    at = pair.lastIndex;
  }
  return pairs;
}

function isBlank(text: string, at: number): boolean {
  blanks.lastIndex = at;
  return blanks.test(text);
}

function unquote(inside: string): string | undefined {
  if (!inside.includes("\\")) return inside;
  try {
    return JSON.parse(`"${inside}"`);
  } catch {
    return undefined;
  }
}

function asTexts(condition: Condition): Condition {
  if (isList(condition)) return condition.map(String);
  return typeof condition === "object" ? condition : String(condition);
}

function logfmtLiterals(key: string, condition: Condition): string[][] {
  const values = valuesOf(condition)?.map(String) ?? [];
  // A key without a value may stand alone.
  const mayBeBare = valuesOf(condition) === undefined || values.includes("");
  return [
    ...literalSet(mayBeBare ? [] : values.flatMap((value) => written(key, value))),
    ...literalSet([plainPiece(mayBeBare ? key : `${key}=`)]),
    ...literalSet(values.map(plainPiece)),
  ];
}

function written(key: string, value: string): string[] {
  const start = plainStart(value);
  const quoted = `${key}="${start}${start === value ? '"' : ""}`;
  return /[\s=]/.test(value) ? [quoted] : [`${key}=${start}`, quoted];
}
