/** A regex as it stands on the command line in, a rule that looks for it out. */
import { UsageError } from "../../shared/options.ts";
import { type Rule, rule } from "../rule.ts";
import { explosivePart } from "../rules/backtracking.ts";

export interface AskedRegex {
  source: string;
  ignoreCase: boolean;
}

/** Throws `UsageError` for what is no regex, and for one that could take for ever. */
export function checkRegex({ source, ignoreCase }: AskedRegex): void {
  let regex: RegExp;
  try {
    regex = new RegExp(source, flagsOf(ignoreCase));
  } catch (error) {
    throw new UsageError(
      `Cannot look for ${source} because it must be a regular expression: ${
        (error as Error).message
      }`,
    );
  }
  const part = explosivePart(regex);
  if (part === undefined) return;
  throw new UsageError(
    `Cannot look for ${source} because it must not repeat what can be repeated in several ways, ` +
      `beside what keeps it from running in linear time: the part is ${part}`,
  );
}

/** The regex sees what a rule's sees: a record's text, unescaped. */
export function ruleOf({ source, ignoreCase }: AskedRegex): Rule {
  return rule("grep", new RegExp(source, flagsOf(ignoreCase)), { yes: [] });
}

function flagsOf(ignoreCase: boolean): string {
  return ignoreCase ? "i" : "";
}
