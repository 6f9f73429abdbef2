/** Looks at how far a reader is behind, some each second, to one row for each second and the trend. */
import { median } from "./report.ts";

export interface LagSample {
  /** Since the writer began. */
  seconds: number;
  /** Text that is committed, and how much of it the reader hasn't dealt with. */
  committedBytes: number;
  behindBytes: number;
  /** How long ago the newest thing that came out was received. */
  newestMs: number;
  /** CPU time that the reader has used so far. */
  cpuSeconds: number;
}

export interface LagRow {
  second: number;
  committedBytes: number;
  behindBytes: number;
  behindBytesMax: number;
  newestMs: number;
  newestMsMax: number;
  /** Of one core, in this second. */
  cpuShare: number;
}

/** Medians and the most of each second. */
export function lagRows(samples: readonly LagSample[]): LagRow[] {
  const rows: LagRow[] = [];
  const bySecond = Map.groupBy(samples, ({ seconds }) => Math.floor(seconds));
  let before: LagSample | undefined;
  for (const [second, all] of bySecond) {
    const last = all.at(-1)!;
    const from = before ?? all[0]!;
    const passed = last.seconds - from.seconds;
    rows.push({
      second,
      committedBytes: last.committedBytes,
      behindBytes: median(all.map(({ behindBytes }) => behindBytes)),
      behindBytesMax: Math.max(...all.map(({ behindBytes }) => behindBytes)),
      newestMs: median(all.map(({ newestMs }) => newestMs)),
      newestMsMax: Math.max(...all.map(({ newestMs }) => newestMs)),
      cpuShare: passed > 0 ? (last.cpuSeconds - from.cpuSeconds) / passed : 0,
    });
    before = last;
  }
  return rows;
}

/** How much `y` grows for each `x`: least squares. 0 where there are fewer than two points. */
export function slopeOf(points: ReadonlyArray<readonly [x: number, y: number]>): number {
  const mean = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  let [products, squares] = [0, 0];
  for (const [x, y] of points) {
    products += (x - meanX) * (y - meanY);
    squares += (x - meanX) ** 2;
  }
  return squares === 0 ? 0 : products / squares;
}
