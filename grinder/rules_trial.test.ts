import { expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { block, line, linkRule, tookRule } from "./fixtures.ts";
import { mapper, rule } from "./rule.ts";
import { oneLine, RulesTrial } from "./rules_trial.ts";

test("a trial says of each rule how often it matched, its labels, its values and examples", () => {
  const never = rule("never", /never ever/, { yes: [] });
  const trial = new RulesTrial([never, tookRule, linkRule], "");
  trial.take(
    block(
      line(0, "link up on a") + line(9, "link up on a") + line(1, "link up on b") +
        line(2, "link down on a"),
    ),
  );
  trial.take(block(line(3, "took 3 ms") + line(4, "took 1.2.3 ms") + line(5, "link up on a")));
  trial.take(block(line(6, "took 4 ms\\x09")));
  expect(trial.textBytes).toBeGreaterThan(200);
  expect(trial.report()).toBe(
    `        5  link
           label way: 2 values: up 4, down 1
           | link up on a
           | link up on b
           | link down on a

        3  took
           value ms: 3 to 4, 3.5 on average, 1 events without
           | took 3 ms
           | took 1.2.3 ms
           | took 4 ms\\t

never matched, 1: never
`,
  );
});

test("a trial tells apart so many values of a label, and says that there are more", () => {
  const trial = new RulesTrial([rule("x", /value (?<v>\w+)/, { labels: ["v"], yes: [] })], "");
  let text = "";
  for (let i = 0; i < limits.rulesLabelValuesMax + 5; i++) text += line(i, `value ${i % 20_000}`);
  trial.take(block(text));
  expect(trial.report()).toContain(`label v: more than ${limits.rulesLabelValuesMax} values: `);
});

test("a trial says of a mapper how often its function failed, and by what", () => {
  const fails = mapper("fails", ["failing"], (text) => {
    throw new Error(`no: ${text}`);
  }, { yes: [] });
  const trial = new RulesTrial([fails], "");
  trial.take(block(line(0, "failing one") + line(1, "failing two") + line(2, "nothing")));
  expect(trial.report()).toBe(
    "rule fails: its function failed on 2 records, first by Error: no: failing one\n\n" +
      "never matched, 1: fails\n",
  );
});

test("an example is one line, whatever is in the text", () => {
  expect(oneLine("a\nb\x1b[2J\tc")).toBe("a\\nb\\u001b[2J\\tc");
  expect(oneLine("x".repeat(500))).toHaveLength(160);
});
