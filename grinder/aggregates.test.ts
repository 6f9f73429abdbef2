import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { type AggregateEvent, Aggregates } from "./aggregates.ts";
import { linkRule, noonUs, tookRule } from "./fixtures.ts";
import { State } from "./state.ts";

const minuteUs = 60e6;
const lateUs = limits.latenessMs * 1000;

type Labelled = Omit<AggregateEvent, "labels"> & { labels: Record<string, string> };

/** Aggregates over a real state. */
class Bench implements Disposable {
  readonly #folder = new TemporaryFolder();
  readonly warnings: string[] = [];
  state!: State;
  aggregates!: Aggregates;
  /** That of the batch whose events are added. */
  #clockUs = noonUs;

  constructor(readonly windowUs = minuteUs) {
    this.#open();
  }

  [Symbol.dispose](): void {
    this.state.close();
    this.#folder[Symbol.dispose]();
  }

  restart(windowUs = this.windowUs): void {
    this.state.close();
    this.#open(windowUs);
  }

  /** An event so many seconds after noon. */
  add(seconds: number, event: Partial<Labelled> = {}, clockUs = noonUs): boolean {
    const wallUs = noonUs + seconds * 1e6;
    const plain = { rule: linkRule.name, labels: { way: "up" }, device: "d1", wallUs };
    const { labels, ...given } = { ...plain, ...event };
    this.#clockUs = clockUs;
    return this.aggregates.add({ ...given, labels: JSON.stringify(labels) });
  }

  /** The lines that are due by then; everything is saved. */
  commit(clockUs: number) {
    this.aggregates.schedule(this.#clockUs);
    const lines = [...this.aggregates.due(clockUs)].map((line) => JSON.parse(line));
    this.#save();
    return lines;
  }

  save(): void {
    this.aggregates.schedule(this.#clockUs);
    this.#save();
  }

  #save(): void {
    this.state.transaction(() => {
      for (const { aggregate, newDevices } of this.aggregates.takeDirty()) {
        this.state.aggregates.save(aggregate, newDevices);
      }
    });
  }

  #open(windowUs = this.windowUs): void {
    this.state = State.open(this.#folder.path, 0, () => {});
    const warn = (text: string) => this.warnings.push(text);
    this.aggregates = new Aggregates(windowUs, this.state.aggregates, warn);
  }
}

describe("aggregates", () => {
  test("count events by window, rule and labels, once the window is due", () => {
    using bench = new Bench();
    bench.add(0);
    bench.add(59.999999, { device: "d2" });
    bench.add(30, { labels: { way: "down" } });
    bench.add(60);
    expect(bench.commit(noonUs + minuteUs + lateUs - 1)).toEqual([]);
    const line = {
      window: "2026-11-22T12:00:00Z",
      window_s: 60,
      rule: "link",
      labels: { way: "down" },
      rev: 0,
      count: 1,
      devices: 1,
      first: "2026-11-22T12:00:30.000000Z",
      last: "2026-11-22T12:00:30.000000Z",
    };
    const up = { labels: { way: "up" }, count: 2, devices: 2 };
    const times = { first: "2026-11-22T12:00:00.000000Z", last: "2026-11-22T12:00:59.999999Z" };
    expect(bench.commit(noonUs + minuteUs + lateUs)).toEqual([line, { ...line, ...up, ...times }]);
    expect(bench.commit(noonUs + minuteUs + lateUs)).toEqual([]);
    expect(bench.commit(noonUs + 2 * minuteUs + lateUs)).toMatchObject(
      [{ window: "2026-11-22T12:01:00Z", rev: 0, count: 1 }],
    );
  });

  test("give everything that is new at the end, and say it again with a higher rev if more comes", () => {
    using bench = new Bench();
    bench.add(0);
    expect(bench.commit(Infinity)).toMatchObject([{ rev: 0, count: 1 }]);
    bench.add(1);
    expect(bench.commit(Infinity)).toMatchObject([{ rev: 1, count: 2 }]);
    expect(bench.commit(Infinity)).toEqual([]);
  });

  test("replace a line after a late record by one with full values, as long after it as the first", () => {
    using bench = new Bench();
    bench.add(10, { rule: tookRule.name, labels: {}, value: 3 });
    bench.commit(noonUs + 2 * minuteUs);
    bench.restart();
    const clockUs = noonUs + 3600e6;
    for (const device of ["d1", "d2"]) {
      bench.add(5, { rule: tookRule.name, labels: {}, value: 5, device }, clockUs);
    }
    expect(bench.commit(clockUs + lateUs - 1)).toEqual([]);
    const whole = { rev: 1, count: 3, devices: 2, sum: 13, min: 3, max: 5 };
    expect(bench.commit(clockUs + lateUs)).toMatchObject(
      [{ ...whole, first: "2026-11-22T12:00:05.000000Z", last: "2026-11-22T12:00:10.000000Z" }],
    );
  });

  test("aren't held back by devices that are silent: only the clock counts", () => {
    using bench = new Bench();
    bench.add(0, { device: "silent" });
    bench.add(300, { device: "talks" });
    expect(bench.commit(noonUs + 300e6)).toMatchObject([{ window: "2026-11-22T12:00:00Z" }]);
  });

  test("don't count an event whose window isn't kept any more, nor begin its window again", () => {
    using bench = new Bench();
    bench.add(0);
    bench.add(60);
    bench.commit(Infinity);
    const weekLaterUs = noonUs + 60e6 + limits.lateMsMax * 1000;
    const keepFrom = () =>
      bench.state.aggregates.keepFrom(bench.aggregates.oldestStartUs(weekLaterUs));
    bench.state.transaction(keepFrom);
    for (let round = 0; round < 2; round++) {
      expect([bench.add(59.9), bench.add(60 + round)]).toEqual([false, true]);
      bench.restart();
    }
    bench.add(60);
    expect(bench.commit(Infinity)).toMatchObject([{
      window: "2026-11-22T12:01:00Z",
      count: 2,
      rev: 1,
    }]);
  });

  test("go on over a restart where they were saved while open", () => {
    using bench = new Bench();
    bench.add(0, { rule: tookRule.name, labels: {}, value: 1 });
    bench.save();
    bench.restart();
    bench.add(1, { rule: tookRule.name, labels: {}, value: 3, device: "d2" });
    bench.save();
    bench.restart();
    expect(bench.commit(noonUs + 2 * minuteUs)).toMatchObject(
      [{ rev: 0, count: 2, devices: 2, sum: 4 }],
    );
  });

  test("keep windows of another length apart, and close them with their own", () => {
    using bench = new Bench();
    bench.add(0);
    bench.save();
    bench.restart(3600e6);
    bench.add(1);
    expect(bench.commit(Infinity)).toMatchObject(
      [{ window_s: 3600, count: 1 }, { window_s: 60, count: 1 }],
    );
  });

  test("forget nothing when there are more open ones than are kept in memory", () => {
    using bench = new Bench(1e6);
    const all = limits.aggregatesCachedMax + 1_000;
    const addAll = () => {
      for (let second = 0; second < all; second++) bench.add(second);
      bench.save();
    };
    addAll();
    addAll();
    const lines = bench.commit(Infinity);
    expect(lines).toHaveLength(all);
    expect(lines.every((line) => line.count === 2 && line.rev === 0)).toBe(true);
  });

  test("count distinct devices exactly, over restarts and closed windows", () => {
    using bench = new Bench();
    let revs = 0;
    for (let i = 0; i < 400; i++) {
      bench.add(i % 60, { device: `d${i % 97}` });
      if (i % 10 === 3) bench.save();
      if (i % 70 === 13) bench.restart();
      if (i % 90 === 7) revs += bench.commit(Infinity).length;
    }
    expect(bench.commit(Infinity)).toMatchObject([{ rev: revs, count: 400, devices: 97 }]);
  });

  test("count distinct devices up to a limit, and say so", () => {
    using bench = new Bench();
    for (let i = 0; i < limits.devicesExactMax - 1; i++) bench.add(0, { device: `d${i}` });
    expect(bench.commit(Infinity)[0].devices_capped).toBeUndefined();
    for (let i = 0; i < 50; i++) bench.add(0, { device: `e${i}` });
    expect(bench.commit(Infinity)).toMatchObject(
      [{ devices: limits.devicesExactMax, devices_capped: true }],
    );
  });

  test("count label sets beyond the limit as other, and warn once", () => {
    using bench = new Bench();
    const add = (i: number, seconds = 0) =>
      bench.add(seconds, { labels: { way: `w${i}`, city: "bern" } });
    for (let i = 0; i < limits.labelSetsMax; i++) add(i);
    expect(bench.warnings).toEqual([]);
    for (let i = 0; i < 5; i++) add(limits.labelSetsMax + i);
    add(0);
    add(0, 60);
    expect(bench.warnings).toEqual([
      `rule link: more than 1000 label sets in a window, such as {"way":"w1000","city":"bern"}: ` +
      `the rest is counted as "other". The label "way" has 1001 different values or more`,
    ]);
    bench.save();
    bench.restart();
    add(limits.labelSetsMax + 9);
    add(1);
    const lines = bench.commit(Infinity);
    const counts = lines.map(({ window, labels, count }) => `${window} ${labels.way} ${count}`);
    expect(lines).toHaveLength(limits.labelSetsMax + 2);
    expect(counts).toContain("2026-11-22T12:00:00Z other 6");
    expect(counts).toContain("2026-11-22T12:00:00Z w0 2");
    expect(counts).toContain("2026-11-22T12:00:00Z w1 2");
    expect(counts).toContain("2026-11-22T12:01:00Z w0 1");
    expect(lines.find(({ labels }) => labels.way === "other").labels).toEqual(
      { way: "other", city: "other" },
    );
  });

  test("have the fields of a value's distribution where the rule has a value", () => {
    using bench = new Bench();
    for (let i = 1; i <= 100; i++) bench.add(i / 2, { rule: tookRule.name, labels: {}, value: i });
    // The record matched, but its value was no number.
    bench.add(1, { rule: tookRule.name, labels: {} });
    const [line] = bench.commit(Infinity);
    expect(line).toMatchObject({ rule: "took", count: 101, sum: 5050, min: 1, max: 100 });
    for (const [name, exact] of [["p50", 50], ["p90", 90], ["p99", 99]] as const) {
      expect(Math.abs(line[name] / exact - 1)).toBeLessThan(0.011);
    }
    bench.add(1);
    expect("sum" in bench.commit(Infinity)[0]).toBe(false);
  });

  test("take times from before 1970 and from far ahead without a fault", () => {
    using bench = new Bench();
    expect(bench.add(0, { wallUs: -7e15 })).toBe(false);
    expect(bench.add(0, { wallUs: 9e15 })).toBe(true);
    expect(bench.commit(Infinity)).toMatchObject([{ window: "2255-03-14T16:00:00Z" }]);
  });
});
