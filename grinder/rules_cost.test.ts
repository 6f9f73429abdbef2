import { expect, test } from "bun:test";
import { block, line, linkRule } from "./fixtures.ts";
import { rule } from "./rule.ts";
import { formatCosts, measureCosts } from "./rules_cost.ts";

test("costs say what each rule was run on and how long that took, the dearest first", () => {
  const everywhere = rule("everywhere", /\d\w/, { yes: [] });
  const text = block(
    line(0, "link up on a") + line(1, "link up") + line(2, "nothing") + line(3, "link down on a"),
  );
  // A clock that goes on by a millisecond at each look, but by a second while the runtime compiles.
  let [ms, looks] = [0, 0];
  const nowMs = () => ms += looks++ < 20 ? 1000 : 1;
  const costs = measureCosts([linkRule, everywhere], [text, text], nowMs);
  expect(costs.textBytes).toBe(2 * text.length);
  expect(costs.rules.map((cost) => [cost.rule, cost.runs, cost.matches])).toEqual([
    ["everywhere", 8, 0],
    ["link", 6, 4],
  ]);
  const [dear, cheap] = costs.rules;
  expect(dear!.literals).toBeUndefined();
  expect(cheap!.literals).toContain("link ");
  expect([dear!.ms, cheap!.ms]).toEqual([8, 6]);
  expect(dear!.nsPerMiB).toBeCloseTo(dear!.ms * 1e6 * 2 ** 20 / costs.textBytes, 3);
  expect(costs.plans.map(({ literals }) => literals !== undefined)).toEqual([true, false]);
  const table = formatCosts(costs).split("\n");
  expect(table[0]).toMatch(/^rule +ns\/MiB +ms +candidates +runs +matches +looks for$/);
  expect(table[1]).toMatch(/^everywhere .* 8 +0 {2}EVERY RECORD$/);
  expect(table[2]).toMatch(/^link .* 6 +4 {2}"link "/);
  expect(table.at(-2)).toMatch(/^all 2 rules on 0\.0 MiB: \d+ ms, \d+ MB\/s; \d+ ms of it in the/);
});
