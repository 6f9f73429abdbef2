import { expect, test } from "bun:test";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { escapeText, type LogRecord } from "../shared/record.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { LogText } from "../tests/fleet/text.ts";
import { requiredLiterals } from "./literals.ts";
import { loadRules } from "./load_rules.ts";
import { LiteralMatcher, SlowMatcher } from "./match.ts";
import { rule } from "./rule.ts";

const rulesFile = join(fileURLToPath(new URL("..", import.meta.url)), "rules.ts");
const record = (text: string): LogRecord => ({
  prio: 6,
  seq: 0,
  usec: 0,
  flag: "-",
  fields: "",
  text: escapeText(text),
  more: [],
});

test.each([
  [/USB disconnect/, ["USB disconnect"]],
  [/usb (?<port>[\d.-]+): USB disconnect, device \d+/, [": USB disconnect, device "]],
  [/out of memory|Killed process (?<pid>\d+)/, ["out of memory", "Killed process "]],
  [/^reboot: (?<how>a|b)$/, ["reboot: "]],
  [/(?<!end )Kernel panic/, ["Kernel panic"]],
  [/link (?:up|down)?now here/, ["now here"]],
  [/colou?r is set/, ["r is set"]],
  [/(?:oops|panic) x/, undefined],
  [/abc|longer text/, undefined],
  [/some text/i, undefined],
  [/\x41\u{42}CD\.e/u, ["ABCD.e"]],
  [/x*many y+more/, ["many "]],
])("every match of %s holds one of %j", (regex, literals) => {
  expect(requiredLiterals(regex)).toEqual(literals as string[] | undefined);
});

test("a matcher that looks for literals first says what the slow one says, by the shipped rules", async () => {
  const rules = await loadRules(rulesFile);
  const [quick, slow] = [new LiteralMatcher(rules), new SlowMatcher(rules)];
  const text = new LogText(seededRandom(3), "d");
  const lines = rules.flatMap(({ yes, no }) => [...yes, ...no]);
  for (let i = 0; i < 5_000; i++) lines.push(text.next().text);
  let matched = 0;
  for (const line of lines) {
    const said = slow.match(record(line));
    expect(quick.match(record(line))).toEqual(said);
    matched += said.length;
  }
  expect(matched).toBeGreaterThan(100);
});

test("a matcher that looks for literals first says what the slow one says, on random rules and texts", () => {
  const random = seededRandom(9);
  const one = <T>(items: T[]): T => items[Math.floor(random() * items.length)]!;
  const words = [
    "abcd",
    "abce",
    "bcda",
    "\\.",
    "(?:abcd|bc)",
    "[ab]",
    "a?",
    "(?:da)+",
    "é",
    "^",
    "$",
  ];
  const letters = ["abcd", "abce", "bcda", ".", "bc", "a", "b", "dada", "é", "\\", "\x01"];
  const some = (items: string[], most: number) =>
    Array.from({ length: 1 + Math.floor(random() * most) }, () => one(items)).join("");
  for (let round = 0; round < 300; round++) {
    const rules = Array.from({ length: 5 }, (_, i) => {
      const source = random() < 0.3 ? `${some(words, 4)}|${some(words, 4)}` : some(words, 5);
      return rule(`r${i}`, new RegExp(source), { yes: [] });
    });
    const [quick, slow] = [new LiteralMatcher(rules), new SlowMatcher(rules)];
    for (let i = 0; i < 20; i++) {
      const line = record(some(letters, 8));
      expect(quick.match(line)).toEqual(slow.match(line));
    }
  }
});
