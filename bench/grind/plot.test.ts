import { expect, test } from "bun:test";
import { type Plot, ticksTo, toSvg } from "./plot.ts";

const plot: Plot = {
  title: "Cost < as work & grows",
  subtitle: "two machines",
  categories: ["1", "10"],
  categoryTitle: "devices, thousands",
  charts: [{
    title: "Speed",
    unit: "MB/s",
    series: [
      { name: "one", color: "#111111", dashed: false, values: [100, 50] },
      { name: "two", color: "#222222", dashed: true, values: [undefined, 25] },
    ],
  }],
};

test("ticks begin at 0, are round, and reach the largest value", () => {
  expect(ticksTo(100)).toEqual([0, 20, 40, 60, 80, 100]);
  expect(ticksTo(101)).toEqual([0, 25, 50, 75, 100, 125]);
  expect(ticksTo(0.7)).toEqual([0, 0.2, 0.4, 0.6000000000000001, 0.8]);
  expect(ticksTo(0)).toEqual([0, 1]);
});

test("a plot has its axes' names, units and categories, and each series in the legend", () => {
  const svg = toSvg(plot);
  for (const words of ["MB/s", "devices, thousands", ">10<", ">one<", ">two<", ">Speed<"]) {
    expect(svg).toContain(words);
  }
  expect(svg).toContain("Cost &lt; as work &amp; grows");
});

test("a plot's points are higher for more, half as high for half, and none for what wasn't measured", () => {
  const [one, two] = [...toSvg(plot).matchAll(/points="([^"]*)"/g)].map(([, points]) =>
    points!.split(" ").map((point) => point.split(",").map(Number) as [number, number])
  );
  const zero = 270 - 52;
  const [full, half] = one!.map(([, y]) => zero - y);
  expect(full! / half!).toBeCloseTo(2);
  expect(two).toHaveLength(1);
  expect(two![0]![0]).toBe(one![1]![0]);
});
