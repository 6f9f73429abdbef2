/**
 * How far a long reading is, for people: a bar that is drawn anew on a terminal, and a line every ten
 * seconds where there is none.
 */
import { formatDuration } from "../../shared/duration.ts";
import type { Progress } from "./select_frames.ts";

export interface ProgressOutput {
  write(text: string): void;
  isTerminal: boolean;
  /** A clock that only goes forward. */
  nowMs: () => number;
}

/** Often enough for the eye. */
const drawMs = 100;
const lineMs = 10_000;

export class ProgressLine {
  readonly #startMs: number;
  #toldMs: number;
  #last: Progress | undefined;
  #told = false;

  constructor(private readonly output: ProgressOutput) {
    this.#startMs = this.#toldMs = output.nowMs();
  }

  update = (progress: Progress): void => {
    this.#last = progress;
    const nowMs = this.output.nowMs();
    if (nowMs - this.#toldMs < (this.output.isTerminal ? drawMs : lineMs)) return;
    this.#toldMs = nowMs;
    this.#tell(progress, nowMs);
  };

  /** Says how it stands for the last time, if anybody is looking or has been told before. */
  end(): void {
    if (!this.#last || (!this.output.isTerminal && !this.#told)) return;
    this.#tell(this.#last, this.output.nowMs());
    if (this.output.isTerminal) this.output.write("\n");
  }

  #tell(progress: Progress, nowMs: number): void {
    this.#told = true;
    const text = formatProgress(progress, nowMs - this.#startMs);
    // Back to the line's start, and behind the text nothing of the one before.
    this.output.write(this.output.isTerminal ? `\r${text}\x1b[K` : `${text}\n`);
  }
}

/** `[########------------]  41 %, 1.2 of 2.9 GB stored, 162 MB/s, 11 s left` */
export function formatProgress(progress: Progress, elapsedMs: number): string {
  const { storedBytes, storedBytesTotal } = progress;
  const share = progress.share ?? (storedBytesTotal === 0 ? 1 : storedBytes / storedBytesTotal);
  const bar = "#".repeat(Math.floor(share * 20)).padEnd(20, "-");
  const percent = String(Math.floor(share * 100)).padStart(3);
  const [unit, name] = units.find(([unit]) => storedBytesTotal >= unit) ?? [1, "B"];
  const of = (bytes: number) => (bytes / unit).toFixed(unit === 1 ? 0 : 1);
  const rate = elapsedMs === 0 ? 0 : storedBytes / 1e3 / elapsedMs;
  const left = elapsedMs / share - elapsedMs;
  return `[${bar}] ${percent} %, ${of(storedBytes)} of ${of(storedBytesTotal)} ${name} stored, ` +
    `${rate.toFixed(rate < 10 ? 1 : 0)} MB/s` +
    (share > 0 && share < 1 ? `, ${formatDuration(left)} left` : "");
}

const units: Array<[bytes: number, name: string]> = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];
