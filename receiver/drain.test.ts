import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { Drain } from "./drain.ts";

const secMax = limits.intervalMs / 1000;

function setUp() {
  let nowMs = 5_000;
  const drain = new Drain(() => nowMs);
  const refuse = (count: number, random = 0.5) =>
    Array.from({ length: count }, () => drain.retryAfterSec(() => random));
  return { drain, refuse, advance: (ms: number) => nowMs += ms };
}

/** How many are to come back in each second. */
function bySecond(times: number[]): number[] {
  const counts = new Array<number>(secMax + 1).fill(0);
  for (const sec of times) counts[sec]!++;
  return counts;
}

describe("those who are refused", () => {
  test("come back one behind the other, twice as many each second as are let in", () => {
    const { drain, refuse } = setUp();
    for (let i = 0; i < 1_000 * limits.drainMs / 1000; i++) drain.admitted();
    const counts = bySecond(refuse(8_000));
    expect(counts.slice(0, 6)).toEqual([0, 2_000, 2_000, 2_000, 2_000, 0]);
  });

  test("and find all of the normal interval booked come in its last third", () => {
    const { refuse } = setUp();
    refuse(secMax * limits.returnsPerSecMin);
    expect([0, 0.5, 0.999].map((random) => refuse(1, random)[0])).toEqual([60, 50, 41]);
  });

  test("get the appointments of seconds that come into reach, and none that are past", () => {
    const { refuse, advance } = setUp();
    refuse(secMax * limits.returnsPerSecMin);
    advance(2_000);
    expect(bySecond(refuse(2 * limits.returnsPerSecMin)).slice(-3))
      .toEqual([0, limits.returnsPerSecMin, limits.returnsPerSecMin]);
    advance(100 * limits.intervalMs);
    expect(refuse(1)).toEqual([1]);
  });

  test("come back sooner when more are let in again", () => {
    const { drain, refuse, advance } = setUp();
    expect(Math.max(...refuse(10 * limits.returnsPerSecMin))).toBe(10);
    advance(20 * limits.drainMs);
    const perSec = limits.returnsPerSecMin;
    for (let i = 0; i < perSec * limits.drainMs / 1000; i++) drain.admitted();
    expect(Math.max(...refuse(10 * limits.returnsPerSecMin))).toBe(5);
  });
});
