import { expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { Drain } from "./drain.ts";

/** After `refused` and `completed` spread over some seconds. */
function after(refused: number, completed: number) {
  let nowMs = 0;
  const drain = new Drain(() => nowMs);
  for (let i = 0; i < refused; i++) drain.refused();
  for (let i = 0; i < completed; i++) drain.completed();
  return { drain, advance: (ms: number) => nowMs += ms };
}

test("those who are refused come back over the time that it takes to be through with them", () => {
  // 3,000 in ten seconds, and 20,000 wait: 67 s, of which the normal interval is the cap.
  expect(after(20_000, 3_000).drain.retryAfterSec(() => 1)).toBe(limits.intervalMs / 1000);
  // 6,000 wait: 20 s, and each somewhere in it.
  expect(after(6_000, 3_000).drain.retryAfterSec(() => 1)).toBe(20);
  expect(after(6_000, 3_000).drain.retryAfterSec(() => 0.5)).toBe(15);
  expect(after(6_000, 3_000).drain.retryAfterSec(() => 0)).toBe(10);
});

test("where nothing completes nobody is sent away for longer than the normal interval", () => {
  expect(after(1_000, 0).drain.retryAfterSec(() => 0.999)).toBe(limits.intervalMs / 1000);
});

test("what is long past doesn't count", () => {
  const { drain, advance } = after(100_000, 10);
  advance(20 * limits.drainMs);
  drain.refused();
  drain.completed();
  expect(drain.retryAfterSec(() => 1)).toBe(limits.drainMs / 1000 + 1);
});
