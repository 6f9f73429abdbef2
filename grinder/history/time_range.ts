/** `--since` and `--until`, as people write them, in; a range of time in Unix microseconds out. */
import { parseDurationMs } from "../../shared/duration.ts";
import { UsageError } from "../../shared/options.ts";

/** `sinceUs` belongs to it, `untilUs` doesn't any more. */
export interface TimeRange {
  sinceUs: number;
  untilUs: number;
}

/** Without `since` from the beginning, without `until` up to now. Throws `UsageError`. */
export function parseRange(
  { since, until }: { since?: string | undefined; until?: string | undefined },
  nowMs: number,
): TimeRange {
  const sinceUs = since === undefined ? 0 : parseTimeUs("--since", since, nowMs);
  const untilUs = until === undefined ? nowMs * 1000 : parseTimeUs("--until", until, nowMs);
  if (sinceUs < untilUs) return { sinceUs, untilUs };
  throw new UsageError(
    `Cannot use --since ${since} because it must be before --until: ` +
      `it is ${iso(sinceUs)}, and that is ${iso(untilUs)}`,
  );
}

const isoShape = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?(Z|[+-]\d\d:\d\d)?$/;

function parseTimeUs(what: string, text: string, nowMs: number): number {
  const match = isoShape.exec(text);
  // Without a zone it is UTC, as in all outputs.
  const ms = match ? Date.parse(match[1] || !text.includes("T") ? text : `${text}Z`) : NaN;
  if (Number.isFinite(ms)) return ms * 1000;
  if (/^\d[\d.]*[a-z]/.test(text)) {
    return Math.round(nowMs - parseDurationMs(what, text)) * 1000;
  }
  throw new UsageError(
    `Cannot read ${what} because it must be a time (2026-11-22T20:15Z) or how long ago (7d, 12h): ` +
      `it is ${text}`,
  );
}

function iso(us: number): string {
  return new Date(us / 1000).toISOString();
}
