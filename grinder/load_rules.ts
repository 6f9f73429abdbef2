/**
 * The path of a rules file to its rules, all checked: what is wrong with a rule is said when it is
 * loaded, with everything else that is wrong, and never found out from missing events.
 */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { type BuiltIn, builtInEvents, checkBuiltIn } from "./built_in.ts";
import type { Rule } from "./rule.ts";
import { checkRules, describe } from "./rule_checks.ts";

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
  const rules = await importRules(path);
  const problems = checkRules(rules);
  if (problems.length > 0) {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    throw cannotLoad(path, `every check must pass: ${count}\n${problems.join("\n")}`);
  }
  return rules;
}

/** The same without the checks: for who sees that they are rules that have been checked elsewhere. */
export async function importRules(path: string): Promise<Rule[]> {
  const { default: rules } = await importModule(path);
  if (!Array.isArray(rules)) {
    throw cannotLoad(
      path,
      `its default export must be an array of rules: it is ${describe(rules)}. ` +
        "End the file with: export default [rule(...), ...]",
    );
  }
  return rules;
}

/**
 * What the module at `path` exports as `builtIn`, checked; the defaults if it exports none. Throws
 * `RulesError`, which lists every problem.
 */
export async function loadBuiltIn(path: string): Promise<BuiltIn> {
  const { builtIn = builtInEvents() } = await importModule(path);
  const problems = checkBuiltIn(builtIn);
  if (problems.length === 0) return builtIn as BuiltIn;
  throw cannotLoad(path, `every check must pass:\n${problems.join("\n")}`);
}

/** What a matcher plans for one rule; `FrameMatcher.plans` are such. */
export interface RulePlan {
  /** Index of the rule. */
  rule: number;
  /** Plain texts by which candidates are found; undefined: every record is one. */
  literals: readonly string[] | undefined;
  /** Estimated nanoseconds for each MiB of log text. */
  cost: number;
}

/** One line for each rule that must look at every record, and what that costs. */
export function slowRules(rules: readonly Rule[], plans: readonly RulePlan[]): string[] {
  return plans.filter(({ literals }) => literals === undefined).map(({ rule, cost }) =>
    `rule "${
      rules[rule]!.name
    }": no plain text of 5 bytes or longer is in everything it matches, ` +
    `so it looks at every record: some ${(cost / 1e6).toFixed(1)} ms for each MiB of log text`
  );
}

/** What `--strict` does: throws `RulesError` if a rule must look at every record. */
export function refuseSlowRules(
  path: string,
  rules: readonly Rule[],
  plans: readonly RulePlan[],
): void {
  const slow = slowRules(rules, plans);
  if (slow.length === 0) return;
  const why = "with --strict every rule must need a plain text";
  throw cannotLoad(path, `${why}: ${slow.length} of ${rules.length} don't\n${slow.join("\n")}`);
}

async function importModule(path: string): Promise<{ default?: unknown; builtIn?: unknown }> {
  const absolute = resolve(path);
  try {
    // Runtimes keep a module for ever under its name: each change of the file costs the memory of the
    // old rules, which is small. Bun looks at the query of a path, but not at that of a file: URL.
    const { mtimeNs } = await stat(absolute, { bigint: true });
    return await import(`${absolute}?mtime=${mtimeNs}`);
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
