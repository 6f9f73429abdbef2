import { describe, expect, test } from "bun:test";
import { FakeClock } from "../tests/fixtures.ts";
import { ClockWatch } from "./clock_watch.ts";

function setUp() {
  const clock = new FakeClock();
  const watch = new ClockWatch(clock);
  let jumps = 0;
  const follow = (): void =>
    void watch.jump().then(() => {
      jumps++;
      follow();
    });
  follow();
  return { clock, watch, jumps: () => jumps };
}

describe("a clock watch", () => {
  test("tells of each time the wall clock is set, forward or back", async () => {
    const { clock, jumps } = setUp();
    await clock.advance(10_000);
    expect(jumps()).toBe(0);
    clock.setMs += 3_600_000;
    await clock.advance(1_000);
    expect(jumps()).toBe(1);
    clock.setMs -= 10 * 365 * 86_400_000;
    await clock.advance(1_000);
    expect(jumps()).toBe(2);
    await clock.advance(10_000);
    expect(jumps()).toBe(2);
  });

  test("doesn't take slewing for a jump", async () => {
    const { clock, jumps } = setUp();
    for (let second = 0; second < 100; second++) {
      clock.setMs += 0.5;
      await clock.advance(1_000);
    }
    expect(jumps()).toBe(0);
  });
});
