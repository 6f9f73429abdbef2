/** Syslog's levels: names and numbers as people write them in, numbers out. Lower is more severe. */
import { UsageError } from "../../shared/options.ts";

export const levelNames = [
  "emerg",
  "alert",
  "crit",
  "err",
  "warning",
  "notice",
  "info",
  "debug",
] as const;

const otherNames: Record<string, number> = { emergency: 0, critical: 2, error: 3, warn: 4 };

/** `err`, `3` and the like. Throws `UsageError`. */
export function parseLevel(text: string): number {
  const byName = levelNames.indexOf(text.toLowerCase() as typeof levelNames[number]);
  const level = byName >= 0
    ? byName
    : otherNames[text.toLowerCase()] ?? (/^[0-7]$/.test(text) ? +text : -1);
  if (level >= 0) return level;
  throw new UsageError(
    `Cannot use --level because it must be 0 to 7 or one of ${
      levelNames.join(", ")
    }: it is ${text}`,
  );
}

/** Of a record's priority, which holds the facility as well. */
export function levelOf(prio: number): number {
  return prio & 7;
}
