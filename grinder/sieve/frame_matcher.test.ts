import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { escapeText } from "../../shared/record.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { LogText } from "../../tests/fleet/text.ts";
import { block, line, linkRule, tookRule } from "../fixtures.ts";
import { loadRules } from "../load_rules.ts";
import { json, mapper, type Rule, rule } from "../rule.ts";
import { type FrameMatch, FrameMatcher, paddingBytes } from "./frame_matcher.ts";
import { requiredSets } from "./literals.ts";
import { RandomLog } from "./random_rules.ts";
import { marksSlowly, matchSlowly } from "./slow_frame_matcher.ts";

const rulesFile = join(fileURLToPath(new URL("../..", import.meta.url)), "rules.ts");
const noSample = new Uint8Array(0);

/** The frame's bytes, with what is left of a longer one behind them. */
function padded(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length + paddingBytes).fill(0x65);
  bytes.set(Buffer.from(text, "latin1"));
  return bytes;
}

/** All that a matcher says of a frame, in order. */
function said(matcher: FrameMatcher, text: string): FrameMatch[] {
  const all: FrameMatch[] = [];
  matcher.match(padded(text), text.length, (match) => all.push(match));
  return all;
}

function saidSlowly(rules: readonly Rule[], text: string): FrameMatch[] {
  const all: FrameMatch[] = [];
  matchSlowly(rules, text, (match) => all.push(match));
  return all;
}

/** The marks of the frame that was matched last. */
function heard({ marks: { at, mark } }: FrameMatcher): [mark: number, at: number][] {
  return at.map((place, i) => [mark[i]!, place]);
}

/** What the rules say, each as `rule index: its first label`. */
function found(rules: readonly Rule[], text: string): string[] {
  const all = said(new FrameMatcher(rules, noSample), text);
  expect(all).toEqual(saidSlowly(rules, text));
  return all.map(({ rule, labels }) => `${rule}: ${Object.values(labels)[0] ?? ""}`);
}

test("a frame matcher says what its slow twin says, of random rules and frames", () => {
  const log = new RandomLog(seededRandom(20));
  const someMarks = ["error", "aaaaa", "caller=", "error", "#1 error"];
  let [matches, sieved] = [0, 0];
  for (let round = 0; round < 300; round++) {
    let made = Array.from({ length: 1 + log.below(6) }, (_, i) => log.rule(`r${i}`));
    // One rule that looks at every record makes the matcher look at every line.
    if (log.below(3) > 0) made = made.filter(({ rule }) => requiredSets(rule).length > 0);
    if (made.length === 0) continue;
    const texts = made.map(({ text }) => text);
    const rules = made.map(({ rule }) => rule);
    const sample = log.below(4) === 0 ? padded(log.frame(texts)) : noSample;
    const marks = log.one([someMarks, []]);
    const matcher = new FrameMatcher(rules, sample, marks);
    // With the flag g it goes on where it stopped in the record before.
    const rewind = () => rules.forEach((rule) => rule.regex.lastIndex = 0);
    for (let frame = 0; frame < 10; frame++) {
      const text = log.frame(texts);
      rewind();
      const expected = saidSlowly(rules, text);
      rewind();
      expect(said(matcher, text)).toEqual(expected);
      expect(heard(matcher)).toEqual(marksSlowly(text, marks));
      matches += expected.length;
      if (matcher.plans.every(({ literals }) => literals)) sieved += expected.length;
    }
  }
  expect(matches).toBeGreaterThan(2_000);
  expect(sieved).toBeGreaterThan(500);
});

test("a frame matcher says what its slow twin says, by the shipped rules on the fleet's text", async () => {
  const rules = await loadRules(rulesFile);
  const examples = rules.flatMap(({ yes, no }) => [...yes, ...no]);
  const random = seededRandom(3);
  const text = new LogText(random, "d");
  let frame = "";
  for (let b = 0; b < 40; b++) {
    let records = "";
    for (let i = 0; i < 50; i++) {
      const example = examples[Math.floor(random() * examples.length)]!;
      records += line(50 * b + i, escapeText(random() < 0.5 ? example : text.next().text));
    }
    frame += block(records, b % 5 === 4 ? { source: "raw" } : {});
  }
  const expected = saidSlowly(rules, frame);
  for (const sample of [noSample, padded(frame)]) {
    expect(said(new FrameMatcher(rules, sample), frame)).toEqual(expected);
  }
  expect(new Set(expected.map(({ rule }) => rule)).size).toBe(rules.length);
});

test("a frame matcher's rules see the texts of ordinary records alone", () => {
  const secret = rule("secret", /(?<word>secret)/, { labels: ["word"], yes: ["secret"] });
  const inPrefix = "6,1,2,-,caller=secret;text\n";
  const behind = "6,2,2,-;text\n SUBSYSTEM=secret\n";
  const meta = "6,3,2,g,count=1,cause=lost;secret\n6,3,2,s;secret\n";
  const bad = "secret\n6,3;secret\n";
  const seen = "6,4,2,-,caller=secret;a secret, a secret\n6,5,2,p;secret\n6,6,2,c;secret";
  const text = block(inPrefix + behind + meta + bad + seen, { device: "secret" });
  expect(found([secret], text)).toEqual(["0: secret", "0: secret", "0: secret"]);
});

test("a frame matcher takes raw lines for texts as raw_lines.ts does", () => {
  const hash = rule("hash", /^#begins (?<rest>.*)/, { labels: ["rest"], yes: ["#begins x"] });
  const text = block("\\x23begins here\n[    1.000000] #begins there\n<6>6,1,2,-;no\n", {
    source: "raw",
  });
  expect(found([hash], text)).toEqual(["0: here", "0: there"]);
});

test("a frame matcher gives rules what is escaped in storage as it was said", () => {
  const rest = rule("rest", /müller: (?<rest>.*) ends here/, { labels: ["rest"], yes: [] });
  const text = block(line(1, escapeText("müller: a\\b\tü\n ends here")));
  expect(found([rest], text)).toEqual([]);
  const dotAll = rule("rest", /müller: (?<rest>.*) ends here/s, { labels: ["rest"], yes: [] });
  expect(found([dotAll], text)).toEqual(["0: a\\b\tü\n"]);
});

test("a frame matcher passes over what is under no readable header", () => {
  const text = line(1, "link up on eth0") + block(line(2, "link up on eth1")) +
    "#1 not a header\n" + line(3, "link up on eth2") + "#\n" + line(4, "link up on eth3") +
    block(line(5, "link down on eth4"));
  expect(found([linkRule], text)).toEqual(["0: up", "0: down"]);
});

test("a frame matcher looks for what rules of other kinds say of themselves", () => {
  const tooShort = ["map"];
  const rules = [
    json("slow", { where: { event: "slow query" }, labels: ["db"], yes: [] }),
    mapper("mapped", ["mapped here"], () => ({ labels: {} }), { yes: [] }),
    mapper("short", tooShort, () => ({ labels: {} }), { yes: [] }),
  ];
  const matcher = new FrameMatcher(rules, noSample);
  expect(matcher.plans.map(({ literals }) => literals !== undefined)).toEqual([true, true, false]);
  const text = block(line(1, '{"event":"slow query","db":"x"}') + line(2, "is mapped here"));
  expect(found(rules, text)).toEqual(["0: x", "1: ", "2: "]);
});

test("a frame matcher knows each place of a mark, and where lines begin with #", () => {
  const text = block(line(1, "link up on eth0") + line(2, "none#")) +
    block(line(3, "wall_us=5,wall_us=6") + line(4, "link down on eth0"));
  const matcher = new FrameMatcher([linkRule], noSample, ["wall_us=", "link "]);
  expect(said(matcher, text).map(({ labels }) => labels["way"])).toEqual(["up", "down"]);
  const [up, down, wall] = ["link up", "link down", "wall_us"].map((part) => text.indexOf(part));
  expect(heard(matcher)).toEqual([[1, up!], [0, wall!], [0, wall! + 10], [1, down!]]);
  expect([...matcher.hashLineAt.subarray(0, matcher.hashLines)]).toEqual(
    [0, text.indexOf("\n#1") + 1],
  );
});

test("a frame matcher refuses marks that it can't look for", () => {
  for (const mark of ["four", "", "\n#1 d", "naïveté"]) {
    expect(() => new FrameMatcher([], noSample, [mark])).toThrow(/Cannot look for a mark/);
  }
});

test("a frame matcher counts what each rule costs", () => {
  let nowMs = 0;
  const rules = [linkRule, tookRule];
  const matcher = new FrameMatcher(rules, noSample, [], () => nowMs += 2);
  const text = block(
    line(1, "link up on eth0, link down on eth0") + line(2, " link none") + line(3, "took it ms") +
      "6,4,4,-,a=link ;x\n link link \n",
  );
  said(matcher, text);
  expect(matcher.costs.map(({ candidates, runs, matches, ms }) => [candidates, runs, matches, ms]))
    .toEqual([[3, 2, 1, 4], [1, 1, 0, 2]]);
});

test("a frame matcher begins each frame anew, however long the one before was", () => {
  const matcher = new FrameMatcher([linkRule], noSample);
  let long = "";
  for (let i = 0; i < 3_000; i++) long += block(line(i, "link up on eth0"));
  expect(said(matcher, long)).toHaveLength(3_000);
  expect(said(matcher, "")).toEqual([]);
  const half = block(line(1, "link up on eth0")).slice(0, -"on eth0\n".length);
  expect(said(matcher, half)).toEqual([]);
  expect(said(matcher, block(line(1, "link up on eth0")))).toHaveLength(1);
  expect(said(matcher, long)).toHaveLength(3_000);
});
