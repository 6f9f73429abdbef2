/** What a thread is told when it is started, and what it says. */
import type { Rule, takeFailures } from "../rule.ts";

export interface ThreadData {
  memory: SharedArrayBuffer;
  /** Rules may hold functions, which only their file can give to another thread. */
  rulesPath: string;
  /** `rulesMark` of the rules that the others have. */
  mark: string;
}

/** What a thread says: why it can't work, or at its end how its rules have failed (`takeFailures`). */
export type ThreadWord = string | Failures;
export type Failures = ReturnType<typeof takeFailures>;

/** Equal for equal rules: a file may have changed between the times when two threads read it. */
export function rulesMark(rules: readonly Rule[]): string {
  return JSON.stringify(rules, (key, value: unknown) => {
    if (key === "failures") return undefined;
    return value instanceof RegExp || typeof value === "function" ? String(value) : value;
  });
}
