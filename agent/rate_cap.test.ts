import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { formatRecord, gapRecord, type LogRecord, parseGap, syncRecord } from "../shared/record.ts";
import { FakeClock, ordinary, settle } from "../tests/fixtures.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { RateCap } from "./rate_cap.ts";
import type { Source } from "./source.ts";

/** A source whose records the test gives. */
class FedSource implements Source {
  readonly source = "kmsg";
  readonly boot = "b1";
  readonly stream = "s1";
  #queue: Array<LogRecord[] | undefined> = [];
  #wake = () => {};
  closed = false;

  give(...records: LogRecord[]): void {
    this.#queue.push(records);
    this.#wake();
  }

  close(): void {
    this.closed = true;
    this.#queue.push(undefined);
    this.#wake();
  }

  async read(): Promise<LogRecord[] | undefined> {
    while (this.#queue.length === 0) await new Promise<void>((wake) => this.#wake = wake);
    return this.#queue.shift();
  }
}

/** Of exactly 100 bytes. */
function sized(seq: number, bytes = 100): LogRecord {
  const empty = formatRecord(ordinary(seq, "")).length;
  return ordinary(seq, "x".repeat(bytes - empty));
}

function setUp(bytesPerSecond = 100) {
  const clock = new FakeClock();
  const inner = new FedSource();
  const cap = new RateCap(inner, { bytesPerSecond, clock });
  const out: LogRecord[] = [];
  const done = (async () => {
    for (let some = await cap.read(); some; some = await cap.read()) {
      expect(some.length).toBeGreaterThan(0);
      out.push(...some);
    }
  })();
  /** What came out since the last look: seqs, and gaps as `first-last`. */
  const taken = async () => {
    await settle();
    return out.splice(0).map((record) => {
      const gap = parseGap(record);
      if (record.flag !== "g" || gap?.cause !== "ratelimit") return record.flag + record.seq;
      expect(gap.count).toBe(Number(gap.last) - gap.first! + 1);
      expect(record.seq).toBe(Number(gap.last) + 1);
      return `${gap.first}-${gap.last}`;
    });
  };
  const give = (from: number, to: number) => {
    for (let seq = from; seq <= to; seq++) inner.give(sized(seq));
  };
  return { clock, inner, cap, done, taken, give };
}

const burst = limits.rateBurstMs / 1000;

describe("a capped source", () => {
  test("passes a burst, drops what is beyond, and says so before the next that passes", async () => {
    const { clock, taken, give } = setUp();
    give(0, burst + 4);
    expect(await taken()).toEqual(Array.from({ length: burst }, (_, seq) => `-${seq}`));
    await clock.advance(limits.rateBurstMs / 2);
    give(burst + 5, burst + 5);
    expect(await taken()).toEqual([`${burst}-${burst + 4}`, `-${burst + 5}`]);
  });

  test("passes nothing until it is half full again, so that gaps are few", async () => {
    const { clock, taken, give } = setUp();
    give(0, burst);
    await taken();
    for (let seq = burst + 1; seq < burst + 5; seq++) {
      await clock.advance(1_000);
      give(seq, seq);
      expect(await taken()).toEqual([]);
    }
    await clock.advance(1_000);
    give(burst + 5, burst + 9);
    expect(await taken()).toEqual([
      `${burst}-${burst + 4}`,
      ...[5, 6, 7, 8, 9].map((more) => `-${burst + more}`),
    ]);
  });

  test("says the gap after a while, though nothing more comes, and once only", async () => {
    const { clock, taken, give } = setUp();
    give(0, burst + 2);
    await taken();
    await clock.advance(limits.rateGapMs - 1);
    expect(await taken()).toEqual([]);
    await clock.advance(1);
    expect(await taken()).toEqual([`${burst}-${burst + 2}`]);
    await clock.advance(10 * limits.rateGapMs);
    give(burst + 3, burst + 3);
    expect(await taken()).toEqual([`-${burst + 3}`]);
  });

  test("says the gap at its end", async () => {
    const { cap, inner, done, taken, give } = setUp();
    give(0, burst);
    cap.close();
    await done;
    expect(inner.closed).toBe(true);
    expect((await taken()).at(-1)).toBe(`${burst}-${burst}`);
  });

  test("passes gaps and clock records always, in their place", async () => {
    const { inner, taken, give } = setUp();
    give(0, burst);
    await taken();
    const next = burst + 3;
    const gap = { first: burst + 1, last: burst + 2, count: 2, cause: "overrun" } as const;
    inner.give(gapRecord(next, 1, gap), sized(next), sized(next + 1));
    inner.give(syncRecord(next + 2, 1, { wallUs: 1, synced: true }));
    expect(await taken())
      .toEqual([`${burst}-${burst}`, `g${next}`, `${next}-${next + 1}`, `s${next + 2}`]);
  });

  test("never says that a record is missing which it hasn't seen", async () => {
    const { cap, inner, done, taken, give } = setUp();
    give(0, burst);
    inner.give(sized(20), sized(21), sized(30));
    cap.close();
    await done;
    expect((await taken()).slice(burst)).toEqual([`${burst}-${burst}`, "20-21", "30-30"]);
  });

  test("passes a record that is larger than a burst, and the next ones pay for it", async () => {
    const { clock, inner, taken } = setUp();
    inner.give(sized(0, 100 * (burst + 20)), sized(1));
    expect(await taken()).toEqual(["-0"]);
    await clock.advance(19_000 + limits.rateBurstMs / 2);
    inner.give(sized(2));
    expect((await taken()).at(-1)).not.toBe("-2");
    await clock.advance(1_000);
    inner.give(sized(3));
    expect((await taken()).at(-1)).toBe("-3");
  });

  test("keeps its rate, and every record passes or is in one gap", async () => {
    const random = seededRandom(7);
    const { clock, cap, inner, done, taken } = setUp(1_000);
    let seq = 0;
    for (let second = 0; second < 600; second++) {
      const count = Math.floor(random() * (second % 60 < 20 ? 100 : 10));
      for (let i = 0; i < count; i++) inner.give(sized(seq++));
      await clock.advance(1_000);
    }
    cap.close();
    await done;
    const out = await taken();
    const seqs = out.flatMap((what) => {
      if (what.startsWith("-")) return [Number(what.slice(1))];
      const [first, last] = what.split("-").map(Number) as [number, number];
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
    expect(seqs).toEqual(Array.from({ length: seq }, (_, i) => i));
    const passed = out.filter((what) => what.startsWith("-")).length;
    expect(passed * 100).toBeLessThanOrEqual(1_000 * (600 + burst));
    expect(passed * 100).toBeGreaterThan(1_000 * 600 * 0.5);
    expect(out.length - passed).toBeLessThan(600 / (burst / 2));
  });

  test("has the names of the one within, and asks it what is safe", () => {
    const inner = new FedSource();
    const options = { bytesPerSecond: 1, clock: new FakeClock() };
    const { boot, source, stream } = new RateCap(inner, options);
    expect([boot, source, stream]).toEqual(["b1", "kmsg", "s1"]);
    expect(new RateCap(inner, options).safe(1)).toBe(true);
    const unsafe = Object.assign(inner, { safe: (offlineMs: number) => offlineMs < 5 });
    expect([4, 5].map((ms) => new RateCap(unsafe, options).safe(ms))).toEqual([true, false]);
  });

  test("must have a rate", () => {
    for (const rate of [0, -1, NaN]) expect(() => setUp(rate)).toThrow(/must be above 0/);
  });
});
