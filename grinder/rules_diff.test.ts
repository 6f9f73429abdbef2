import { describe, expect, test } from "bun:test";
import { block, line, linkRule, noonUs, tookRule } from "./fixtures.ts";
import { rule } from "./rule.ts";
import { RulesDiff } from "./rules_diff.ts";

const upOnly = rule("link", /link (?<way>up) on/, { labels: ["way"], yes: [] });
const seconds = rule("took", /took (?<s>[\d.]+) ms/, { value: "s", yes: [] });
const nearly = rule("took", /took (?<ms>\d+)/, { value: "ms", yes: [] });

describe("RulesDiff", () => {
  test("finds nothing where both say the same, whatever their groups are called", () => {
    const diff = new RulesDiff([linkRule, tookRule], [seconds, linkRule], "");
    diff.take(block(line(0, "link up on a") + line(1, "took 3 ms")));
    expect(diff.differs).toBe(false);
    expect(diff.report()).toBe("2 events are the same under both\n");
  });

  test("finds what is lost, gained and changed, with examples", () => {
    const diff = new RulesDiff([linkRule, tookRule], [upOnly, nearly], "");
    diff.take(block(
      line(0, "link up on a") + line(1, "link down on a") + line(2, "took 3.5 ms") +
        line(3, "took 4 s"),
    ));
    expect(diff.differs).toBe(true);
    const report = diff.report().split("\n").map((line) => line.trim().replaceAll(/ +/g, " "));
    expect(report).toEqual([
      "1 events are the same under both",
      "lost gained changed",
      "took 0 1 1",
      "link 1 0 0",
      "",
      "took",
      "+ d1: took 4 s value 4",
      "~ d1: took 3.5 ms value 3.5 -> value 3",
      "",
      "link",
      '- d1: link down on a way="down"',
      "",
    ]);
  });

  test("shows three examples of each, and counts all", () => {
    const diff = new RulesDiff([], [linkRule], "");
    for (let seq = 0; seq < 20; seq++) diff.take(block(line(seq, "link up on a")));
    expect(diff.report()).toMatch(/link +0 +20 +0\n/);
    expect(diff.report().match(/\+ d1/g)).toHaveLength(3);
  });

  test("compares a record once that was sent again, but every line of a raw stream", () => {
    const diff = new RulesDiff([], [linkRule], "");
    for (let turn = 0; turn < 3; turn++) {
      diff.take(block(line(7, "link up on a")));
      diff.take(block(line(7, "link up on a"), { device: "d2" }));
      diff.take(block("link up on a\n", { source: "raw", stream: "-" }));
    }
    expect(diff.report()).toMatch(/link +0 +5 +0\n/);
  });

  test("leaves out blocks of another time", () => {
    const diff = new RulesDiff([], [linkRule], "");
    const text = block(line(1, "link up on a")) + block(line(2, "link up on a"), { recvUs: 5 });
    diff.take(text, { sinceUs: noonUs, untilUs: noonUs + 1 });
    expect(diff.report()).toMatch(/link +0 +1 +0\n/);
  });
});
