/**
 * A plugin of `deno lint`: a call that writes a rule down to a report of what is wrong with it, as soon
 * as it is written. Where a part is not written as a literal it keeps silent, and the check at load
 * decides.
 *
 * | lint rule | what it reports |
 * |-----------|-----------------|
 * | rule-groups | `rule(NAME, /regex/, {labels, value})`: a label or value that isn't a named group |
 * | rule-fields | `json(NAME, {where, labels, value})`, `logfmt(...)`: no condition, a field that can't be one |
 * | rule-literals | `mapper(NAME, [literals], ...)`: a literal that can't be looked for |
 *
 * Only the parts of Deno.lint that are used are described here: the API is marked unstable, and this
 * file is type-checked without Deno's types.
 */
import { groupNames } from "./rule.ts";
import { fieldProblem, literalProblem, noCondition, notAGroup } from "./rule_checks.ts";

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

/** The arguments of a call of one of these functions. */
function argumentsOf(call: Node, ...names: string[]): Node[] | undefined {
  if (call.callee?.type !== "Identifier" || !names.includes(call.callee.name!)) return undefined;
  return call.arguments ?? [];
}

function checkGroups(context: RuleContext, call: Node): void {
  const [, regex, options] = argumentsOf(call, "rule") ?? [];
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

function checkFields(context: RuleContext, call: Node): void {
  const [, options] = argumentsOf(call, "json", "logfmt") ?? [];
  if (options?.type !== "ObjectExpression") return;
  const kind = call.callee!.name as "json" | "logfmt";
  const where = property(options, "where");
  if (where?.properties?.length === 0) context.report({ node: where, message: noCondition });
  const labels = property(options, "labels");
  const fields = [
    ...(where?.properties ?? []).map(({ key }) => key?.name ? { ...key, value: key.name } : key),
    ...(labels?.elements ?? []),
    ...(labels?.properties ?? []).map((property) => property.value as Node | undefined),
    property(options, "value"),
  ];
  for (const node of fields) {
    const message = typeof node?.value === "string" ? fieldProblem(kind, node.value) : undefined;
    if (message !== undefined) context.report({ node: node!, message });
  }
}

function checkLiterals(context: RuleContext, call: Node): void {
  const [, literals] = argumentsOf(call, "mapper") ?? [];
  for (const node of literals?.elements ?? []) {
    const message = typeof node?.value === "string" ? literalProblem(node.value) : undefined;
    if (message !== undefined) context.report({ node: node!, message });
  }
}

/** The value of a property; nodes of a property call it `value` too. */
function property(object: Node, name: string): Node | undefined {
  const found = object.properties?.find((property) =>
    property.key?.name === name || property.key?.value === name
  );
  return found?.value as Node | undefined;
}

function calling(check: (context: RuleContext, call: Node) => void) {
  return {
    create: (context: RuleContext) => ({
      CallExpression: (call: Node) => check(context, call),
    }),
  };
}

export default {
  name: "logmill",
  rules: {
    "rule-groups": calling(checkGroups),
    "rule-fields": calling(checkFields),
    "rule-literals": calling(checkLiterals),
  },
};
