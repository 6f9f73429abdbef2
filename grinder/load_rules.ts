/**
 * The path of a rules file to its rules, all checked: what is wrong with a rule is said when it is
 * loaded, with everything else that is wrong, and never found out from missing events.
 */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { extract, groupNames, type Rule } from "./rule.ts";

/** The rules file can't be used as it is; loading it again helps only after it was changed. */
export class RulesError extends Error {
  override name = "RulesError";
  readonly code = "rules";
}

/**
 * Imports the module at `path` (default export: an array of rules) as it is now, also where it was
 * imported before. Its own imports are not read again. Throws `RulesError`, which lists every problem.
 */
export async function loadRules(path: string): Promise<Rule[]> {
  const rules = await importDefault(path);
  if (!Array.isArray(rules)) {
    throw cannotLoad(
      path,
      `its default export must be an array of rules: it is ${describe(rules)}. ` +
        "End the file with: export default [rule(...), ...]",
    );
  }
  const problems = checkRules(rules);
  if (problems.length > 0) {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    throw cannotLoad(path, `every check must pass: ${count}\n${problems.join("\n")}`);
  }
  return rules;
}

/** Everything that is wrong with the rules, one line each, in their order; empty if nothing is. */
export function checkRules(rules: readonly unknown[]): string[] {
  const seen = new Set<string>();
  return rules.flatMap((rule, index) => {
    if (!isRule(rule)) {
      return [`rule ${index + 1}: it must be made by rule(...): it is ${describe(rule)}`];
    }
    const duplicate = seen.has(rule.name);
    seen.add(rule.name);
    const problems = [
      ...nameProblems(rule, duplicate),
      ...flagProblems(rule),
      ...groupProblems(rule),
      ...exampleProblems(rule),
    ];
    return problems.map((problem) => `rule "${rule.name}": ${problem}`);
  });
}

async function importDefault(path: string): Promise<unknown> {
  const absolute = resolve(path);
  try {
    // Runtimes keep a module for ever under its name: each change of the file costs the memory of the
    // old rules, which is small. Bun looks at the query of a path, but not at that of a file: URL.
    const { mtimeNs } = await stat(absolute, { bigint: true });
    return (await import(`${absolute}?mtime=${mtimeNs}`)).default;
  } catch (error) {
    throw cannotLoad(
      path,
      `it must be a module that can be imported: ${reason(error)}. ` +
        "Correct the file; `deno check` and `deno lint` say more",
      { cause: error },
    );
  }
}

function cannotLoad(path: string, why: string, options?: ErrorOptions): RulesError {
  return new RulesError(`Cannot load rules from ${path} because ${why}`, options);
}

/** Bun throws a syntax error as an AggregateError that says nothing itself. */
function reason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.map(reason).join("; ");
  }
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function isRule(value: unknown): value is Rule {
  const rule = value as Rule | null | undefined;
  return typeof rule === "object" && rule !== null && rule.kind === "regex" &&
    typeof rule.name === "string" && rule.regex instanceof RegExp &&
    [rule.labels, rule.device, rule.yes, rule.no].every(Array.isArray);
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

function flagProblems(rule: Rule): string[] {
  // With g or y a regex remembers where it stopped, and so skips the next record that matches.
  const flags = rule.regex.flags.replaceAll(/[^gy]/g, "");
  if (flags === "") return [];
  return [`its regex must be without the flags g and y: it has ${flags}. Remove them`];
}

function groupProblems(rule: Rule): string[] {
  const groups = groupNames(rule.regex);
  const problems = rule.labels
    .filter((label) => !groups.includes(label))
    .map((label) => notAGroup("label", label, groups));
  if (rule.value !== undefined && !groups.includes(rule.value)) {
    problems.push(notAGroup("value", rule.value, groups));
  }
  for (const label of rule.labels.filter((label) => rule.device.includes(label))) {
    problems.push(`its label must not be a device label too: "${label}" is both. Rename the group`);
  }
  return problems;
}

/** Also what the lint plugin says. */
export function notAGroup(use: "label" | "value", name: string, groups: string[]): string {
  const start = `its ${use} must be a group of the regex: "${name}" is none. `;
  const nearest = groups.toSorted((a, b) => distance(a, name) - distance(b, name))[0];
  if (nearest === undefined) return `${start}The regex has no group; name one by (?<${name}>...)`;
  return `${start}It has ${groups.join(", ")}; did you mean ${nearest}?`;
}

function exampleProblems(rule: Rule): string[] {
  const problems: string[] = [];
  if (rule.yes.length === 0) {
    problems.push("it must have a yes line. Add the text of a real record that it is for");
  }
  for (const line of rule.yes) {
    const extracted = run(rule, line);
    if (extracted === null) {
      problems.push(
        `a yes line must match ${rule.regex}: ${quote(line)} doesn't. Correct one of the two`,
      );
    } else if (rule.value !== undefined && extracted.value === undefined) {
      problems.push(
        `its value "${rule.value}" must be a decimal number in every yes line: it isn't in ` +
          `${quote(line)}. Let the group match digits only`,
      );
    }
  }
  for (const line of rule.no) {
    if (run(rule, line) === null) continue;
    problems.push(
      `a no line must not match ${rule.regex}: ${quote(line)} does. Make the regex narrower`,
    );
  }
  return problems;
}

/** `extract` from the first character, whatever the flags remember: those are a problem of their own. */
function run(rule: Rule, text: string) {
  rule.regex.lastIndex = 0;
  return extract(rule, text);
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
