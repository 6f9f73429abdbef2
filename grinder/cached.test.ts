import { expect, test } from "bun:test";
import { Cached } from "./cached.ts";

test("a cache loads a value once, and what isn't there each time it is asked", () => {
  const asked: string[] = [];
  const cached = new Cached((key) => (asked.push(key), key === "a" ? 1 : undefined), 10);
  expect([cached.get("a"), cached.get("a"), cached.get("b"), cached.get("b")]).toEqual(
    [1, 1, undefined, undefined],
  );
  expect(asked).toEqual(["a", "b", "b"]);
  expect([...cached.changed()]).toEqual([]);
});

test("a cache lets the oldest go only when they are saved, and loads them again", () => {
  const store = new Map<string, number>();
  const cached = new Cached((key) => store.get(key), 2);
  for (const key of ["a", "b", "c", "d"]) cached.set(key, 1);
  expect(cached.get("a")).toBe(1);
  for (const [key, value] of cached.changed()) store.set(key, value);
  cached.saved();
  for (const key of store.keys()) store.set(key, 2);
  expect(["a", "b", "c", "d"].map((key) => cached.get(key))).toEqual([2, 2, 1, 1]);
  expect([...cached.changed()]).toEqual([]);
});

test("a cache counts how often it let values go, so that who keeps one knows how long it is the same", () => {
  const cached = new Cached<number>(() => undefined, 2);
  const droppedAfter = (key: string) => {
    cached.set(key, 1);
    cached.saved();
    return cached.dropped;
  };
  expect(["a", "b", "a", "c", "d"].map(droppedAfter)).toEqual([0, 0, 0, 1, 2]);
});
