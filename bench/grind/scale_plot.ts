/** Rows of the scale measurement to its plot: a line for each number of rules and of threads. */
import { type Chart, toSvg } from "./plot.ts";
import type { ScaleRow } from "./scale_case.ts";

/** Told apart with any eyes. */
const colors = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

const charts: ReadonlyArray<{ title: string; unit: string; of: (row: ScaleRow) => number }> = [
  { title: "Speed", unit: "MB of log text per second", of: (row) => row.mbPerSecond },
  { title: "CPU", unit: "CPU seconds per GB", of: (row) => row.cpuSecondsPerGB },
  { title: "Memory", unit: "most resident, MiB", of: (row) => row.rssMiB },
  { title: "Commit", unit: "median, milliseconds", of: (row) => row.commitMs },
];

export function scalePlot(rows: readonly ScaleRow[], subtitle: string): string {
  const devices = distinct(rows.map((row) => row.devices));
  const rules = distinct(rows.map((row) => row.rules));
  const workers = distinct(rows.map((row) => row.workers));
  const lines = rules.flatMap((rule, i) =>
    workers.toReversed().map((count) => ({ rule, count, color: colors[i % colors.length]! }))
  );
  const seriesOf = (of: (row: ScaleRow) => number): Chart["series"] =>
    lines.map(({ rule, count, color }) => ({
      name: `${rule} rules, ${count + 1} ${count === 0 ? "thread" : "threads"}`,
      color,
      dashed: count === 0,
      values: devices.map((device) => {
        const isIt = (r: ScaleRow) =>
          r.devices === device && r.rules === rule && r.workers === count;
        const row = rows.find(isIt);
        return row && of(row);
      }),
    }));
  return toSvg({
    title: "What grinding costs as work grows",
    subtitle,
    categories: devices.map((n) => n.toLocaleString("en-US")),
    categoryTitle: "devices",
    charts: charts.map(({ title, unit, of }) => ({ title, unit, series: seriesOf(of) })),
  });
}

function distinct(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}
