import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { BootClocks } from "./boot_clocks.ts";
import { type Heard, type SimOptions, simulateBoot } from "./boot_sim.ts";
import { header, noonUs } from "./fixtures.ts";
import { MemoryFacts } from "./memory_facts.ts";

const none = { load: () => undefined, all: () => [] };
const fresh = () => new BootClocks(none);
const boot = header();
const synced = (wallUs: number) => ({ wallUs, synced: true });
/** Unix time so many seconds after noon. */
const at = (seconds: number) => noonUs + seconds * 1e6;

describe("boot clocks", () => {
  test("know only the receive time of a boot of which nothing was said", () => {
    expect(fresh().wallTime(boot, 5e6, noonUs)).toEqual({ wallUs: noonUs, errorUs: 60e6 });
    expect(fresh().waitUntilUs(header({ boot: "-" }), 5e6, noonUs)).toBe(noonUs);
    const clocks = fresh();
    for (const lateS of [30, 2, 9]) clocks.received(boot, 100e6, at(100 + lateS));
    expect(clocks.wallTime(boot, 90e6, at(200))).toEqual({ wallUs: at(92), errorUs: 60e6 });
  });

  test("take a synchronised clock at its word, within 50 ms", () => {
    const clocks = fresh();
    clocks.sync(boot, 100e6, synced(at(0)), at(0.1));
    expect(clocks.wallTime(boot, 90e6, at(1))).toEqual({ wallUs: at(-10), errorUs: 42_000 });
    expect(clocks.wallTime(boot, 110e6, at(10.2))).toEqual({ wallUs: at(10), errorUs: 42_000 });
    expect(clocks.waitUntilUs(boot, 110e6, at(10.2))).toBe(at(10.2));
  });

  test("believe arrival rather than a clock that is years off, or hours while it says synchronised", () => {
    for (const wallUs of [100e6, at(1e9), at(-7200)]) {
      const clocks = fresh();
      clocks.sync(boot, 100e6, synced(wallUs), at(0.1));
      const { wallUs: told, errorUs } = clocks.wallTime(boot, 100e6, at(0.1));
      expect(Math.abs(told - at(0))).toBeLessThanOrEqual(errorUs);
      expect(errorUs).toBe(1e6);
    }
  });

  test("say half a second of a clock that nobody vouches for", () => {
    const clocks = fresh();
    clocks.sync(boot, 100e6, { wallUs: at(0), synced: false }, at(0.1));
    expect(clocks.wallTime(boot, 100e6, at(0.1))).toEqual({ wallUs: at(0), errorUs: 500_000 });
    expect(clocks.waitUntilUs(boot, 100e6, at(0.1))).toBe(at(0.1));
  });

  test("make records wait for a clock that isn't right yet, for minutes from the boot's first block", () => {
    const clocks = fresh();
    expect(clocks.waitUntilUs(boot, 90e6, at(0))).toBe(at(0) + limits.clockWaitMs * 1000);
    clocks.sync(boot, 100e6, synced(100e6), at(0));
    expect(clocks.waitUntilUs(boot, 110e6, at(10))).toBe(at(0) + limits.clockWaitMs * 1000);
    clocks.sync(boot, 220e6, synced(at(120)), at(120.05));
    expect(clocks.waitUntilUs(boot, 110e6, at(10))).toBe(at(10));
    expect(clocks.wallTime(boot, 110e6, at(10))).toEqual({ wallUs: at(10), errorUs: 62_000 });
  });

  test("make a record wait that came as late as after a suspend, and then know of which side it is", () => {
    const clocks = fresh();
    clocks.sync(boot, 100e6, synced(at(0)), at(0.1));
    expect(clocks.waitUntilUs(boot, 102e6, at(3602.2))).toBe(at(3602.2) + 60e6);
    // Not fixed later it would be known within its lateness only.
    expect(clocks.wallTime(boot, 102e6, at(3602.2))).toEqual({ wallUs: at(2), errorUs: 3600.2e6 });
    clocks.sync(boot, 102.5e6, synced(at(3602.5)), at(3602.6));
    expect(clocks.waitUntilUs(boot, 102e6, at(3602.2))).toBe(at(3602.2));
    const { wallUs, errorUs } = clocks.wallTime(boot, 102e6, at(3602.2));
    for (const possible of [at(2), at(3602)]) {
      expect(Math.abs(wallUs - possible)).toBeLessThanOrEqual(errorUs);
    }
    // What was received before the suspend was over is of before.
    expect(clocks.wallTime(boot, 101e6, at(1.2)).wallUs).toBe(at(1));
    expect(clocks.wallTime(boot, 103e6, at(3603.2)).wallUs).toBe(at(3603));
  });

  test("put a backlog between the sync records around it", () => {
    const clocks = fresh();
    clocks.sync(boot, 100e6, synced(at(0)), at(0.1));
    clocks.sync(boot, 3700e6, synced(at(3600.2)), at(3600.3));
    const time = clocks.wallTime(boot, 1900e6, at(3601));
    expect(time.wallUs).toBe(at(1800.1));
    expect(time.errorUs).toBeLessThan(160_000);
  });

  test("never give a time later than the record was received", () => {
    const clocks = fresh();
    clocks.sync(boot, 100e6, synced(at(0)), at(0));
    expect(clocks.wallTime(boot, Number.MAX_SAFE_INTEGER, at(1)).wallUs).toBe(at(1));
  });

  test("keep boots and devices apart", () => {
    const clocks = fresh();
    clocks.sync(boot, 100e6, synced(at(0)), at(0));
    for (const other of [header({ boot: "b2" }), header({ device: "d2" })]) {
      expect(clocks.wallTime(other, 0, at(9)).errorUs).toBe(60e6);
    }
  });

  test("tell of a clock that was set, so often as it may matter", () => {
    const clocks = fresh();
    clocks.stepUsMin = 10e6;
    expect(clocks.sync(boot, 100e6, synced(at(0)), at(0))).toBeUndefined();
    expect(clocks.sync(boot, 101e6, synced(at(91)), at(1))).toEqual({ kind: "step", seconds: 90 });
    let told = 0;
    for (let i = 2; i < 1000; i++) {
      if (clocks.sync(boot, (100 + i) * 1e6, synced(at(i + 90 * (i % 2))), at(i))) told++;
    }
    expect(told).toBe(limits.clockStepsMax - 1);
  });

  test("compare a sync record with the one before it in its boot, whichever came before", () => {
    const facts = new MemoryFacts();
    let clocks = new BootClocks(facts);
    clocks.stepUsMin = 10e6;
    clocks.sync(boot, 100e6, synced(at(0)), at(0));
    clocks.sync(boot, 130e6, synced(at(90)), at(30));
    // One of before the step, which another receiver had.
    expect(clocks.sync(boot, 110e6, synced(at(10)), at(10))).toBeUndefined();
    expect(clocks.sync(boot, 160e6, synced(at(120)), at(60))).toBeUndefined();
    for (let i = 0; i < limits.clockStepsMax; i++) {
      facts.save(clocks);
      clocks = new BootClocks(facts);
      clocks.stepUsMin = 10e6;
      const step = clocks.sync(
        boot,
        (190 + i) * 1e6,
        synced(at(90 + i + 50 * (i % 2))),
        at(90 + i),
      );
      expect([i, step !== undefined]).toEqual([i, i < limits.clockStepsMax - 1]);
    }
  });

  test("keep to their errors over a month of a drift that changes", () => {
    const clocks = fresh();
    const driftUs = (s: number) => 30e-6 * s * 1e6 + 600e3 * Math.sin(s / 30_000);
    const days = 30 * 86_400;
    for (let s = 0; s < days; s += 300) {
      clocks.sync(boot, s * 1e6, synced(Math.round(at(s) + driftUs(s))), at(s) + driftUs(s) + 50e3);
    }
    const off: number[] = [];
    for (let s = 100; s < days - 300; s += 1700) {
      const { wallUs, errorUs } = clocks.wallTime(boot, s * 1e6, at(days));
      expect(Math.abs(wallUs - at(s) - driftUs(s))).toBeLessThanOrEqual(errorUs);
      off.push(errorUs);
    }
    expect(Math.max(...off)).toBeLessThan(5e6);
  });

  test("say the same after a kill at any batch, and save only what changed", () => {
    const all = simulateBoot(7, noonUs, { ...ordinary, clock: "1970", ntpS: 400, suspends: 3 });
    const whole = fix(all);
    const facts = new MemoryFacts();
    let clocks = new BootClocks(facts);
    const told = all.map((heard, i) => {
      if (i % 7 === 0) clocks = new BootClocks(facts);
      if (heard.kind === "sync") clocks.sync(boot, heard.usec, heard, heard.recvUs);
      const time = clocks.wallTime(boot, heard.usec, heard.recvUs);
      facts.save(clocks);
      expect([...clocks.changed()]).toEqual([]);
      return time;
    });
    const undisturbed = fresh();
    expect(told).toEqual(all.map((heard) => {
      if (heard.kind === "sync") undisturbed.sync(boot, heard.usec, heard, heard.recvUs);
      return undisturbed.wallTime(boot, heard.usec, heard.recvUs);
    }));
    expect(whole.length).toBeGreaterThan(100);
    const [[, text]] = [...facts.all("clock")] as [[string, string]];
    expect(text.length).toBeLessThan(2_000);
  });

  test("keep a bounded fit of a boot that sleeps a thousand times", () => {
    const facts = new MemoryFacts();
    const clocks = new BootClocks(facts);
    for (let i = 0; i < 1000; i++) clocks.sync(boot, i * 60e6, synced(at(i * 360)), at(i * 360));
    facts.save(clocks);
    const [[, text]] = [...facts.all("clock")] as [[string, string]];
    expect(text.split(";").length).toBeLessThanOrEqual(2 + limits.clockKnotsMax);
    const old = clocks.wallTime(boot, 30e6, at(1e6));
    expect(Math.abs(old.wallUs - at(180))).toBeLessThanOrEqual(old.errorUs);
    expect(clocks.wallTime(boot, 999 * 60e6 + 1e6, at(999 * 360 + 1.1)).errorUs).toBeLessThan(
      50_000,
    );
  });
});

const ordinary: SimOptions = { clock: "right", ntpS: 0, suspends: 0, outages: 2, lengthS: 20_000 };

interface Fixed {
  offUs: number;
  errorUs: number;
  waitedUs: number;
  /** It came soon, and after a sync record that was good. */
  isPlain: boolean;
}

/** Fixes each record's time as the grinder does: at once, or when its wait is over. */
function fix(all: Heard[]): Fixed[] {
  const clocks = fresh();
  const fixed: Fixed[] = [];
  let waiting: Heard[] = [];
  let good = false;
  for (const heard of all) {
    if (heard.kind === "sync") {
      clocks.sync(boot, heard.usec, heard, heard.recvUs);
      good ||= heard.synced && Math.abs(heard.wallUs - heard.trueUs) < 20_000;
    } else {
      clocks.received(boot, heard.usec, heard.recvUs);
      waiting.push(heard);
    }
    waiting = waiting.filter((one) => {
      if (clocks.waitUntilUs(boot, one.usec, one.recvUs) > heard.recvUs) return true;
      const { wallUs, errorUs } = clocks.wallTime(boot, one.usec, one.recvUs);
      const offUs = Math.abs(wallUs - one.trueUs);
      const isPlain = good && one.recvUs - one.trueUs < 400_000;
      fixed.push({ offUs, errorUs, waitedUs: heard.recvUs - one.recvUs, isPlain });
      return false;
    });
  }
  return fixed;
}

describe("the time of records of a thousand simulated boots", () => {
  const kinds: Record<string, SimOptions> = {
    "that are right": ordinary,
    "that sleep": { ...ordinary, suspends: 6 },
    "that begin in 1970 and are set within minutes": { ...ordinary, clock: "1970", ntpS: 150 },
    "that begin in 1970 and are set after hours": { ...ordinary, clock: "1970", ntpS: 9000 },
    "that are years ahead": { ...ordinary, clock: "ahead", ntpS: Infinity },
    "that are hours behind and say synchronised": {
      ...ordinary,
      clock: "hours behind",
      ntpS: Infinity,
      claims: true,
    },
    "that nobody vouches for": { ...ordinary, claims: false },
    "that do it all": { ...ordinary, clock: "1970", ntpS: 600, suspends: 4, outages: 4 },
  };
  for (const [name, options] of Object.entries(kinds)) {
    test(`is within the stated error, of boots ${name}`, () => {
      const fixed: Fixed[] = [];
      for (let seed = 1; seed <= 130; seed++) {
        fixed.push(...fix(simulateBoot(seed, noonUs, options)));
      }
      const share = (all: Fixed[], isSo: (one: Fixed) => boolean) =>
        all.filter(isSo).length / all.length;
      const within = share(fixed, ({ offUs, errorUs }) => offUs <= errorUs);
      const plain = fixed.filter(({ isPlain }) => isPlain && options.claims === undefined);
      const exact = plain.length === 0
        ? 1
        : share(plain, ({ offUs, errorUs }) => offUs <= 50_000 && errorUs <= 50_000);
      expect(fixed.length).toBeGreaterThan(100_000);
      expect(within).toBeGreaterThanOrEqual(0.99);
      expect(exact).toBeGreaterThanOrEqual(0.99);
    });
  }
});
