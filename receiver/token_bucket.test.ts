import { expect, test } from "bun:test";
import { TokenBucket } from "./token_bucket.ts";

test("a bucket gives its burst at once, then so much a second, and never saves more than its burst", () => {
  let nowMs = 1_000;
  const bucket = new TokenBucket(100, 500, () => nowMs);
  expect(bucket.take(500)).toBe(0);
  expect(bucket.take(50)).toBe(500);
  nowMs += 500;
  expect(bucket.take(0)).toBe(0);
  nowMs += 60_000;
  expect(bucket.take(500)).toBe(0);
  expect(bucket.take(1)).toBe(10);
});

test("debts add up, and are paid off in time", () => {
  let nowMs = 0;
  const bucket = new TokenBucket(1_000, 10, () => nowMs);
  expect([bucket.take(1_010), bucket.take(1_000)]).toEqual([1_000, 2_000]);
  nowMs += 1_500;
  expect(bucket.take(0)).toBe(500);
});
