import { describe, expect, test } from "bun:test";
import { IntervalSet } from "../shared/intervals.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { midnightMs } from "./fixtures.ts";
import { PlaceList } from "./place_list.ts";
import { Seen } from "./seen.ts";
import { StateFile } from "./state_file.ts";
import { SqlStreamStore } from "./stream_store.ts";

const frameAt = (offset: number) => ({
  receiver: "r1",
  epoch: "e1",
  segment: 3,
  offset,
  length: 9,
});

/** What was seen, over a real state that is saved and lost as the test likes. */
class Bench implements Disposable {
  readonly #folder = new TemporaryFolder();
  file!: StateFile;
  store!: SqlStreamStore;
  seen!: Seen;

  constructor(private readonly journalBytesMax: number, private readonly cachedMax = 100) {
    this.#open();
  }

  [Symbol.dispose](): void {
    this.file.close();
    this.#folder[Symbol.dispose]();
  }

  /** True if streams were let go. */
  save(us = 7): boolean {
    const { batch, due } = this.seen.toSave();
    this.file.transaction(() => this.store.save(batch, due, us));
    return this.seen.saved();
  }

  /** As after a kill: what isn't saved is gone. */
  restart(): void {
    this.file.close();
    this.#open();
  }

  rows(table: "journal" | "streams"): number {
    return this.file.all(`SELECT count(*) AS n FROM ${table}`)[0]!["n"] as number;
  }

  #open(): void {
    this.file = StateFile.open(this.#folder.path, midnightMs, () => {});
    this.store = new SqlStreamStore(this.file, this.journalBytesMax);
    this.store.catchUp();
    this.seen = new Seen(this.store, this.cachedMax);
  }
}

const add = ({ seen }: Bench, key: string, first: number, last = first) =>
  seen.addRange(seen.of(key), first, last);

describe("what was seen of streams, in the state,", () => {
  test("is there after a restart as far as it was saved, to the highest seq", () => {
    using bench = new Bench(1e6);
    add(bench, "d s x", 0, 5);
    add(bench, "d s x", 7, Number.MAX_SAFE_INTEGER);
    bench.seen.explain(bench.seen.of("d s x"), { first: 6, last: 6, count: 1, cause: "lost" });
    bench.seen.place(bench.seen.of("d s x"), frameAt(0), 10, 20);
    bench.save();
    add(bench, "d s x", 6);
    add(bench, "d s y", 0);
    bench.restart();
    const { stored, explained, places } = bench.seen.find("d s x")!;
    expect([stored.encode(), explained.encode()]).toEqual([
      `0-5,7-${Number.MAX_SAFE_INTEGER}`,
      "6",
    ]);
    expect(places.within(0, 99)).toEqual([{ ...frameAt(0), firstUsec: 10, lastUsec: 20 }]);
    expect(bench.seen.find("d s y")).toBeUndefined();
  });

  test("costs a row for a batch, however many streams it changes", () => {
    using bench = new Bench(1e6);
    for (let batch = 0; batch < 5; batch++) {
      for (let i = 0; i < 50; i++) add(bench, `d${i} s x`, batch);
      bench.save();
    }
    expect([bench.rows("journal"), bench.rows("streams")]).toEqual([5, 0]);
    bench.restart();
    expect([bench.rows("journal"), bench.rows("streams")]).toEqual([0, 50]);
    expect(bench.seen.find("d7 s x")!.stored.encode()).toBe("0-4");
  });

  test("costs nothing where nothing has changed", () => {
    using bench = new Bench(1e6);
    add(bench, "d s x", 0);
    bench.save();
    bench.save();
    expect(bench.rows("journal")).toBe(1);
  });

  test("is taken over into the streams' own rows as the journal grows, which is bounded", () => {
    using bench = new Bench(1_000);
    for (let seq = 0; seq < 200; seq++) {
      add(bench, `d${seq % 10} s x`, seq);
      bench.save();
      expect(bench.rows("journal")).toBeLessThan(25);
    }
    expect(bench.rows("streams")).toBe(10);
    bench.restart();
    for (let i = 0; i < 10; i++) {
      expect(bench.seen.find(`d${i} s x`)!.stored.count).toBe(20);
    }
  });

  test("is let go from memory beyond its limit once it has a row, and then loaded again", () => {
    using bench = new Bench(1e6, 3);
    for (let i = 0; i < 6; i++) add(bench, `d${i} s x`, i);
    expect(bench.save()).toBe(true);
    expect(bench.rows("streams")).toBe(3);
    const streams = [0, 1, 2, 3, 4, 5].map((i) => bench.seen.find(`d${i} s x`)!);
    expect(streams.map(({ stored }) => stored.encode())).toEqual(["0", "1", "2", "3", "4", "5"]);
    expect(new Set(streams.map(({ id }) => id)).size).toBe(6);
    expect([add(bench, "d0 s x", 0), add(bench, "d0 s x", 1)]).toEqual(["seen", "new"]);
    bench.save();
    bench.restart();
    expect(bench.seen.find("d0 s x")!.stored.encode()).toBe("0-1");
  });

  test("is forgotten long after a stream was heard of last", () => {
    using bench = new Bench(0);
    add(bench, "d1 s x", 0);
    bench.save(10);
    bench.save(10);
    add(bench, "d2 s x", 0);
    bench.save(20);
    bench.save(20);
    bench.file.transaction(() => bench.store.forgetBefore(20));
    bench.restart();
    expect([bench.seen.find("d1 s x"), bench.seen.find("d2 s x")?.stored.encode()]).toEqual(
      [undefined, "0"],
    );
  });

  test("equals what was added, whatever the journal's size and whenever it is killed", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = seededRandom(seed);
      const below = (n: number) => Math.floor(random() * n);
      using bench = new Bench(below(3) * 400, 1 + below(8));
      const model = new Map<string, Model>();
      let unsaved = copyOf(model);
      for (let step = 0; step < 300; step++) {
        const key = `d${below(8)} s x`;
        const dice = random();
        if (dice < 0.8) change(bench.seen, unsaved, key, below);
        else if (dice < 0.95) {
          bench.save();
          replace(model, unsaved);
        } else {
          bench.restart();
          unsaved = copyOf(model);
        }
      }
      bench.restart();
      for (const [key, right] of model) {
        const { stored, explained, places } = bench.seen.find(key)!;
        expect([seed, key, stored.encode(), explained.encode(), places.encode()]).toEqual(
          [seed, key, right.stored.encode(), right.explained.encode(), right.places.encode()],
        );
      }
    }
  });
});

// --- the model: all of it in memory, saved by being copied ----------------------------------------

interface Model {
  stored: IntervalSet;
  explained: IntervalSet;
  places: PlaceList;
}

function change(
  seen: Seen,
  model: Map<string, Model>,
  key: string,
  below: (n: number) => number,
): void {
  const right = model.get(key) ?? {
    stored: new IntervalSet(),
    explained: new IntervalSet(),
    places: new PlaceList(),
  };
  model.set(key, right);
  const stream = seen.of(key);
  const [first, count, place] = [below(100), below(5), frameAt(below(3))];
  const last = first + count;
  if (below(5) === 0) {
    seen.explain(stream, { first, last, count, cause: "lost" });
    right.explained.add(first, last);
  } else if (seen.addRange(stream, first, last) === "new") {
    right.stored.add(first, last);
    if (below(4) === 0) return;
    seen.place(stream, place, first, last);
    right.places.add(place, first, last);
  } else if (seen.add(stream, first)) right.stored.add(first, first);
}

function copyOf(model: Map<string, Model>): Map<string, Model> {
  return new Map([...model].map(([key, { stored, explained, places }]) => [key, {
    stored: IntervalSet.decode(stored.encode()),
    explained: IntervalSet.decode(explained.encode()),
    places: PlaceList.decode(places.encode()),
  }]));
}

function replace(model: Map<string, Model>, by: Map<string, Model>): void {
  for (const [key, value] of copyOf(by)) model.set(key, value);
}
