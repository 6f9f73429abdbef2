/** Runs of one program in; one row of the comparison, of their medians, out. */
import { median } from "../agent/report.ts";
import type { Bodies, BodyKind } from "./wrk_load.ts";
import type { WrkRun } from "./wrk_run.ts";

export type Program = "logmill" | "nginx";

export interface Measured {
  /** The first seconds, and what came right behind them. */
  burst: WrkRun;
  rest: WrkRun;
  /** The most that was seen while it ran. */
  rssMiB: number;
  /** User and system time of all its processes, of both. */
  cpuMs: number;
  /** Bodies that it said to have, and bodies that it had: what is on its way at the end is only stored. */
  answered: number;
  stored: number;
}

export interface Row {
  body: BodyKind;
  connections: number;
  program: Program;
  /** Of the whole run. */
  requestsPerSecond: number;
  /** Of its first seconds. */
  burstPerSecond: number;
  bodyMBPerSecond: number;
  textMBPerSecond: number;
  cpuUsPerBody: number;
  /** Behind the first seconds. */
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
  const requestsPerSecond = mid(({ burst, rest }) => perSecond(burst, rest));
  const bodyBytes = bodies.lengths.reduce((sum, n) => sum + n, 0) / bodies.lengths.length;
  return {
    body: bodies.kind,
    connections,
    program,
    requestsPerSecond,
    burstPerSecond: mid(({ burst }) => perSecond(burst)),
    bodyMBPerSecond: rounded(requestsPerSecond * bodyBytes / 1e6),
    textMBPerSecond: rounded(requestsPerSecond * bodies.textBytes / 1e6),
    cpuUsPerBody: mid(({ cpuMs, burst, rest }) => 1000 * cpuMs / answersOf(burst, rest)),
    p50Ms: mid(({ rest }) => rest.p50Ms),
    p99Ms: mid(({ rest }) => rest.p99Ms),
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

export function perSecond(...runs: WrkRun[]): number {
  return Math.round(answersOf(...runs) / runs.reduce((sum, { seconds }) => sum + seconds, 0));
}

/** Refusals don't count. */
export function answersOf(...runs: WrkRun[]): number {
  return runs.reduce((sum, { requests, statuses }) => sum + requests - statuses, 0);
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
