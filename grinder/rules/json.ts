/**
 * Rules on JSON lines: `json()` writes one down, `extractJson()` runs it on a record's text.
 *
 *     json("slow_query", { where: { event: "query", "db.slow": true }, labels: ["db.name"], value: "ms", yes })
 *
 * | part | how it is read |
 * |------|----------------|
 * | the object | from the first `{` to the last `}` of the text: alone, or behind a prefix such as `app: ` |
 * | a field | a path: `a.b` is the key `b` in the object `a`, or the key `a.b` itself; arrays aren't entered |
 * | `where` | string, number, boolean: equal, and of that type; RegExp: matches the value as text; list: one of it |
 * | labels, `value` | string, number, boolean; anything else is as if it weren't there |
 *
 * Of a key that is there twice the last one counts. A text that isn't JSON, or is too long, doesn't
 * match. As fields.ts says, keys and values of `where` must stand in the text as they are usually
 * written: `"event":"query"`, `"event": "query"` or `"event" : "query"`.
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
  type LabelOf,
  literalSet,
  meets,
  plainPiece,
  plainStart,
  type Scalar,
  valuesOf,
} from "./fields.ts";

export interface JsonRule<
  Name extends string = string,
  Label extends string = string,
  Value extends string = string,
> extends FieldRule<Name, Label, Value> {
  readonly kind: "json";
}

/** Writes a rule down; nothing is checked before it is loaded. */
export function json<
  const Name extends string,
  const Labels extends FieldLabels = readonly [],
  const Value extends string = never,
>(name: Name, options: FieldOptions<Labels, Value>): JsonRule<Name, LabelOf<Labels>, Value> {
  return { kind: "json", ...fieldRule(name, options, jsonLiterals) };
}

/** What the text says by the rule; null if it doesn't match. */
export function extractJson<Label extends string>(
  rule: JsonRule<string, Label>,
  text: string,
): Extracted<Label> | null {
  if (!holdsLiterals(rule.literals, text)) return null;
  const object = objectIn(text);
  if (object === undefined) return null;
  const met = rule.conditions.every(([path, condition]) =>
    meets(condition, scalarAt(object, path))
  );
  if (!met) return null;
  return extracted(rule, (label) => scalarAt(object, rule.fields[label]!)?.toString(), (path) => {
    const value = scalarAt(object, path);
    return typeof value === "boolean" ? undefined : value;
  });
}

function objectIn(text: string): unknown {
  if (text.length > limits.structuredCharsMax) return undefined;
  const start = text.indexOf("{");
  if (start < 0) return undefined;
  try {
    return JSON.parse(text.slice(start, text.lastIndexOf("}") + 1));
  } catch {
    // Cut short, or no JSON at all.
    return undefined;
  }
}

function scalarAt(object: unknown, path: string): Scalar | undefined {
  const value = valueAt(object, path);
  const isScalar = typeof value === "string" || typeof value === "number" ||
    typeof value === "boolean";
  return isScalar ? value : undefined;
}

function valueAt(object: unknown, path: string): unknown {
  if (typeof object !== "object" || object === null || Array.isArray(object)) return undefined;
  const own = object as Record<string, unknown>;
  if (Object.hasOwn(own, path)) return own[path];
  for (let dot = path.indexOf("."); dot >= 0; dot = path.indexOf(".", dot + 1)) {
    const key = path.slice(0, dot);
    const value = Object.hasOwn(own, key) ? valueAt(own[key], path.slice(dot + 1)) : undefined;
    if (value !== undefined) return value;
  }
  return undefined;
}

function jsonLiterals(path: string, condition: Condition): string[][] {
  const keys = path.split(".");
  const last = keys.at(-1)!;
  // Whether the dots divide keys or stand in one, the first key's beginning and the last one's end hold.
  const key = keys.length === 1 ? `"${last}"` : `${last}"`;
  const isPlain = plainStart(last) === last;
  const values = valuesOf(condition) ?? [];
  // A number may be written in many ways: 5, 5.0, 50e-1.
  const listed = values.some((value) => typeof value === "number") ? [] : values;
  return [
    ...literalSet(isPlain ? listed.flatMap((value) => pairs(key, value)) : []),
    ...literalSet([isPlain ? key : plainPiece(last)]),
    ...(keys.length > 1 ? literalSet([`"${plainStart(keys[0]!)}`]) : []),
    ...literalSet(listed.map((value) => plainPiece(String(value)))),
  ];
}

/** A key and its value in the three ways in which programs space them. */
function pairs(key: string, value: Scalar): string[] {
  const start = plainStart(String(value));
  const quoted = `"${start}${start === value ? '"' : ""}`;
  return [":", ": ", " : "].map((colon) =>
    key + colon + (typeof value === "string" ? quoted : value)
  );
}
