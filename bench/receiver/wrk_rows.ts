/** Runs of one program in; one row of the comparison, of their medians, out. */
import { median } from "../agent/report.ts";
import type { Bodies, BodyKind } from "./wrk_load.ts";
import type { WrkRun } from "./wrk_run.ts";

export type Program = "logmill" | "nginx";

export interface Measured {
  warmUp: WrkRun;
  run: WrkRun;
  /** The most that was seen while it ran. */
  rssMiB: number;
  /** Bodies that it said to have, and bodies that it had: what is on its way at the end is only stored. */
  answered: number;
  stored: number;
}

export interface Row {
  body: BodyKind;
  connections: number;
  program: Program;
  requestsPerSecond: number;
  /** In the warm-up. */
  burstPerSecond: number;
  bodyMBPerSecond: number;
  textMBPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  rssMiB: number;
}

export function rowOf(
  program: Program,
  bodies: Bodies,
  connections: number,
  runs: Measured[],
): Row {
  const mid = (value: (run: Measured) => number) => rounded(median(runs.map(value)));
  const requestsPerSecond = mid(({ run }) => perSecond(run));
  const bodyBytes = bodies.lengths.reduce((sum, n) => sum + n, 0) / bodies.lengths.length;
  return {
    body: bodies.kind,
    connections,
    program,
    requestsPerSecond,
    burstPerSecond: mid(({ warmUp }) => perSecond(warmUp)),
    bodyMBPerSecond: rounded(requestsPerSecond * bodyBytes / 1e6),
    textMBPerSecond: rounded(requestsPerSecond * bodies.textBytes / 1e6),
    p50Ms: mid(({ run }) => run.p50Ms),
    p99Ms: mid(({ run }) => run.p99Ms),
    rssMiB: mid((measured) => measured.rssMiB),
  };
}

/** Ours to nginx's; NaN where one of them wasn't measured. */
export function ratio(
  rows: Row[],
  body: BodyKind,
  connections: number,
  column: "requestsPerSecond" | "burstPerSecond",
): number {
  const of = (program: Program) =>
    rows.find((row) =>
      row.body === body && row.connections === connections && row.program === program
    )?.[column] ?? NaN;
  return rounded(of("logmill") / of("nginx"));
}

/** Refusals don't count. */
function perSecond(run: WrkRun): number {
  return Math.round((run.requests - run.statuses) / run.seconds);
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
