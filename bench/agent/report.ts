/** Runs in; the Markdown table of their medians out. */
import type { Usage } from "./usage.ts";

/** One program in one period. */
export interface Run extends Usage {
  seconds: number;
  /** Written to the kernel's log by the benchmark. */
  textBytes: number;
  upBytes: number;
  downBytes: number;
  upReads: number;
  downReads: number;
}

export interface Case {
  load: string;
  program: string;
  runs: Run[];
}

const columns = [
  "load",
  "program",
  "CPU, % of a core",
  "wake-ups/s",
  "RSS, MB",
  "own, dirty",
  "own, clean",
  "shared",
  "up, MB/day",
  "down, MB/day",
  "up / text",
  "to disk, MB/day",
];

export function table(cases: Case[]): string {
  const rows = cases.map((one) => {
    const { runs } = one;
    const mid = (value: (run: Run) => number) => median(runs.map(value));
    const up = perSecond(runs, "upBytes");
    const text = perSecond(runs, "textBytes");
    return [
      one.load,
      one.program,
      mid((r) => r.cpuMs / r.seconds / 10).toFixed(2),
      mid((r) => r.wakeUps / r.seconds).toFixed(1),
      ...(["rssMB", "ownDirtyMB", "ownCleanMB", "sharedMB"] as const)
        .map((key) => mid((r) => r[key]).toFixed(1)),
      mbADay(up),
      mbADay(perSecond(runs, "downBytes")),
      text > 0 ? (up / text).toFixed(2) : "",
      mbADay(perSecond(runs, "diskBytes")),
    ];
  });
  const lines = [columns, columns.map((_, i) => i < 2 ? "---" : "--:"), ...rows];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Bytes are not a median: a POST lives 30 to 90 s, so its head is in some runs and not in others. */
function perSecond(runs: Run[], key: "upBytes" | "downBytes" | "textBytes" | "diskBytes"): number {
  const sum = (of: (run: Run) => number) => runs.reduce((total, run) => total + of(run), 0);
  return sum((run) => run[key]) / sum((run) => run.seconds);
}

function mbADay(bytesPerSecond: number): string {
  return (bytesPerSecond * 86_400 / 1e6).toFixed(2);
}

/** Of an even number, the mean of the two in the middle. */
export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.floor(half)]! + sorted[Math.ceil(half) - 1]!) / 2;
}
