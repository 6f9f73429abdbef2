import { expect, test } from "bun:test";
import { lagRows, type LagSample, slopeOf } from "./lag.ts";

function sample(seconds: number, behindBytes: number, cpuSeconds = seconds / 2): LagSample {
  const committedBytes = seconds * 100;
  return { seconds, committedBytes, behindBytes, newestMs: 2 * behindBytes, cpuSeconds };
}

test("lag is told second by second, with what is usual and the most", () => {
  const samples = [sample(0, 1), sample(0.5, 9), sample(0.9, 2), sample(1, 4), sample(1.9, 6)];
  expect(lagRows(samples)).toEqual([
    {
      second: 0,
      committedBytes: 90,
      behindBytes: 2,
      behindBytesMax: 9,
      newestMs: 4,
      newestMsMax: 18,
      cpuShare: 0.5,
    },
    {
      second: 1,
      committedBytes: 190,
      behindBytes: 6,
      behindBytesMax: 6,
      newestMs: 12,
      newestMsMax: 12,
      cpuShare: 0.5,
    },
  ]);
});

test("a slope is that of the line through all points, and none of a single one", () => {
  expect(slopeOf([[0, 1], [1, 3], [2, 5]])).toBe(2);
  expect(slopeOf([[0, 4], [1, 2], [2, 6], [3, 4]])).toBeCloseTo(0.4);
  expect(slopeOf([[1, 5]])).toBe(0);
  expect(slopeOf([])).toBe(0);
});
