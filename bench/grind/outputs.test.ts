import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { differences, eventTimes, finalAggregates } from "./outputs.ts";

function outputs(folder: TemporaryFolder, kind: string, ...lines: object[]): string {
  mkdirSync(join(folder.path, kind));
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  writeFileSync(join(folder.path, kind, "20261122.jsonl"), text);
  return folder.path;
}

test("events are the same whatever time they were given", () => {
  using a = new TemporaryFolder();
  using b = new TemporaryFolder();
  const [one, two] = [{ seq: 1, text: "a" }, { seq: 2, text: "b" }];
  const right = eventTimes(outputs(a, "events", { time: "x", ...one }, { time: "y", ...two }));
  const got = eventTimes(outputs(b, "events", { time: "z", ...two }, { time: "x", ...one }));
  expect(differences(got, right)).toEqual({ missing: 0, more: 0, changed: 1 });
  got.delete(JSON.stringify(one));
  expect(differences(got, right)).toEqual({ missing: 1, more: 0, changed: 1 });
  expect(differences(right, got)).toEqual({ missing: 0, more: 1, changed: 1 });
});

test("an event that is there twice is told", () => {
  using folder = new TemporaryFolder();
  const out = outputs(folder, "events", { time: "x", seq: 1 }, { time: "y", seq: 1 });
  expect(() => eventTimes(out)).toThrow("an event is there twice");
});

test("of an aggregate the highest rev counts, and none may be there twice", () => {
  using a = new TemporaryFolder();
  using b = new TemporaryFolder();
  using twice = new TemporaryFolder();
  const key = { window: "w", rule: "r", labels: {} };
  const lines = [{ ...key, rev: 0, count: 1 }, { ...key, rev: 1, count: 3 }];
  const right = finalAggregates(outputs(a, "aggregates", { ...key, rev: 0, count: 3 }));
  const got = finalAggregates(outputs(b, "aggregates", ...lines));
  expect(differences(got, right)).toEqual({ missing: 0, more: 0, changed: 0 });
  const out = outputs(twice, "aggregates", lines[0]!, lines[0]!);
  expect(() => finalAggregates(out)).toThrow("a line of an aggregate is there twice");
});
