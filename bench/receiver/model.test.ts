import { expect, test } from "bun:test";
import { fitModel, leastSquares, predict } from "./model.ts";

const truth = { idle: 0.02, chunkUs: 25, ackUs: 15, gigabyteSec: 6 };
const loads = [[2000, 2000, 0.016], [2000, 500, 0.004], [4000, 1000, 0.004], [250, 250, 0.016], [
  4000,
  4000,
  0.002,
]].map(([chunks, acks, gigabytes]) => {
  const load = { chunks: chunks!, acks: acks!, gigabytes: gigabytes! };
  return { ...load, cpu: predict(truth, load) };
});

test("fitModel finds the costs that made the loads", () => {
  const model = fitModel(loads);
  expect(model.idle).toBeCloseTo(truth.idle, 6);
  expect(model.chunkUs).toBeCloseTo(truth.chunkUs, 4);
  expect(model.ackUs).toBeCloseTo(truth.ackUs, 4);
  expect(model.gigabyteSec).toBeCloseTo(truth.gigabyteSec, 4);
  expect(model.worstError).toBeLessThan(1e-9);
});

test("fitModel says how far it is off", () => {
  const skewed = loads.map((load, i) => i === 2 ? { ...load, cpu: 1.2 * load.cpu } : load);
  expect(fitModel(skewed).worstError).toBeGreaterThan(0.02);
});

test("leastSquares takes a cost that would be negative for nothing", () => {
  // Two unknowns, of which the second would be -1.
  expect(leastSquares([[1, 0], [1, 1], [1, 2]], [2, 1, 0])).toEqual([1, 0]);
});
