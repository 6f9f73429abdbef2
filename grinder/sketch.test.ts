import { expect, test } from "bun:test";
import { relativeError, Sketch, SketchError, type SketchJson } from "./sketch.ts";

const quantiles = [0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1];

function sketchOf(values: Iterable<number>, options?: { bucketsMax?: number }): Sketch {
  const sketch = new Sketch(options);
  for (const value of values) sketch.add(value);
  return sketch;
}

/** A repeatable source of numbers from 0 to 1, both excluded (Lehmer, MINSTD). */
function seeded(seed: number): () => number {
  return () => (seed = (seed * 48271) % 0x7fffffff) / 0x7fffffff;
}

const distributions: Record<string, (random: () => number) => number> = {
  uniform: (random) => random() * 1000,
  integers: (random) => Math.floor(random() * 50),
  exponential: (random) => -Math.log(random()) * 1e-3,
  "log-normal over 15 decades": (random) => 10 ** ((random() + random() + random() - 1.5) * 5),
  pareto: (random) => 1 / random() ** 2,
  "signal strengths": (random) => -30 - Math.floor(random() * 70),
  "both signs": (random) => (random() - 0.5) * 10 ** (random() * 6),
  constant: () => 42,
  "two far apart": (random) => random() < 0.5 ? 1e-9 : 1e9,
  zeros: (random) => random() < 0.3 ? 0 : random(),
};

for (const [name, draw] of Object.entries(distributions)) {
  test(`a sketch's quantiles are within 1 % of the exact ones: ${name}`, () => {
    for (const n of [1, 2, 3, 10, 1000, 20_000]) {
      const random = seeded(n);
      const values = Array.from({ length: n }, () => draw(random));
      const sketch = sketchOf(values);
      values.sort((a, b) => a - b);
      for (const q of quantiles) {
        const exact = values[Math.floor(q * (n - 1))]!;
        const error = Math.abs(sketch.quantile(q) - exact);
        // The last digits of a logarithm may put a value on a bucket's edge into the next one.
        expect([n, q, error <= Math.abs(exact) * relativeError * (1 + 1e-9)]).toEqual([n, q, true]);
      }
      expect([sketch.count, sketch.min, sketch.max]).toEqual([n, values[0]!, values.at(-1)!]);
    }
  });

  test(`a sketch that others were merged into equals one that all was added to: ${name}`, () => {
    for (const bucketsMax of [2048, 16]) {
      const random = seeded(7);
      const values = Array.from({ length: 3000 }, () => draw(random));
      const merged = sketchOf(values.slice(2000), { bucketsMax });
      merged.merge(sketchOf(values.slice(0, 500), { bucketsMax }));
      merged.merge(new Sketch());
      merged.merge(sketchOf(values.slice(500, 2000), { bucketsMax }));
      const whole = sketchOf(values, { bucketsMax });
      const { sum, ...rest } = merged.toJSON();
      const { sum: wholeSum, ...wholeRest } = whole.toJSON();
      expect(rest).toEqual(wholeRest);
      expect(sum / wholeSum).toBeCloseTo(1, 9);
    }
  });
}

test("a sketch's JSON is golden", () => {
  const golden = '{"v":1,"error":0.01,"count":7,"sum":1002.5,"min":-1,"max":1000,' +
    '"buckets":[-65536,1,0,2,65502,1,65536,1,65571,1,65882,1]}';
  const sketch = sketchOf([0, 1000, -1, 0.5, 1, 0, 2]);
  expect(JSON.stringify(sketch)).toBe(golden);
  expect(JSON.stringify(Sketch.fromJSON(JSON.parse(golden)))).toBe(golden);
  const empty = '{"v":1,"error":0.01,"count":0,"sum":0,"buckets":[]}';
  expect(JSON.stringify(new Sketch())).toBe(empty);
  expect(JSON.stringify(Sketch.fromJSON(JSON.parse(empty)))).toBe(empty);
});

test("a sketch that was read from JSON goes on as the one that was written", () => {
  for (const bucketsMax of [2048, 8]) {
    const values = Array.from({ length: 1000 }, (_, i) => (i * 7919) % 1009 - 300);
    const half = sketchOf(values.slice(0, 500), { bucketsMax });
    const read = Sketch.fromJSON(JSON.parse(JSON.stringify(half)), { bucketsMax });
    for (const value of values.slice(500)) read.add(value);
    expect(read.toJSON()).toEqual(sketchOf(values, { bucketsMax }).toJSON());
  }
});

test("a sketch isn't read from JSON of another version or error, or that was damaged", () => {
  const good = sketchOf([1, 2, 3]).toJSON();
  const bad: unknown[] = [{}, { ...good, v: 2 }, { ...good, error: 0.02 }, { ...good, count: 4 }];
  bad.push({ ...good, buckets: good.buckets.slice(0, -1) }, { ...good, buckets: undefined });
  bad.push({ ...good, buckets: [0.5, 3] }, { ...good, sum: null }, { ...good, min: "1" });
  for (const json of bad) expect(() => Sketch.fromJSON(json as SketchJson)).toThrow(SketchError);
});

test("a sketch that is empty has no quantiles", () => {
  const sketch = new Sketch();
  expect([sketch.count, sketch.sum]).toEqual([0, 0]);
  expect([sketch.min, sketch.max, sketch.quantile(0.5)]).toEqual([NaN, NaN, NaN]);
});

test("a sketch declines what isn't a finite number and counts nothing", () => {
  const sketch = new Sketch();
  expect([NaN, Infinity, -Infinity].map((value) => sketch.add(value))).toEqual(
    [false, false, false],
  );
  expect([sketch.add(5), sketch.count, sketch.sum]).toEqual([true, 1, 5]);
});

test("a sketch takes the largest, the smallest and the least of all doubles", () => {
  const sketch = sketchOf([Number.MAX_VALUE, Number.MAX_VALUE, -Number.MAX_VALUE, 5e-324, 1, 1]);
  expect(sketch.quantile(0.8) / Number.MAX_VALUE).toBeCloseTo(1, 1);
  expect(sketch.quantile(0.2)).toBe(0);
  expect(sketch.quantile(0)).toBe(-Number.MAX_VALUE);
  expect(Number.isFinite(sketch.sum)).toBe(true);
  expect(sketchOf([Number.MAX_VALUE, Number.MAX_VALUE]).sum).toBe(Number.MAX_VALUE);
});

test("a sketch of too many buckets collapses the lowest and keeps the highest within 1 %", () => {
  const values = Array.from({ length: 10_000 }, (_, i) => 1.01 ** (i - 5000));
  const sketch = sketchOf(values, { bucketsMax: 100 });
  expect([sketch.size, sketch.count]).toEqual([100, 10_000]);
  for (const q of [0.99, 0.995, 0.999]) {
    const exact = values[Math.floor(q * 9_999)]!;
    expect(Math.abs(sketch.quantile(q) / exact - 1)).toBeLessThan(0.01 + 1e-9);
  }
  expect(sketch.quantile(0)).toBe(values[0]!);
  const backwards = sketchOf(values.toReversed(), { bucketsMax: 100 });
  expect(backwards.toJSON().buckets).toEqual(sketch.toJSON().buckets);
});

test("a sketch takes a quantile beyond 0 to 1 for a programmer's mistake", () => {
  for (const q of [-0.1, 1.1, NaN]) expect(() => new Sketch().quantile(q)).toThrow("from 0 to 1");
});
