import { expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { Rate } from "./rate.ts";

test("a rate is of about the last drainMs, and fades", () => {
  let nowMs = 0;
  const rate = new Rate(() => nowMs);
  for (; nowMs < 10 * limits.drainMs; nowMs += 10) rate.count(); // 100 a second.
  expect(rate.perSec).toBeCloseTo(100, 0);
  nowMs += limits.drainMs;
  expect(rate.perSec).toBeCloseTo(100 / Math.E, 0);
  nowMs += 20 * limits.drainMs;
  expect(rate.perSec).toBeCloseTo(0, 3);
});
