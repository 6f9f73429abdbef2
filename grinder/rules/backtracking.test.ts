import { fileURLToPath } from "node:url";
import { expect, test } from "bun:test";
import { loadRules } from "../load_rules.ts";
import { explosivePart } from "./backtracking.ts";

test.each([
  [/x(?:a|aa)+(?=b)b/, "(?:a|aa)+"],
  [/x(?:a+)*(?!c)b/, "(?:a+)*"],
  [/x(?:a|aa)+b/i, "(?:a|aa)+"],
  [/x(?:a|aa)+b/u, "(?:a|aa)+"],
  [new RegExp("x(?i:y)(?:a|aa)+b"), "(?:a|aa)+"],
  [/(x)(?:a|aa)+\1/, "(?:a|aa)+"],
  [/x(?:a|aa){1,50}b/, "(?:a|aa){1,50}"],
  [/x(?:a?){11}(?=b)b/, "(?:a?){11}"],
  [/x(?:(?:a|aa)+,)+y{1,17}/, "(?:(?:a|aa)+,)+"],
])(
  "a regex that the linear engine can't run may not repeat what has a choice: %s",
  (regex, part) => {
    expect(explosivePart(regex)).toBe(part);
  },
);

test.each([
  // The linear engine can run these.
  /x(?:a|aa)+b/,
  /(?<=x)(?:a+)+\bb/,
  /x(?:a|aa){1,15}b/,
  /x(?:a{1,4}|b){1,4}c/,
  // These have no choice, or few repetitions of it.
  /x[a-z]+(?=b)/,
  /x(?:ab)+(?=c)/,
  /x(?: [a-z]+(?!y)){0,5}/,
  /x\w{1,40}y/i,
])("a regex is let through that can't take for ever: %s", (regex) => {
  expect(explosivePart(regex)).toBeUndefined();
});

test("no shipped rule's regex can take for ever", async () => {
  const rules = await loadRules(fileURLToPath(new URL("../../rules.ts", import.meta.url)));
  for (const rule of rules) {
    if (rule.kind === "regex") {
      expect([rule.name, explosivePart(rule.regex)]).toEqual([rule.name, undefined]);
    }
  }
});
