import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { type Rule, rule } from "../rule.ts";
import { planRules } from "./plan.ts";

function plan(regexes: RegExp[], sample = "") {
  const rules: Rule[] = regexes.map((regex, i) => rule(`r${i}`, regex, { yes: [] }));
  return planRules(rules, Buffer.from(sample, "latin1"));
}

const literalsOf = (regex: RegExp, sample?: string) => plan([regex], sample)[0]!.literals;

test("a plan looks for what is rare in the sample", () => {
  const regex = /usb \d+-\d+: reset of .* failed/;
  const resets = "6,1,2,-;usb 1-1: reset of it\n".repeat(500);
  const failures = "6,1,2,-;the test has failed\n".repeat(500);
  expect(literalsOf(regex, resets)).toEqual([" failed"]);
  expect(literalsOf(regex, failures)).toEqual([": reset of "]);
});

test("a plan without a sample looks for what is rare in log text", () => {
  expect(literalsOf(/the state .* NETDEV WATCHDOG/)).toEqual([" NETDEV WATCHDOG"]);
  expect(literalsOf(/error .* error: oom-killer/)).toEqual([" error: oom-killer"]);
  expect(literalsOf(/(?:first|second|third) thing .* the only one/)).toEqual([" the only one"]);
});

test("a plan looks for many literals only where few are common", () => {
  const regex = /temperature \d/;
  expect(literalsOf(regex)).toEqual(["temperature "]);
  const common = "6,1,2,-;memory ok, temperature ok\n".repeat(500);
  expect(literalsOf(regex, common)).toContain("temperature 7");
  expect(literalsOf(regex, common)).toHaveLength(10);
});

test("a plan names rules that look at every record, and they cost more than any other", () => {
  const [every, common] = plan([/\d+ \w+/, /the text/], "6,1,2,-;the text\n".repeat(1_000));
  expect(every!.literals).toBeUndefined();
  expect(common!.literals).toEqual(["the text"]);
  expect(every!.cost).toBeGreaterThan(common!.cost);
  expect(common!.cost).toBeGreaterThan(0);
});

test("a plan is the same each time, and in the rules' order", () => {
  const regexes = [/first .* thing/, /nothing|\w/, /third (?:thing|matter) .* here/];
  const once = plan(regexes, "first third here\n".repeat(99));
  expect(once.map(({ rule }) => rule)).toEqual([0, 1, 2]);
  expect(plan(regexes, "first third here\n".repeat(99))).toEqual(once);
});
