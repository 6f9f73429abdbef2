import { expect, test } from "bun:test";
import { Latencies } from "./latencies.ts";

test("percentile is within 5 % above the true one", () => {
  const latencies = new Latencies();
  for (let ms = 1; ms <= 10_000; ms++) latencies.add(ms);
  for (const share of [0.01, 0.5, 0.9, 0.99]) {
    const found = latencies.percentile(share);
    expect(found).toBeGreaterThanOrEqual(10_000 * share * 0.999);
    expect(found).toBeLessThanOrEqual(10_000 * share * 1.052);
  }
  expect(latencies.percentile(1)).toBe(10_000);
  expect(latencies.count).toBe(10_000);
});

test("percentile of nothing is 0", () => {
  expect(new Latencies().percentile(0.5)).toBe(0);
});
