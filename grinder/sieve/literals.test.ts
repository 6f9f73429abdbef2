import { expect, test } from "bun:test";
import { escapeText } from "../../shared/record.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { limits } from "../../shared/limits.ts";
import { json, mapper, rule } from "../rule.ts";
import { requiredSets } from "./literals.ts";
import { RandomLog } from "./random_rules.ts";

const setsOf = (regex: RegExp) => requiredSets(rule("r", regex, { yes: [] }));

test.each<[RegExp, string[]]>([
  [/USB disconnect/, ["USB disconnect"]],
  [/usb (?<port>[\d.-]+): USB disconnect, device \d+/, [": USB disconnect, device "]],
  [/Link (?:is )?[Uu]p/, ["Link is Up", "Link is up", "Link Up", "Link up"]],
  [/Link (?:is )?[Uu]p/, ["Link "]],
  [/out of memory|Killed process (?<pid>\d+)/, ["out of memory", "Killed process "]],
  [/(?<what>clock|cpu) (?:throttled|stopped)\b/, [
    ...["clock throttled", "clock stopped", "cpu throttled", "cpu stopped"],
  ]],
  [/^(?:reboot: )(?<how>a|bc)$/, ["reboot: a", "reboot: bc"]],
  [/took \d ms/, Array.from({ length: 10 }, (_, digit) => `took ${digit} ms`)],
  [/took \d ms/, ["took "]],
  [/(?<!end )Kernel(?! never) panic(?= now)/, ["Kernel panic"]],
  [/colou?r set/, ["color set", "colour set"]],
  [/(?:abc){2}d/, ["abcabcd"]],
  [/x(?:abc){2,}d/, ["xabcabc"]],
  [/x(?:abc){2,}d/, ["abcabcd"]],
  [/x(?:abcd)+y/, ["xabcd"]],
  [/(?:abcd)*efghi{0}j/, ["efghj"]],
  [/(?<a>abcde)\k<a>fghij/, ["fghij"]],
  [/(?:ab.*cd|ef)ghijk/, ["cdghijk", "efghijk"]],
  [/abcde(?:fg.*hi|jk)/, ["abcdefg", "abcdejk"]],
  [/abcde(?:fg.*hi|jk)/, ["abcde"]],
  [/\x41\u{42}CD\.e/u, ["ABCD.e"]],
  [/before\\behind/, ["before"]],
  [/before\\behind/, ["behind"]],
  [/größer als/, ["er als"]],
  [/#begin with/, ["begin with"]],
  [/CPU#begin/, ["CPU#begin"]],
])("every match of %s holds one of %j", (regex, literals) => {
  const sets = setsOf(regex).map((set) => set.toSorted());
  expect(sets).toContainEqual(literals.toSorted());
});

test("letters of either case are all looked for, but not those that Unicode has more cases of", () => {
  expect(setsOf(/abcd:/i).map((set) => set.length)).toEqual([16]);
  expect(setsOf(/abcd:/i).flat()).toContain("aBcD:");
  expect(setsOf(/(?i:ab)cdef/)).toContainEqual(["abcdef", "aBcdef", "Abcdef", "ABcdef"]);
  expect(setsOf(/(?-i:abcdef)/i)).toEqual([["abcdef"]]);
  expect(setsOf(/sky: 100/i).flat()).toContain("SKY: 100");
  expect(setsOf(/sky: 100/iu).flat()).toContain("Y: 100");
  expect(setsOf(/sky: 100/iu).flat().join()).not.toMatch(/k/i);
});

test.each([
  /(?:oops|panic) x|y/,
  /abc|longer text/,
  /(?:long text)?/,
  /(?:long text)*/,
  /(?=long text)/,
  /(?!long text)x/,
  /(?<=long text)x/,
  /[^long text]{10}/,
  /\w{4,}\s.\p{L}\S/u,
  /some text/v,
  /some text/g,
  /some text/y,
  /ééééé\\\\/,
  new RegExp("[]"),
  /(?:)/,
])("%s requires nothing that could be looked for", (regex) => {
  expect(setsOf(regex)).toEqual([]);
});

test("required sets are those that a rule of another kind names, as far as they can be looked for", () => {
  const ofMapper = (literals: string[]) =>
    requiredSets(mapper("m", literals, () => null, { yes: [] }));
  expect(ofMapper(["naïve text", "back\\slashes"])).toEqual([["ve text", "slashes"]]);
  expect(ofMapper(["text", "longer text"])).toEqual([]);
  expect(requiredSets(json("j", { where: { event: "query" }, yes: [] }))).toContainEqual(
    ['"event":"query"', '"event": "query"', '"event" : "query"'],
  );
});

test("required sets stay within their limits", () => {
  const sets = setsOf(/[ab]{20} (?:a|bb|ccc|dddd){9} x{1000} [0-9]{9}/i);
  expect(sets.length).toBeGreaterThan(0);
  for (const set of sets) {
    expect(set.length).toBeLessThanOrEqual(limits.literalsPerRuleMax);
    for (const text of set) {
      expect(text.length).toBeGreaterThanOrEqual(limits.literalBytesMin);
      expect(text.length).toBeLessThanOrEqual(limits.literalBytesMax);
    }
  }
});

test("every text that a random rule matches holds one literal of each of its sets", () => {
  const log = new RandomLog(seededRandom(4));
  let held = 0;
  for (let round = 0; round < 1_500; round++) {
    const { rule, text } = log.rule("r");
    const sets = requiredSets(rule);
    for (let i = 0; i < 10; i++) {
      const tried = i < 5 ? text() : log.line([text]);
      rule.regex.lastIndex = 0;
      if (!rule.regex.test(tried)) continue;
      const stored = escapeText(tried);
      for (const set of sets) {
        expect([stored, set.some((literal) => stored.includes(literal))]).toEqual([stored, true]);
        held++;
      }
    }
  }
  expect(held).toBeGreaterThan(3_000);
});
