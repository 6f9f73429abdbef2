import { expect, test } from "bun:test";
import { type Interval, IntervalError, IntervalSet } from "./intervals.ts";

const setOf = (text: string) => IntervalSet.decode(text);

test("an interval set's text form is golden", () => {
  const set = new IntervalSet();
  for (const [first, last] of [[105, 200], [0, 49], [101, 101], [50, 99]] as Interval[]) {
    set.add(first, last);
  }
  expect(set.encode()).toBe("0-99,101,105-200");
  expect(setOf("0-99,101,105-200").intervals()).toEqual([[0, 99], [101, 101], [105, 200]]);
  expect([setOf("0-99,101,105-200").count, setOf("0-99,101,105-200").size]).toEqual([197, 3]);
  expect([new IntervalSet().encode(), setOf("").size]).toEqual(["", 0]);
});

test("an interval set isn't read from a text that it wouldn't write", () => {
  const bad = [",", "1,", ",1", "a", "-1", "1-", "1 ", "01", "3-2", "5-5", "1,1", "1,2", "1-5,4-9"];
  bad.push("5,1", "1-5,6-9", "1.5", "1e3", "0-9007199254740992", "1--2", "1-2-3", "0-0", "1\n");
  for (const text of bad) {
    expect(() => setOf(text)).toThrow(IntervalError);
    expect(() => setOf(text)).toThrow("Cannot read intervals because");
  }
});

test("an interval set says which parts of what was added are new", () => {
  const set = new IntervalSet();
  expect(set.add(10, 19)).toEqual([[10, 19]]);
  expect(set.add(10, 19)).toEqual([]);
  expect(set.add(30, 39)).toEqual([[30, 39]]);
  expect(set.add(5, 44)).toEqual([[5, 9], [20, 29], [40, 44]]);
  expect(set.encode()).toBe("5-44");
});

test("an interval set takes what is new as a whole, or nothing of it", () => {
  const set = new IntervalSet();
  const add = (first: number, last: number) => set.addIfNew(first, last);
  expect([add(10, 19), add(20, 29), add(40, 49), add(0, 5), add(30, 39)]).toEqual(
    [true, true, true, true, true],
  );
  expect([set.encode(), set.count, set.size]).toEqual(["0-5,10-49", 46, 2]);
  expect([add(10, 19), add(49, 50), add(5, 6), add(0, 99)]).toEqual([false, false, false, false]);
  expect([set.encode(), set.count]).toEqual(["0-5,10-49", 46]);
  expect(() => add(51, 50)).toThrow();
});

test("an interval set joins neighbours that touch", () => {
  const set = setOf("0-9,20-29");
  set.add(10, 19);
  expect(set.encode()).toBe("0-29");
  set.add(31, 31);
  expect(set.encode()).toBe("0-29,31");
});

test("an interval set that grows at its end stays one interval", () => {
  const set = new IntervalSet();
  for (let n = 0; n < 100_000; n++) set.add(n, n);
  expect([set.size, set.count, set.encode()]).toEqual([1, 100_000, "0-99999"]);
});

test("an interval set knows what it covers, overlaps and misses", () => {
  const set = setOf("10-19,30-39");
  expect([9, 10, 19, 20, 30, 40].map((n) => set.has(n))).toEqual(
    [false, true, true, false, true, false],
  );
  expect([set.covers(10, 19), set.covers(10, 20), set.covers(19, 30)]).toEqual(
    [true, false, false],
  );
  expect([set.overlaps(0, 9), set.overlaps(0, 10), set.overlaps(20, 29), set.overlaps(15, 35)])
    .toEqual([false, true, false, true]);
  expect([set.missing(), setOf("5-9").missing(), setOf("").missing()]).toEqual([
    [[20, 29]],
    [],
    [],
  ]);
});

test("an interval set is subtracted from another", () => {
  const subtract = (a: string, b: string) => setOf(a).subtract(setOf(b)).encode();
  expect(subtract("0-99", "10-19,50")).toBe("0-9,20-49,51-99");
  expect(subtract("0-9,20-29,40-49", "5-44")).toBe("0-4,45-49");
  expect(subtract("5-9", "0-99")).toBe("");
  expect(subtract("5-9", "")).toBe("5-9");
});

test("an interval set holds numbers up to the largest safe integer", () => {
  const max = Number.MAX_SAFE_INTEGER;
  const set = new IntervalSet();
  set.add(max, max);
  expect(set.add(max - 5, max)).toEqual([[max - 5, max - 1]]);
  expect([set.encode(), set.has(max)]).toEqual([`${max - 5}-${max}`, true]);
  expect(set.add(0, max)).toEqual([[0, max - 6]]);
});

test("an interval set takes anything but an interval for a programmer's mistake", () => {
  const set = new IntervalSet();
  for (const [first, last] of [[2, 1], [-1, 1], [0.5, 1], [0, NaN], [0, 2 ** 53]] as Interval[]) {
    expect(() => set.add(first, last)).toThrow("an interval of integers");
    expect(() => set.covers(first, last)).toThrow("an interval of integers");
  }
});

/** A repeatable source of integers below n (Lehmer, MINSTD). */
function seeded(seed: number): (n: number) => number {
  return (n) => (seed = (seed * 48271) % 0x7fffffff) % n;
}

const numbersOf = (intervals: Interval[]) =>
  intervals.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i)
  );

test("an interval set equals its slow twin, a set of numbers, on random input", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seeded(seed);
    const range = 20 + random(200);
    const [set, twin] = [new IntervalSet(), new Set<number>()];
    for (let step = 0; step < 60; step++) {
      const first = random(range);
      const last = first + random(seed % 2 === 0 ? 3 : 30);
      const wanted = numbersOf([[first, last]]);
      const some = wanted.some((n) => twin.has(n));
      const every = wanted.every((n) => twin.has(n));
      expect([seed, set.overlaps(first, last), set.covers(first, last)]).toEqual(
        [seed, some, every],
      );
      const added = wanted.filter((n) => !twin.has(n));
      expect([seed, numbersOf(set.add(first, last))]).toEqual([seed, added]);
      for (const n of added) twin.add(n);
    }
    const sorted = [...twin].sort((a, b) => a - b);
    expect([seed, numbersOf(set.intervals()), set.count]).toEqual([seed, sorted, twin.size]);
    expect(set.missing().length).toBe(set.size - 1);
    expect(IntervalSet.decode(set.encode()).intervals()).toEqual(set.intervals());
    const holes = Array.from({ length: sorted.at(-1)! - sorted[0]! + 1 }, (_, i) => sorted[0]! + i);
    expect(numbersOf(set.missing())).toEqual(holes.filter((n) => !twin.has(n)));
  }
});

test("an interval set's subtraction equals its slow twin on random input", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seeded(seed);
    const [a, b] = [new IntervalSet(), new IntervalSet()];
    for (const set of [a, b]) {
      for (let step = random(12); step > 0; step--) {
        const first = random(100);
        set.add(first, first + random(15));
      }
    }
    const twin = numbersOf(a.intervals()).filter((n) => !b.has(n));
    expect([seed, numbersOf(a.subtract(b).intervals())]).toEqual([seed, twin]);
  }
});
