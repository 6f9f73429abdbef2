import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { header } from "./fixtures.ts";
import { Seen, streamKey, type StreamStore } from "./seen.ts";

const key = streamKey(header());

/** A store that has nothing. */
function emptyStore(): StreamStore {
  let ids = 0;
  return { load: () => undefined, newId: () => ++ids, nextBatch: 1, keptFrom: 1 };
}

const fresh = () => new Seen(emptyStore());
const stored = (seen: Seen) => seen.of(key).stored.encode();
const explained = (seen: Seen) => seen.of(key).explained.encode();

describe("what was seen", () => {
  test("takes each seq once, in any order", () => {
    const seen = fresh();
    expect([5, 3, 5, 4, 3, 0].map((seq) => seen.add(seen.of(key), seq))).toEqual(
      [true, true, false, true, false, true],
    );
    expect(stored(seen)).toBe("0,3-5");
  });

  test("keeps devices, sources and streams apart", () => {
    const seen = fresh();
    const keys = [header(), header({ device: "d2" }), header({ source: "file:a" })]
      .concat(header({ stream: "s2" })).map(streamKey);
    expect(keys.map((one) => seen.add(seen.of(one), 7))).toEqual([true, true, true, true]);
  });

  test("says of a block whether all of it is new, or seen, and takes only what is new as a whole", () => {
    const seen = fresh();
    const stream = seen.of(key);
    const add = (first: number, last: number) => seen.addRange(stream, first, last);
    expect([add(10, 19), add(20, 29), add(5, 9), add(40, 40)]).toEqual([
      "new",
      "new",
      "new",
      "new",
    ]);
    expect([add(10, 19), add(12, 12), add(5, 29), add(40, 40)]).toEqual(
      ["seen", "seen", "seen", "seen"],
    );
    expect([add(0, 5), add(29, 30), add(30, 40), add(0, 99)]).toEqual(
      ["some", "some", "some", "some"],
    );
    expect(stored(seen)).toBe("5-29,40");
  });

  test("adds a gap to what is explained, never to what is stored", () => {
    const seen = fresh();
    seen.add(seen.of(key), 3);
    seen.explain(seen.of(key), { first: 4, last: 9, count: 6, cause: "overrun" });
    expect([stored(seen), explained(seen)]).toEqual(["3", "4-9"]);
  });

  test("takes a record that a gap spoke of: a stored record beats a gap", () => {
    const seen = fresh();
    const stream = seen.of(key);
    seen.explain(stream, { first: 4, last: 9, count: 6, cause: "evicted" });
    expect(seen.add(stream, 5)).toBe(true);
    expect(stream.explained.subtract(stream.stored).encode()).toBe("4,6-9");
  });

  test("explains nothing by a gap without seqs or without an end", () => {
    const seen = fresh();
    seen.explain(seen.of(key), { count: 6, cause: "ratelimit" });
    seen.explain(seen.of(key), { first: 4, last: "?", count: 0, cause: "lost" });
    expect([explained(seen), seen.toSave().batch.changes.length]).toEqual(["", 0]);
  });

  test("fills the oldest holes when there are too many, counts them, and keeps the newest", () => {
    const seen = fresh();
    const stream = seen.of(key);
    // Each on its own: every even seq.
    for (let i = 0; i <= limits.intervalsMax; i++) expect(seen.add(stream, 2 * i)).toBe(true);
    expect(stream.stored.size).toBe(limits.intervalsMax + 1 - limits.intervalsMax / 10);
    expect(seen.forgottenHoles).toBe(limits.intervalsMax / 10);
    expect(seen.add(stream, 1)).toBe(false);
    expect(seen.add(stream, 2 * limits.intervalsMax - 1)).toBe(true);
    seen.saved();
    expect(seen.forgottenHoles).toBe(0);
  });

  test("has the same limit for gaps", () => {
    const seen = fresh();
    const stream = seen.of(key);
    for (let i = 0; i <= 2 * limits.intervalsMax; i++) {
      seen.explain(stream, { first: 3 * i, last: 3 * i + 1, count: 2, cause: "lost" });
    }
    expect(stream.explained.size).toBeLessThanOrEqual(limits.intervalsMax);
  });

  test("has records that go on where their stream ended in its sets and places whenever it is asked", () => {
    const [noted, plain] = [fresh(), fresh()];
    const frame = (offset: number) => ({
      receiver: "r1",
      epoch: "e1",
      segment: 0,
      offset,
      length: 9,
    });
    // Of two streams, in turns; some are seen already, or come behind a hole.
    const ranges = [[0, 4], [5, 9], [10, 11], [3, 11], [12, 20], [30, 31], [32, 33], [21, 29]];
    for (const [i, [first, last]] of ranges.entries()) {
      for (const device of ["d1", "d2"]) {
        const name = streamKey(header({ device }));
        const place = frame(i);
        if (plain.addRange(plain.of(name), first!, last!) === "new") {
          plain.place(plain.of(name), place, i, i + 1);
        }
        const stream = noted.of(name);
        if (noted.goesOn(stream, first!, last!, place, i, i + 1)) continue;
        if (noted.addRange(stream, first!, last!) === "new") noted.place(stream, place, i, i + 1);
      }
      for (const name of ["d1", "d2"].map((device) => streamKey(header({ device })))) {
        const [a, b] = [noted.find(name)!, plain.find(name)!];
        expect(a.places.encode()).toBe(b.places.encode());
        expect([a.stored.encode(), a.next]).toEqual([b.stored.encode(), b.next]);
      }
    }
    expect(noted.toSave().batch.changes).toEqual(plain.toSave().batch.changes);
  });

  test("takes what goes on without looking at the sets, and only that", () => {
    const seen = fresh();
    const stream = seen.of(key);
    const goesOn = (first: number, last: number) =>
      seen.goesOn(stream, first, last, undefined, 0, 0);
    expect([goesOn(0, 3), goesOn(4, 4), goesOn(4, 5), goesOn(6, 6)]).toEqual(
      [true, true, false, false],
    );
    expect(seen.addRange(stream, 4, 5)).toBe("some");
    expect(seen.addRange(stream, 8, 8)).toBe("new");
    expect([goesOn(5, 7), goesOn(9, 9)]).toEqual([false, true]);
    expect(stored(seen)).toBe("0-4,8-9");
  });
});
