/**
 * Rules, as their file has them, to everything that is wrong with them: what is checked whenever they
 * are loaded.
 */
import { extract, groupNames, type MapperRule, type RegexRule, type Rule } from "./rule.ts";
import { explosivePart } from "./rules/backtracking.ts";
import type { Condition, FieldRule } from "./rules/fields.ts";

type OnFields = Extract<Rule, FieldRule<string, string, string>>;

/** Everything that is wrong with the rules, one line each, in their order; empty if nothing is. */
export function checkRules(rules: readonly unknown[]): string[] {
  const seen = new Set<string>();
  return rules.flatMap((rule, index) => {
    if (!isRule(rule)) {
      const makers = "rule(...), json(...), logfmt(...) or mapper(...)";
      return [`rule ${index + 1}: it must be made by ${makers}: it is ${describe(rule)}`];
    }
    const duplicate = seen.has(rule.name);
    seen.add(rule.name);
    const problems = [
      ...nameProblems(rule, duplicate),
      ...kindProblems(rule),
      ...bothProblems(rule),
      ...exampleProblems(rule),
    ];
    return problems.map((problem) => `rule "${rule.name}": ${problem}`);
  });
}

export function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function isRule(value: unknown): value is Rule {
  const rule = value as Rule | null | undefined;
  return typeof rule === "object" && rule !== null && typeof rule.name === "string" &&
    [rule.labels, rule.device, rule.yes, rule.no].every(Array.isArray) && hasItsKind(rule);
}

function hasItsKind(rule: Rule): boolean {
  switch (rule.kind) {
    case "regex":
      return rule.regex instanceof RegExp;
    case "json":
    case "logfmt":
      return Array.isArray(rule.conditions);
    case "mapper":
      return typeof rule.map === "function" && Array.isArray(rule.literals[0]);
    default:
      return false;
  }
}

function kindProblems(rule: Rule): string[] {
  switch (rule.kind) {
    case "regex":
      return [...regexProblems("its regex", rule.regex), ...groupProblems(rule)];
    case "json":
    case "logfmt":
      return fieldProblems(rule);
    case "mapper":
      return mapperProblems(rule);
  }
}

const nameShape = /^[a-z][a-z0-9_]*$/;
/** Events that need no rule; those of a rule must not be taken for them. */
const builtIn = ["device_silent", "device_back", "reboot", "gap", "clock_step"];

function nameProblems(rule: Rule, duplicate: boolean): string[] {
  const problems: string[] = [];
  if (!nameShape.test(rule.name)) {
    problems.push(`its name must match ${nameShape}. Use small letters, digits and _`);
  }
  if (builtIn.includes(rule.name)) {
    problems.push("its name must not be that of a built-in event. Rename it");
  }
  if (duplicate) problems.push("its name must be unique: there is one before it. Rename one");
  return problems;
}

function regexProblems(what: string, regex: RegExp): string[] {
  return [...flagProblems(what, regex), ...backtrackProblems(what, regex)];
}

function flagProblems(what: string, regex: RegExp): string[] {
  // With g or y a regex remembers where it stopped, and so skips the next record that matches.
  const flags = regex.flags.replaceAll(/[^gy]/g, "");
  if (flags === "") return [];
  return [`${what} must be without the flags g and y: it has ${flags}. Remove them`];
}

function backtrackProblems(what: string, regex: RegExp): string[] {
  const part = explosivePart(regex);
  if (part === undefined) return [];
  return [
    `${what} must not repeat what can match in several ways, unless it is without lookaheads, ` +
    "backreferences, the flags i, u and v, and repetitions of more than 16: " +
    `it has ${part}, which can take for ever. Repeat a class of characters in its place`,
  ];
}

function groupProblems(rule: RegexRule): string[] {
  const groups = groupNames(rule.regex);
  const problems = rule.labels
    .filter((label) => !groups.includes(label))
    .map((label) => notAGroup("label", label, groups));
  if (rule.value !== undefined && !groups.includes(rule.value)) {
    problems.push(notAGroup("value", rule.value, groups));
  }
  return problems;
}

function bothProblems(rule: Rule): string[] {
  return rule.labels.filter((label) => rule.device.includes(label)).map((label) =>
    `its label must not be a device label too: "${label}" is both. Rename the label`
  );
}

/** Also what the lint plugin says. */
export function notAGroup(use: "label" | "value", name: string, groups: string[]): string {
  const start = `its ${use} must be a group of the regex: "${name}" is none. `;
  const nearest = groups.toSorted((a, b) => distance(a, name) - distance(b, name))[0];
  if (nearest === undefined) return `${start}The regex has no group; name one by (?<${name}>...)`;
  return `${start}It has ${groups.join(", ")}; did you mean ${nearest}?`;
}

function fieldProblems(rule: OnFields): string[] {
  const problems = rule.conditions.length === 0 ? [noCondition] : [];
  for (const [field, condition] of rule.conditions) {
    problems.push(...conditionProblems(field, condition));
  }
  const fields = [...rule.conditions.map(([field]) => field), ...Object.values(rule.fields)];
  if (rule.value !== undefined) fields.push(rule.value);
  problems.push(...fields.flatMap((field) => fieldProblem(rule.kind, field) ?? []));
  return problems;
}

/** Also what the lint plugin says. */
export const noCondition = "its where must have a condition. Say there what its lines have";

/** What is wrong with the name of a field; also what the lint plugin says. */
export function fieldProblem(kind: "json" | "logfmt", field: unknown): string | undefined {
  if (typeof field !== "string") return `a field must be a string: it is ${describe(field)}`;
  if (kind === "json" ? !field.split(".").includes("") : /^[^\0- ="]+$/.test(field)) {
    return undefined;
  }
  const must = kind === "json" ? "keys with dots between them" : 'without blanks, = and "';
  return `a field must be ${must}: current value is ${quote(field)}`;
}

function conditionProblems(field: string, condition: Condition): string[] {
  if (condition instanceof RegExp) return regexProblems(`the regex for ${quote(field)}`, condition);
  const values: readonly unknown[] = Array.isArray(condition) ? condition : [condition];
  const isScalar = (value: unknown) => ["string", "number", "boolean"].includes(typeof value);
  if (values.length > 0 && values.every(isScalar)) return [];
  const must = "a string, number, boolean, RegExp, or a list of the first three";
  return [`what ${quote(field)} must be is to be ${must}: it is ${describe(condition)}`];
}

function mapperProblems({ literals }: MapperRule): string[] {
  const set = literals[0]!;
  if (set.length === 0) return ["it must have a literal. Say what every line holds one of"];
  return set.flatMap((literal) => literalProblem(literal) ?? []);
}

/** What is wrong with a literal of a mapper; also what the lint plugin says. */
export function literalProblem(literal: unknown): string | undefined {
  // In storage a backslash and bytes beyond ASCII look otherwise than in the text.
  if (typeof literal === "string" && /^[\x20-\x5b\x5d-\x7e]{5,}$/.test(literal)) return undefined;
  return "a literal must be 5 or more characters of printable ASCII without a backslash: " +
    `current value is ${typeof literal === "string" ? quote(literal) : describe(literal)}`;
}

function exampleProblems(rule: Rule): string[] {
  const problems: string[] = [];
  if (rule.yes.length === 0) {
    problems.push("it must have a yes line. Add the text of a real record that it is for");
  }
  for (const line of rule.yes) problems.push(...yesProblems(rule, line));
  for (const line of rule.no) problems.push(...noProblems(rule, line));
  return problems;
}

function yesProblems(rule: Rule, line: string): string[] {
  const extracted = run(rule, line);
  if (extracted === null) {
    const why = failureOf(rule) ?? missing(rule, line);
    return [
      `a yes line must match${pattern(rule)}: ${quote(line)} doesn't${why}. Correct one of the two`,
    ];
  }
  if (rule.value === undefined || extracted.value !== undefined) return [];
  return [
    `its value "${rule.value}" must be a decimal number in every yes line: it isn't in ` +
    `${quote(line)}. ${
      rule.kind === "regex" ? "Let the group match digits only" : "Correct one of the two"
    }`,
  ];
}

function noProblems(rule: Rule, line: string): string[] {
  if (run(rule, line) === null) {
    const why = failureOf(rule);
    return why === undefined
      ? []
      : [`a no line must not match: ${quote(line)} can't be told${why}`];
  }
  const narrower = `Make the ${part(rule)} narrower`;
  return [`a no line must not match${pattern(rule)}: ${quote(line)} does. ${narrower}`];
}

/** `extract` from the first character, whatever the flags remember: those are a problem of their own. */
function run(rule: Rule, text: string) {
  if (rule.kind === "regex") rule.regex.lastIndex = 0;
  return extract(rule, text);
}

/** For messages. */
function pattern(rule: Rule): string {
  return rule.kind === "regex" ? ` ${rule.regex}` : "";
}

function part(rule: Rule): string {
  return rule.kind === "regex" ? "regex" : rule.kind === "mapper" ? "function" : "where";
}

/** What a mapper threw just now. */
function failureOf(rule: Rule): string | undefined {
  if (rule.kind !== "mapper" || rule.failures.count === 0) return undefined;
  rule.failures.count = 0;
  return `, since the function failed: ${rule.failures.first}`;
}

function missing(rule: Rule, line: string): string {
  if (rule.kind === "regex") return "";
  const absent = rule.literals.find((set) => !set.some((literal) => line.includes(literal)));
  return absent ? `: it must hold ${absent.map(quote).join(" or ")}` : "";
}

function quote(line: string): string {
  return JSON.stringify(line);
}

/** Levenshtein's: how many characters must be added, removed or replaced. Names are short. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
