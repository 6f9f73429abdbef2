import { describe, expect, test } from "bun:test";
import { type ClockFit, clockKey, Clocks } from "./clock.ts";
import { header, noonUs } from "./fixtures.ts";

const fresh = () => new Clocks(() => undefined);
/** A block that was received so many seconds after noon. */
const at = (seconds: number) => header({ recvUs: noonUs + seconds * 1e6 });

describe("clocks", () => {
  test("know only the receive time of a boot of which nothing was said", () => {
    const time = fresh().wallTime(at(0), 5e6);
    expect(time).toEqual({ wallUs: noonUs, errorUs: 60e6 });
    expect(fresh().syncedTime(at(0), 5e6)).toBeUndefined();
  });

  test("take a sync record whose wall clock agrees with the receiver's", () => {
    const clocks = fresh();
    clocks.sync(at(2), 100e6, { wallUs: noonUs, synced: false });
    const right = { wallUs: noonUs - 10e6, errorUs: 50_000 };
    expect(clocks.wallTime(at(2), 90e6)).toEqual(right);
    expect(clocks.syncedTime(at(2), 90e6)).toEqual(right);
  });

  test("give a device that believes it is 1970 right times, too", () => {
    const clocks = fresh();
    clocks.sync(at(1), 100e6, { wallUs: 100e6, synced: false });
    const time = clocks.wallTime(at(1), 90e6);
    expect(time).toEqual({ wallUs: noonUs - 9e6, errorUs: 1_000_000 });
    expect(clocks.syncedTime(at(1), 90e6)).toBeUndefined();
  });

  test("don't believe a wall clock that is ahead of the receiver's", () => {
    const clocks = fresh();
    clocks.sync(at(0), 100e6, { wallUs: noonUs + 3600e6, synced: false });
    expect(clocks.wallTime(at(0), 90e6).wallUs).toBe(noonUs - 10e6);
  });

  test("believe a sync that says synced, however long it was on its way", () => {
    const clocks = fresh();
    clocks.sync(at(7200), 100e6, { wallUs: noonUs, synced: true });
    expect(clocks.wallTime(at(7200), 110e6)).toEqual({ wallUs: noonUs + 10e6, errorUs: 50_000 });
  });

  test("take the least of receive times, whichever came first", () => {
    for (const order of [[30, 2, 9], [2, 30, 9], [9, 30, 2]]) {
      const clocks = fresh();
      for (const lateS of order) clocks.received(at(100 + lateS), 100e6);
      expect(clocks.wallTime(at(200), 90e6)).toEqual({ wallUs: noonUs + 92e6, errorUs: 60e6 });
      const unsynced = fresh();
      for (const lateS of order) {
        unsynced.sync(at(100 + lateS), 100e6, { wallUs: 0, synced: false });
      }
      expect(unsynced.wallTime(at(200), 90e6)).toEqual({ wallUs: noonUs + 92e6, errorUs: 1e6 });
    }
  });

  test("prefer a higher rank, in any order", () => {
    const say: Record<string, (clocks: Clocks) => void> = {
      block: (clocks) => clocks.received(at(50), 100e6),
      arrival: (clocks) => clocks.sync(at(70), 100e6, { wallUs: 0, synced: false }),
      sync: (clocks) => clocks.sync(at(90), 100e6, { wallUs: noonUs + 60e6, synced: true }),
    };
    for (const order of ["block arrival sync", "sync arrival block", "arrival sync block"]) {
      const clocks = fresh();
      for (const one of order.split(" ")) say[one]!(clocks);
      expect([order, clocks.get(clockKey(at(0)))?.rank]).toEqual([order, 2]);
      expect(clocks.wallTime(at(99), 90e6).wallUs).toBe(noonUs + 50e6);
    }
    const clocks = fresh();
    say["arrival"]!(clocks);
    say["block"]!(clocks);
    expect(clocks.get(clockKey(at(0)))?.rank).toBe(1);
  });

  test("take the newest sync after a suspend, in which the kernel clock stood still", () => {
    const clocks = fresh();
    clocks.sync(at(0), 100e6, { wallUs: noonUs, synced: true });
    expect(clocks.syncedTime(at(0), 100e6)!.wallUs).toBe(noonUs);
    clocks.sync(at(3600), 101e6, { wallUs: noonUs + 3600e6, synced: true });
    expect(clocks.wallTime(at(3601), 102e6).wallUs).toBe(noonUs + 3601e6);
  });

  test("never give a time later than the record was received", () => {
    const clocks = fresh();
    clocks.sync(at(0), 100e6, { wallUs: noonUs + 86400e6, synced: true });
    expect(clocks.wallTime(at(0), 100e6).wallUs).toBe(noonUs);
    expect(clocks.wallTime(at(0), Number.MAX_SAFE_INTEGER).wallUs).toBe(noonUs);
  });

  test("keep boots and devices apart", () => {
    const clocks = fresh();
    clocks.sync(at(0), 100e6, { wallUs: noonUs, synced: true });
    for (const other of [header({ boot: "b2" }), header({ device: "d2" })]) {
      expect(clocks.syncedTime(other, 0)).toBeUndefined();
    }
  });

  test("are saved when they change, only then, and go on from what was loaded", () => {
    const clocks = fresh();
    const sync = { wallUs: noonUs, synced: true };
    clocks.sync(at(0), 100e6, sync);
    const saved = new Map(clocks.changed());
    expect(saved).toEqual(
      new Map([["d1 b1", { rank: 2, offsetUs: noonUs - 100e6, errorUs: 50_000 }]]),
    );
    clocks.saved();
    clocks.sync(at(0), 100e6, sync);
    clocks.received(at(0), 100e6);
    expect([...clocks.changed()]).toEqual([]);
    const loaded = new Clocks((key): ClockFit | undefined => saved.get(key));
    loaded.received(at(-9), 100e6);
    expect(loaded.wallTime(at(0), 90e6).wallUs).toBe(noonUs - 10e6);
    expect([...loaded.changed()]).toEqual([]);
  });
});
