import { expect, test } from "bun:test";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { seededRandom } from "../../tests/fleet/random.ts";
import { loadRules } from "../load_rules.ts";
import { RandomLog } from "../sieve/random_rules.ts";
import { numberedRegex } from "./numbered.ts";

/** What a regex says by names, and what it says without them. */
function both(regex: RegExp, text: string): [named: unknown, numbered: unknown] {
  const { regex: unnamed, numbers } = numberedRegex(regex)!;
  const [match, other] = [regex.exec(text), unnamed.exec(text)];
  const groups = other && Object.fromEntries([...numbers].map(([name, n]) => [name, other[n]]));
  return [match && { ...match.groups }, groups];
}

test("a numbered regex says what the named one says, of the shipped rules' lines", async () => {
  const rules = await loadRules(join(fileURLToPath(new URL("../..", import.meta.url)), "rules.ts"));
  let matched = 0;
  for (const rule of rules) {
    if (rule.kind !== "regex") continue;
    expect(numberedRegex(rule.regex)!.regex.source).not.toMatch(/\(\?<\w/);
    for (const text of [...rule.yes, ...rule.no]) {
      const [named, numbered] = both(rule.regex, text);
      expect([rule.name, text, numbered]).toEqual([rule.name, text, named]);
      if (named) matched++;
    }
  }
  expect(matched).toBeGreaterThan(50);
});

test("a numbered regex says what the named one says, of random regexes", () => {
  const log = new RandomLog(seededRandom(8));
  let matched = 0;
  for (let round = 0; round < 3_000; round++) {
    const { rule, text } = log.rule("r");
    if (!numberedRegex(rule.regex)) continue;
    const [named, numbered] = both(rule.regex, text());
    expect([String(rule.regex), numbered]).toEqual([String(rule.regex), named]);
    if (named) matched++;
  }
  expect(matched).toBeGreaterThan(500);
});

test("a numbered regex refers to groups by numbers, before and behind them, digits behind or not", () => {
  const regex = /(x)(?<a>.)\k<a>0(?:\k<b>(?<b>y)|z)[(?<c>]\(?<d>/;
  expect(numberedRegex(regex)!.regex.source).toBe(
    "(x)(.)(?:\\2)0(?:(?:\\3)(y)|z)[(?<c>]\\(?<d>",
  );
  for (const text of ["xqq0y(<d>", "xqq0z>(<d>", "xqr0z>(<d>", "xqq0z<<d>"]) {
    const [named, numbered] = both(regex, text);
    expect([text, numbered]).toEqual([text, named]);
  }
  expect(both(/(?<ü>\p{L}+) (?<v>[\p{L}--[a]]+)/v, "ä b")[1]).toEqual({ ü: "ä", v: "b" });
});

test("a numbered regex isn't made where names don't have one number, or where it stops matters", () => {
  const twice = new RegExp("(?<a>x)|(?<a>y)");
  expect([numberedRegex(twice), numberedRegex(/(?<a>x)/g), numberedRegex(/(?<a>x)/y)]).toEqual(
    [null, null, null],
  );
  const regex = /(?<a>x)/;
  expect(numberedRegex(regex)).toBe(numberedRegex(regex));
});
