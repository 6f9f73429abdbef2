import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import type { Storage } from "../shared/storage/storage.ts";
import { StorageError } from "../shared/storage/storage.ts";
import { FakeClock, settle } from "../tests/fixtures.ts";
import { Engine } from "./engine/engine.ts";
import { block, lines, midnightMs, Mill, noonUs, rules, seqsOf, syncLine } from "./fixtures.ts";
import { tail, type TailClock } from "./tail.ts";

const engine = new Engine({ rules, rulesPath: "", threads: 0, warn() {} });
const digests = engine.digests.bind(engine);

/** So that events needn't wait for their boot's clock. */
function synced(seq: number, recvUs = noonUs): string {
  return syncLine(seq, seq * 1e6, recvUs - 1e6);
}

/** A storage that the test breaks and that says news when the test wants it. */
class Harness {
  failing = false;
  /** An epoch. */
  unreadable: string | undefined;
  watchers = 0;
  news = () => {};
  refreshes = 0;
  readonly reports: string[] = [];
  /** Where the cursors stood each time they were published; with `!` at the end. */
  readonly published: string[] = [];
  readonly stop = new AbortController();
  readonly clock = new FakeClock(midnightMs);

  constructor(readonly mill: Mill) {}

  start(once = false): Promise<void> {
    const { mill: { storage, grind } } = this;
    const breakable: Storage = {
      createEpoch: (receiver) => storage.createEpoch(receiver),
      list: (after) => {
        if (!this.failing) return storage.list(after);
        return Promise.reject(new StorageError("Cannot list: EIO"));
      },
      read: (...where) => {
        if (where[0].epoch !== this.unreadable) return storage.read(...where);
        return Promise.reject(new StorageError("Cannot read: EIO"));
      },
      watch: (news) => {
        this.watchers++;
        this.news = news;
        return { [Symbol.dispose]: () => void this.watchers-- };
      },
    };
    return tail({
      storage: breakable,
      grind,
      digests,
      once,
      stop: this.stop.signal,
      refresh: () => Promise.resolve(void this.refreshes++),
      report: (text) => this.reports.push(text),
      publish: (cursors, last) => {
        const saved = [...this.mill.state.cursors().values()].map(({ offset }) => offset).join();
        expect([...cursors.values()].map(({ offset }) => offset).join()).toBe(saved);
        this.published.push(`${saved}${last ? "!" : ""}`);
        return Promise.resolve();
      },
      clock: this.#tailClock(),
    });
  }

  #tailClock(): TailClock {
    return {
      nowMs: this.clock.nowMs,
      sleep: (ms, cut) =>
        Promise.race([
          this.clock.sleep(ms),
          new Promise<void>((resolve) => {
            if (cut.aborted) resolve();
            else cut.addEventListener("abort", () => resolve());
          }),
        ]),
    };
  }
}

/** Lets reads of real files end; no time passes by the clock. */
async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; !holds(); turn++) {
    if (turn > 2_000) throw new Error("it didn't come true");
    await settle();
  }
}

describe("tail", () => {
  test("with once ends after what is there, with all windows said", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(lines(0, 9)));
    const harness = new Harness(mill);
    await harness.start(true);
    expect(seqsOf(mill.events())).toHaveLength(10);
    expect(mill.aggregates().reduce((sum, { count }) => sum + count, 0)).toBe(10);
    expect([harness.watchers, harness.clock.sleeps]).toEqual([0, []]);
  });

  test("with once has a clock that stands still, over a kill too, until it has ended", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    for (let frame = 0; frame < 4; frame++) await receiver.store(block(lines(frame, frame)));
    const days = () => readdirSync(join(mill.out, "events")).sort();
    // As if each frame were a whole batch, and the second one were never committed.
    Object.defineProperty(mill.grind, "pendingBytes", { get: () => Infinity, set() {} });
    const { transaction } = mill.state;
    let commits = 0;
    mill.state.transaction = (work) => {
      if (++commits === 2) throw new Error("killed");
      transaction.call(mill.state, work);
    };
    await expect(new Harness(mill).start(true)).rejects.toThrow("killed");
    mill.reopen();
    const later = new Harness(mill);
    await later.clock.advance(3 * 86_400_000);
    await later.start(true);
    expect([days(), mill.events().length]).toEqual([["20261123.jsonl"], 4]);
    await receiver.store(block(lines(4, 4)));
    const next = new Harness(mill);
    await next.clock.advance(3 * 86_400_000);
    await next.start(true);
    expect([days(), mill.events().length]).toEqual([["20261123.jsonl", "20261126.jsonl"], 5]);
  });

  test("publishes where it stands once that is committed, in the middle of much and at the end", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    for (let frame = 0; frame < 3; frame++) await receiver.store(block(lines(frame, frame)));
    const harness = new Harness(mill);
    // As if each frame were a whole batch.
    Object.defineProperty(mill.grind, "pendingBytes", { get: () => Infinity, set() {} });
    await harness.start(true);
    const places = harness.published.map((place) => parseInt(place));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(new Set(places).size).toBe(3);
    expect(harness.published.map((place) => place.endsWith("!"))).toEqual(
      [...places.slice(1).map(() => false), true],
    );
  });

  test("with once fails where the storage can't be read: nobody would try again", async () => {
    await using mill = new Mill();
    const harness = new Harness(mill);
    harness.failing = true;
    await expect(harness.start(true)).rejects.toThrow(StorageError);
  });

  test("with once keeps what it could read of other epochs before it fails", async () => {
    await using mill = new Mill();
    const [bad, good] = [await mill.receiver("r1"), await mill.receiver("r2")];
    await bad.store(block(lines(0, 4)));
    await good.store(block(lines(5, 9) + synced(10)));
    const harness = new Harness(mill);
    harness.unreadable = bad.epoch.epoch;
    await expect(harness.start(true)).rejects.toThrow(StorageError);
    mill.reopen();
    expect(seqsOf(mill.events())).toEqual([5, 6, 7, 8, 9]);
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("takes up news at once, without waiting for the poll", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const harness = new Harness(mill);
    const running = harness.start();
    for (let first = 0; first < 30; first += 10) {
      await receiver.store(block(lines(first, first + 9)));
      harness.news();
      await until(() => mill.events().length === first + 10);
    }
    harness.stop.abort();
    await running;
    expect(harness.clock.monotonicMs()).toBe(0);
  });

  test("polls where the watch says nothing, and refreshes then", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const harness = new Harness(mill);
    const running = harness.start();
    await until(() => harness.clock.sleeps.length === 1);
    await receiver.store(block(lines(0, 9)));
    await settle();
    expect([mill.events().length, harness.refreshes]).toEqual([0, 0]);
    await harness.clock.advance(1_000);
    await until(() => mill.events().length === 10);
    await until(() => harness.refreshes === 1);
    harness.stop.abort();
    await running;
  });

  test("closes windows by the clock while nothing comes", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const harness = new Harness(mill);
    const recvUs = midnightMs * 1000 + 30e6;
    const running = harness.start();
    await receiver.store(block(lines(0, 2) + synced(3, recvUs), { recvUs }));
    harness.news();
    await until(() => mill.events().length === 3);
    expect(mill.aggregates()).toEqual([]);
    await harness.clock.until(() => mill.aggregates().length === 1, 80_000, 1_000);
    expect(harness.clock.monotonicMs()).toBeGreaterThanOrEqual(70_000);
    harness.stop.abort();
    await running;
    expect(mill.aggregates()).toMatchObject([{ rev: 0, count: 3 }]);
  });

  test("ends when it is stopped: what was read is committed and open windows are said", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const harness = new Harness(mill);
    const recvUs = midnightMs * 1000;
    await receiver.store(block(lines(0, 2) + synced(3, recvUs + 10e6), { recvUs: recvUs + 10e6 }));
    const running = harness.start();
    await until(() => mill.events().length === 3);
    expect(mill.aggregates()).toEqual([]);
    harness.stop.abort();
    await running;
    expect(mill.aggregates()).toMatchObject([{ rev: 0, count: 3 }]);
    expect(harness.watchers).toBe(0);
  });

  test("that was stopped before it began reads no more than it must, and loses nothing", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const recvUs = midnightMs * 1000 - 30 * 86400e6;
    for (const first of [0, 10, 20]) {
      await receiver.store(block(lines(first, first + 9), { recvUs }));
    }
    const harness = new Harness(mill);
    harness.stop.abort();
    await harness.start();
    expect(seqsOf(mill.events())).toHaveLength(10);
    mill.reopen();
    await mill.grindAll();
    expect(seqsOf(mill.events())).toHaveLength(30);
    expect(mill.counters()["too_late_events"]).toBeUndefined();
  });

  test("reports a storage that can't be read once, goes on trying, and says when it is back", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const harness = new Harness(mill);
    harness.failing = true;
    const running = harness.start();
    await receiver.store(block(lines(0, 9)));
    await harness.clock.advance(5_500);
    expect(harness.reports).toEqual(["Cannot list: EIO"]);
    harness.failing = false;
    await harness.clock.advance(500);
    await until(() => mill.events().length === 10);
    expect(harness.reports.slice(1)).toEqual(
      ["the storage can be read again, after 6 failures in 6 s"],
    );
    harness.failing = true;
    await harness.clock.advance(2_000);
    expect(harness.reports.slice(2)).toEqual(["Cannot list: EIO"]);
    harness.stop.abort();
    await running;
  });

  test("ends with an error that isn't the storage's", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(lines(0, 9)));
    mill.state.transaction = () => {
      throw new Error("disk full");
    };
    const harness = new Harness(mill);
    await expect(harness.start()).rejects.toThrow("disk full");
    expect(harness.watchers).toBe(0);
  });

  test("with the real clock is woken by the folder's own watch", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const stop = new AbortController();
    const { storage, grind } = mill;
    const refresh = () => Promise.resolve();
    const running = tail({
      storage,
      grind,
      digests,
      once: false,
      stop: stop.signal,
      refresh,
      report() {},
    });
    await receiver.store(block(lines(0, 9)));
    while (mill.events().length < 10) await settle();
    stop.abort();
    await running;
  });
});
