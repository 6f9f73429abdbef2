import { describe, expect, test } from "bun:test";
import { IntervalSet } from "../shared/intervals.ts";
import { limits } from "../shared/limits.ts";
import { header } from "./fixtures.ts";
import { Seen, streamKey } from "./seen.ts";

const key = streamKey(header());
const fresh = () => new Seen(() => undefined);
const stored = (seen: Seen) => seen.get(key)?.stored.encode();
const explained = (seen: Seen) => seen.get(key)?.explained.encode();

describe("what was seen", () => {
  test("takes each seq once, in any order", () => {
    const seen = fresh();
    expect([5, 3, 5, 4, 3, 0].map((seq) => seen.add(key, seq))).toEqual(
      [true, true, false, true, false, true],
    );
    expect(stored(seen)).toBe("0,3-5");
  });

  test("keeps devices, sources and streams apart", () => {
    const seen = fresh();
    const keys = [header(), header({ device: "d2" }), header({ source: "file:a" })]
      .concat(header({ stream: "s2" })).map(streamKey);
    expect(keys.map((one) => seen.add(one, 7))).toEqual([true, true, true, true]);
  });

  test("covers a block that was stored whole, and no other", () => {
    const seen = fresh();
    expect(seen.covers(key, header({ first: 0, last: 0, count: 1 }))).toBe(false);
    for (let seq = 10; seq < 20; seq++) seen.add(key, seq);
    const covers = (first: number, last: number) => seen.covers(key, header({ first, last }));
    expect([covers(10, 19), covers(12, 12), covers(9, 12), covers(19, 20), covers(0, 99)]).toEqual(
      [true, true, false, false, false],
    );
  });

  test("adds a gap to what is explained, never to what is stored", () => {
    const seen = fresh();
    seen.add(key, 3);
    seen.explain(key, { first: 4, last: 9, count: 6, cause: "overrun" });
    expect([stored(seen), explained(seen)]).toEqual(["3", "4-9"]);
  });

  test("takes a record that a gap spoke of: a stored record beats a gap", () => {
    const seen = fresh();
    seen.explain(key, { first: 4, last: 9, count: 6, cause: "evicted" });
    expect(seen.add(key, 5)).toBe(true);
    const { stored, explained } = seen.get(key)!;
    expect(explained.subtract(stored).encode()).toBe("4,6-9");
  });

  test("explains nothing by a gap without seqs or without an end", () => {
    const seen = fresh();
    seen.explain(key, { count: 6, cause: "ratelimit" });
    seen.explain(key, { first: 4, last: "?", count: 0, cause: "lost" });
    expect([...seen.changed()]).toEqual([]);
  });

  test("fills the oldest holes when there are too many, counts them, and keeps the newest", () => {
    const seen = fresh();
    // Each on its own: every even seq.
    for (let i = 0; i <= limits.intervalsMax; i++) expect(seen.add(key, 2 * i)).toBe(true);
    const set = seen.get(key)!.stored;
    expect(set.size).toBe(limits.intervalsMax + 1 - limits.intervalsMax / 10);
    expect(seen.forgottenHoles).toBe(limits.intervalsMax / 10);
    expect(seen.add(key, 1)).toBe(false);
    expect(seen.add(key, 2 * limits.intervalsMax - 1)).toBe(true);
    seen.saved();
    expect(seen.forgottenHoles).toBe(0);
  });

  test("has the same limit for gaps", () => {
    const seen = fresh();
    for (let i = 0; i <= 2 * limits.intervalsMax; i++) {
      seen.explain(key, { first: 3 * i, last: 3 * i + 1, count: 2, cause: "lost" });
    }
    expect(seen.get(key)!.explained.size).toBeLessThanOrEqual(limits.intervalsMax);
  });

  test("is noted for saving when it changes, and only then", () => {
    const seen = fresh();
    seen.add(key, 1);
    expect([...seen.changed()].map(([name]) => name)).toEqual([key]);
    seen.saved();
    seen.add(key, 1);
    seen.covers(key, header());
    expect([...seen.changed()]).toEqual([]);
  });

  test("is let go beyond its limit once it is saved, and then loaded again", () => {
    const store = new Map<string, string>();
    const load = (name: string) => {
      const text = store.get(name);
      if (text === undefined) return undefined;
      return { stored: IntervalSet.decode(text), explained: new IntervalSet() };
    };
    const seen = new Seen(load);
    for (let i = 0; i <= limits.streamsCachedMax; i++) seen.add(`d${i} kmsg b`, i);
    for (const [name, value] of seen.changed()) store.set(name, value.stored.encode());
    seen.saved();
    store.set("d0 kmsg b", "0-5");
    store.set("d1 kmsg b", "0-5");
    expect([seen.add("d0 kmsg b", 5), seen.add("d1 kmsg b", 5)]).toEqual([false, true]);
  });
});
