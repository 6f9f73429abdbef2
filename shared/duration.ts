/** A duration as people write it, `60d`, `12h`, `30m`, `90s` or `500ms`, in; milliseconds out. */
import { UsageError } from "./options.ts";

const unitMs: Record<string, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `what` is what was given it, such as `--keep`. Throws `UsageError`. */
export function parseDurationMs(what: string, text: string): number {
  const [, count, unit] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text) ?? [];
  if (count !== undefined) return Number(count) * unitMs[unit!]!;
  throw new UsageError(
    `Cannot read ${what} because it must be like 60d, 12h or 30m: it is ${text}`,
  );
}

/** In the largest unit of which it is at least two, rounded: for people to read. */
export function formatDuration(ms: number): string {
  const [unit, size] = Object.entries(unitMs).findLast(([, size]) => ms >= 2 * size) ?? ["ms", 1];
  return `${Math.round(ms / size)} ${unit}`;
}
