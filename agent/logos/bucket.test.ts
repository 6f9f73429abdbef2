import { describe, expect, test } from "bun:test";
import rules from "../../rules.ts";
import { RateLimit } from "./bucket.ts";

/** Limits under a clock that the test moves. The daily one is large where it isn't the subject. */
function setUp({ burstBytes = 1_000_000, dayBytes = 1e12 } = {}) {
  const clock = { ms: 1_000 };
  const said: string[] = [];
  const limit = new RateLimit({
    burstBytes,
    dayBytes,
    nowMs: () => clock.ms,
    say: (text) => void said.push(text),
  });
  /** How many lines pass until the first that doesn't. */
  const passes = (cost: number) => {
    for (let n = 0;; n++) if (!limit.admit(cost)) return n;
  };
  const take = () => said.splice(0);
  return { clock, limit, passes, take };
}

const burstBegins = "W: burst limit: dropping messages to prevent overflow (1666 bytes/sec).";

describe("the burst bucket", () => {
  test("begins half full, and holds half of a burst", () => {
    const { clock, limit, passes, take } = setUp();
    expect(passes(100)).toBe(2_500);
    expect(take()).toEqual([burstBegins]);
    clock.ms += 1_000_000;
    expect(limit.admit(100)).toBe(true);
    expect(take()).toEqual(["W: burst limit: 1 messages were dropped."]);
    expect(passes(100)).toBe(4_999);
  });

  test("is filled over 300 seconds", () => {
    const { clock, limit } = setUp({ burstBytes: 600_000 });
    expect(limit.admit(150_000)).toBe(true);
    clock.ms += 149_999;
    expect(limit.admit(149_999)).toBe(true);
    clock.ms += 300_000;
    expect(limit.admit(300_000)).toBe(true);
    expect(limit.admit(1)).toBe(false);
  });

  test("is filled also where the clock is asked a thousand times a second", () => {
    const { clock, limit } = setUp({ burstBytes: 600 });
    expect(limit.admit(150)).toBe(true);
    for (let n = 0; n < 100_000; n++) {
      clock.ms++;
      expect(limit.admit(0)).toBe(true);
    }
    expect(limit.admit(99)).toBe(true);
    expect(limit.admit(3)).toBe(false);
  });

  test("is emptied by the line that doesn't fit, so that smaller ones don't slip through", () => {
    const { limit, passes, take } = setUp({ burstBytes: 2_000 });
    expect(limit.admit(400)).toBe(true);
    expect(limit.admit(200)).toBe(false);
    expect(passes(1)).toBe(0);
    expect(take().length).toBe(1);
  });

  test("waits 5 s in its first episode, then twice as long each time, up to 120 s", () => {
    const { clock, limit, passes, take } = setUp();
    passes(1_000);
    for (const waitMs of [5_000, 10_000, 20_000, 40_000, 80_000, 120_000, 120_000]) {
      expect(take()).toEqual([burstBegins]);
      clock.ms += waitMs - 1;
      expect([waitMs, limit.admit(1_000)]).toEqual([waitMs, false]);
      clock.ms += 1;
      expect([waitMs, limit.admit(1_000)]).toEqual([waitMs, true]);
      expect(take()).toEqual(["W: burst limit: 2 messages were dropped."]);
      // All that the wait has brought is there at once; using it up begins the next episode.
      expect(passes(1_000)).toBe(Math.floor(waitMs * 500_000 / 300_000 / 1_000) - 1);
    }
  });

  test("says each episode's beginning and end once, with the number of lines between", () => {
    const { clock, limit, passes, take } = setUp();
    passes(1_000);
    for (let n = 0; n < 11; n++) limit.admit(1_000);
    expect(take()).toEqual([burstBegins]);
    clock.ms += 5_000;
    limit.admit(1_000);
    expect(take()).toEqual(["W: burst limit: 12 messages were dropped."]);
  });

  test("that is smaller than a line drops it each time, and still tells", () => {
    const { clock, limit, take } = setUp({ burstBytes: 600 });
    expect(limit.admit(1_000)).toBe(false);
    clock.ms += 1_000_000;
    limit.tick();
    expect(take()).toEqual([
      "W: burst limit: dropping messages to prevent overflow (1 bytes/sec).",
      "W: burst limit: 1 messages were dropped.",
    ]);
  });
});

describe("the daily bucket", () => {
  test("begins half full and is filled over a day", () => {
    const { clock, limit, passes, take } = setUp({ burstBytes: 1e12, dayBytes: 8_640_000 });
    expect(passes(1_000)).toBe(4_320);
    expect(take().filter((text) => text.startsWith("W:"))).toEqual([
      "W: daily limit: dropping messages (100 bytes/sec).",
    ]);
    clock.ms += 2 * 86_400_000;
    expect(limit.admit(8_640_000)).toBe(true);
    expect(limit.admit(1)).toBe(false);
    expect(take().filter((text) => text.startsWith("W:"))).toEqual([
      "W: daily limit: 1 messages were dropped.",
      "W: daily limit: dropping messages (100 bytes/sec).",
    ]);
  });

  test("counts what it drops alone: no line is counted by two limits", () => {
    const { clock, limit, take } = setUp({ burstBytes: 10_000, dayBytes: 86_400 });
    let dropped = 0;
    // For an hour, 10 lines a second.
    for (let n = 0; n < 36_000; n++) {
      clock.ms += 100;
      if (!limit.admit(100)) dropped++;
    }
    limit.end();
    const said = take();
    const count = (name: string) =>
      said.map((text) =>
        new RegExp(`^W: ${name} limit: (\\d+) messages were dropped\\.$`).exec(text)
      )
        .reduce((sum, match) => sum + Number(match?.[1] ?? 0), 0);
    expect(count("burst")).toBeGreaterThan(0);
    expect(count("daily")).toBeGreaterThan(0);
    expect(count("burst") + count("daily")).toBe(dropped);
  });
});

describe("the notice", () => {
  test("warns of a rate that a day can't bear, and drops nothing", () => {
    const { clock, limit, take } = setUp({ burstBytes: 600_000, dayBytes: 8_640_000 });
    // The burst bucket bears 1,000 bytes a second for ever.
    for (let second = 0; second < 300; second++) {
      clock.ms += 1_000;
      expect(limit.admit(1_000)).toBe(true);
    }
    expect(take()[0]).toBe("I: burst notice: this log rate is unsustainable (100 bytes/sec).");
    clock.ms += 1_000_000;
    expect(limit.admit(1_000)).toBe(true);
    expect(take().at(-1)).toMatch(/^I: burst notice: \d+ messages would have been dropped\.$/);
  });

  test("doesn't make the other buckets wait", () => {
    const { clock, limit } = setUp({ burstBytes: 2_000, dayBytes: 86_400 });
    for (let n = 0; n < 10; n++) expect(limit.admit(50)).toBe(true);
    clock.ms += 60;
    expect(limit.admit(0.2)).toBe(true);
  });
});

describe("a limit", () => {
  test("tells what it dropped once there would be room, though the program has fallen silent", () => {
    const { clock, limit, passes, take } = setUp();
    passes(1_000);
    take();
    clock.ms += 4_999;
    limit.tick();
    expect(take()).toEqual([]);
    clock.ms += 1;
    limit.tick();
    limit.tick();
    expect(take()).toEqual(["W: burst limit: 1 messages were dropped."]);
  });

  test("tells what it dropped when there will be no more lines", () => {
    const { limit, passes, take } = setUp();
    passes(1_000);
    take();
    limit.end();
    limit.end();
    expect(take()).toEqual(["W: burst limit: 1 messages were dropped."]);
  });

  test("that is refilled is half full at once, in the middle of an episode", () => {
    const { limit, passes, take } = setUp();
    passes(100);
    limit.refill();
    expect(take()).toEqual([burstBegins, "W: burst limit: 1 messages were dropped."]);
    expect(passes(100)).toBe(2_500);
  });

  test("that is lifted lets all pass; restored, it is half full", () => {
    const { limit, passes, take } = setUp();
    passes(100);
    limit.lift();
    limit.lift();
    for (let n = 0; n < 10_000; n++) expect(limit.admit(1_000)).toBe(true);
    limit.restore();
    limit.restore();
    expect(take()).toEqual([
      burstBegins,
      "W: burst limit: 1 messages were dropped.",
      "W: SIGUSR1: rate limit disabled.",
      "W: SIGUSR2: rate limit re-enabled.",
    ]);
    expect(passes(100)).toBe(2_500);
  });

  test("speaks words that the rule logos_dropped reads", () => {
    const { clock, limit, passes, take } = setUp({ burstBytes: 10_000, dayBytes: 86_400 });
    for (let n = 0; n < 2_000; n++) {
      passes(100);
      clock.ms += 60_000;
    }
    limit.end();
    const said = [...new Set(take().map((text) => text.replace(/\d+ messages/, "3 messages")))];
    const { regex } = rules.find(({ name }) => name === "logos_dropped") as { regex: RegExp };
    const read = said.map((text) => ({ ...regex.exec(`conman: ${text}`)?.groups }))
      .filter(({ count }) => count !== undefined);
    expect(said.length).toBe(6);
    expect(read).toEqual([{ limit: "burst", count: "3" }, { limit: "daily", count: "3" }]);
  });
});
