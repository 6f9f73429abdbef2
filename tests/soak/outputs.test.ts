import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { TemporaryFolder } from "../fixtures.ts";
import { outputDifference } from "./outputs.ts";

const event = (seq: number, rest: object = {}) => ({
  ...{
    rule: "link",
    time: "2026-11-22T12:00:00.000000Z",
    device: "d1",
    boot: "b1",
    source: "kmsg",
  },
  ...{
    stream: "b1",
    seq,
    usec: seq,
    prio: 6,
    labels: { port: "eth0", way: "up" },
    text: "link up",
  },
  ...rest,
});
const aggregate = (count: number, rest: object = {}) => ({
  ...{ window: "2026-11-22T12:00:00Z", window_s: 60, rule: "link", labels: { way: "up" }, rev: 0 },
  ...{ count, ...rest },
});

function difference(
  a: { events: object[]; aggregates: object[] },
  b: { events: object[]; aggregates: object[] },
): string[] {
  using folder = new TemporaryFolder();
  const [one, other] = [a, b].map((outputs, i) => {
    for (const [kind, lines] of Object.entries(outputs)) {
      const path = join(folder.path, String(i), kind);
      mkdirSync(path, { recursive: true });
      const text = lines.map((line: object) => `${JSON.stringify(line)}\n`).join("");
      writeFileSync(join(path, "20261122.jsonl"), text);
    }
    return join(folder.path, String(i));
  });
  return outputDifference(one!, other!, (name) => name === "link");
}

describe("outputDifference", () => {
  test("is none where only times, places, order of labels, and other rules differ", () => {
    const live = [event(1, { labels: { way: "up", port: "eth0" }, offset: 7 }), event(2)];
    const calm = [event(2, { time: "2026-11-22T12:00:01.000000Z" }), event(1)];
    expect(difference(
      { events: [...live, event(9, { rule: "gap" })], aggregates: [aggregate(2)] },
      {
        events: calm,
        aggregates: [
          aggregate(1),
          aggregate(1, { window: "2026-11-22T12:01:00Z" }),
        ],
      },
    )).toEqual([]);
  });

  test("tells of events that are missing, doubled or say something else", () => {
    const aggregates = [aggregate(2)];
    const both = { events: [event(1), event(2)], aggregates };
    const of = (...events: object[]) => difference({ events, aggregates }, both);
    expect(of(event(1))).toEqual([expect.stringMatching(/^missing: .*"b1",2,/)]);
    expect(of(event(1), event(2), event(2))).toEqual([
      expect.stringMatching(/^too many: .*"b1",2,/),
    ]);
    expect(of(event(1), event(2, { text: "link down" })).length).toBe(2);
  });

  test("counts of each window the highest revision only", () => {
    const events = [event(1)];
    const calm = { events, aggregates: [aggregate(3)] };
    const revised = [aggregate(1), aggregate(3, { rev: 1 })];
    expect(difference({ events, aggregates: revised }, calm)).toEqual([]);
    expect(difference({ events, aggregates: [...revised, aggregate(4, { rev: 2 })] }, calm).length)
      .toBe(2);
  });
});
