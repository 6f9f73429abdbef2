import { expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { escapeText, parseRecord } from "../shared/record.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { linkRule, tookRule } from "./fixtures.ts";
import { LiteralMatcher, SlowMatcher } from "./match.ts";
import { rule } from "./rule.ts";
import { RandomLog } from "./sieve/random_rules.ts";

const record = (text: string) => parseRecord(`6,1,2,-,caller=T1;${text}`)!;

test("a matcher says each rule that matches, in the rules' order, with what it takes", () => {
  const matcher = new SlowMatcher([tookRule, linkRule]);
  expect(matcher.match(record("link up on eth0 took 3.5 ms"))).toEqual([
    { rule: tookRule, labels: {}, value: 3.5 },
    { rule: linkRule, labels: { way: "up" } },
  ]);
  expect(matcher.match(record("nothing of interest"))).toEqual([]);
});

test("a matcher's rules see the unescaped text, and nothing of the record's prefix", () => {
  const text = rule("text", /^é\n(?<rest>.*)$/, { labels: ["rest"], yes: ["é\nx"] });
  const prefix = rule("prefix", /caller|,2,/, { yes: ["caller"] });
  expect(new SlowMatcher([text, prefix]).match(record("\\xc3\\xa9\\x0ax"))).toEqual(
    [{ rule: text, labels: { rest: "x" } }],
  );
});

test("a matcher cuts a label's value at its limit", () => {
  const all = rule("all", /a(?<rest>.*)/, { labels: ["rest"], yes: ["ab"] });
  const [match] = new SlowMatcher([all]).match(record(`a${"b".repeat(10_000)}`));
  expect(match!.labels["rest"]).toBe("b".repeat(limits.labelCharsMax));
});

test("a matcher that looks for literals first says what the slow one says, of random rules and texts", () => {
  const log = new RandomLog(seededRandom(9));
  let matched = 0;
  for (let round = 0; round < 200; round++) {
    const made = Array.from({ length: 4 }, (_, i) => log.rule(`r${i}`));
    const rules = made.map(({ rule }) => rule).filter(({ regex }) => !regex.global);
    const [quick, slow] = [new LiteralMatcher(rules), new SlowMatcher(rules)];
    for (let i = 0; i < 20; i++) {
      const line = record(escapeText(log.line(made.map(({ text }) => text))));
      const said = slow.match(line);
      expect(quick.match(line)).toEqual(said);
      matched += said.length;
    }
  }
  expect(matched).toBeGreaterThan(1_000);
});
