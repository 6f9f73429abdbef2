import { expect, test } from "bun:test";
import { backoffMs, jittered, parseRetryAfter, retryDelayMs } from "./backoff.ts";

const base = { baseMs: 1000, capMs: 60_000 };
const least = () => 0;
const most = () => 1 - Number.EPSILON;
const half = () => 0.5;

test("back-off doubles from its base up to the cap", () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 8].map((failures) => backoffMs(failures, base, half) * 2);
  expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 90_000, 90_000]);
});

test("back-off is spread over the whole range and never above the normal interval", () => {
  for (const failures of [1, 5, 10, 1000, 5000, Infinity]) {
    expect(backoffMs(failures, base, least)).toBe(failures < 7 ? 0 : 30_000);
    const longest = backoffMs(failures, base, most);
    expect(longest).toBeGreaterThan(0);
    expect(longest).toBeLessThanOrEqual(60_000);
  }
});

test("back-off without a failure is no wait", () => {
  expect(backoffMs(0, base, most)).toBe(0);
  expect(retryDelayMs({ failures: 0, ...base }, most)).toBe(0);
});

test("a retry without Retry-After waits as back-off does", () => {
  for (const failures of [1, 3, 9]) {
    expect(retryDelayMs({ failures, ...base }, half)).toBe(backoffMs(failures, base, half));
    expect(retryDelayMs({ failures, ...base, retryAfterMs: undefined }, half)).toBe(
      backoffMs(failures, base, half),
    );
  }
});

test("a retry waits at least Retry-After and never above the cap", () => {
  for (const failures of [1, 2, 6, 1000]) {
    for (const retryAfterMs of [0, 1, 5000, 59_000, 59_999]) {
      const shortest = retryDelayMs({ failures, ...base, retryAfterMs }, least);
      expect(shortest).toBeGreaterThanOrEqual(retryAfterMs);
      const longest = retryDelayMs({ failures, ...base, retryAfterMs }, most);
      expect(longest).toBeGreaterThan(retryAfterMs);
      expect(longest).toBeLessThanOrEqual(60_000);
    }
  }
});

test("a retry that is asked to wait for the cap or longer comes in the last tenth before it", () => {
  for (const retryAfterMs of [60_000, 3_600_000, Number.MAX_SAFE_INTEGER, Infinity]) {
    expect(retryDelayMs({ failures: 1, ...base, retryAfterMs }, least)).toBe(54_000);
    const longest = retryDelayMs({ failures: 1, ...base, retryAfterMs }, most);
    expect(longest).toBeGreaterThan(59_999);
    expect(longest).toBeLessThanOrEqual(60_000);
  }
});

test("a retry with a negative Retry-After is not in the past", () => {
  expect(retryDelayMs({ failures: 1, ...base, retryAfterMs: -5 }, least)).toBe(0);
});

test("jitter is uniform between its ends", () => {
  expect([least, half].map((random) => jittered(30_000, 90_000, random))).toEqual([30_000, 60_000]);
  expect(jittered(7, 7, half)).toBe(7);
});

test("Retry-After is read as seconds", () => {
  expect(["0", "120", " 5 "].map((text) => parseRetryAfter(text, 0))).toEqual([0, 120_000, 5000]);
  expect(parseRetryAfter("9".repeat(400), 0)).toBe(Number.MAX_SAFE_INTEGER);
});

test("Retry-After is read as an HTTP date", () => {
  const nowMs = Date.UTC(1994, 10, 6, 8, 49, 0);
  expect(parseRetryAfter("Sun, 06 Nov 1994 08:49:37 GMT", nowMs)).toBe(37_000);
  expect(parseRetryAfter("Sun, 06 Nov 1994 08:48:00 GMT", nowMs)).toBe(0);
});

test("Retry-After that is missing or nonsense is nothing, never NaN", () => {
  const nonsense = [null, undefined, "", "soon", "-1", "1.5", "1e3", "+5", "0x10"];
  nonsense.push("Sun, 99 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "5 minutes");
  for (const text of nonsense) expect(parseRetryAfter(text, 0)).toBe(undefined);
});
