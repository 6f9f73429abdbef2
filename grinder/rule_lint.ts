/**
 * A plugin of `deno lint`: a call `rule(NAME, /regex/, {labels, value})` to a report for each label or
 * value that isn't a named group of the regex, as soon as it is written. Where a part is not
 * written as a literal it keeps silent, and the check at load decides.
 *
 * Only the parts of Deno.lint that are used are described here: the API is marked unstable, and this
 * file is type-checked without Deno's types.
 */
import { notAGroup } from "./load_rules.ts";
import { groupNames } from "./rule.ts";

interface Node {
  type: string;
  callee?: Node;
  arguments?: Node[];
  name?: string;
  value?: unknown;
  regex?: { pattern: string; flags: string };
  properties?: Node[];
  elements?: (Node | null)[];
  key?: Node;
}

interface RuleContext {
  report(data: { node: Node; message: string }): void;
}

function checkCall(context: RuleContext, call: Node): void {
  if (call.callee?.type !== "Identifier" || call.callee.name !== "rule") return;
  const [, regex, options] = call.arguments ?? [];
  if (regex?.regex === undefined || options?.type !== "ObjectExpression") return;
  const groups = groupsOf(context, regex);
  if (groups === undefined) return;
  const check = (use: "label" | "value", node: Node | null | undefined) => {
    if (typeof node?.value !== "string" || groups.includes(node.value)) return;
    context.report({ node, message: notAGroup(use, node.value, groups) });
  };
  for (const label of property(options, "labels")?.elements ?? []) check("label", label);
  check("value", property(options, "value"));
}

/** A wrong regex is reported here: thrown, it would end the whole plugin with a stack trace. */
function groupsOf(context: RuleContext, node: Node): string[] | undefined {
  try {
    return groupNames(new RegExp(node.regex!.pattern, node.regex!.flags));
  } catch (error) {
    context.report({ node, message: `its regex must be valid: ${(error as Error).message}` });
  }
}

/** The value of a property; nodes of a property call it `value` too. */
function property(object: Node, name: string): Node | undefined {
  const found = object.properties?.find((property) =>
    property.key?.name === name || property.key?.value === name
  );
  return found?.value as Node | undefined;
}

export default {
  name: "logmill",
  rules: {
    "rule-groups": {
      create: (context: RuleContext) => ({
        CallExpression: (call: Node) => checkCall(context, call),
      }),
    },
  },
};
