/**
 * How often it failed goes in, how long to wait comes out. All times are milliseconds; `random` is
 * Math.random or a test's. No wait is ever longer than the normal interval: a server that comes
 * back finds its devices back within it.
 */

/** Returns a number from 0 (included) to 1 (excluded). */
export type Random = () => number;

export interface BackoffLimits {
  /** The longest first wait; it doubles with each failure. */
  baseMs: number;
  /** The normal interval. */
  capMs: number;
}

/**
 * The wait after `failures` failures in a row: uniform in 0..baseMs * 2^(failures-1), since full
 * jitter is what spreads a fleet that failed in the same instant. Once that would pass the cap,
 * uniform in its upper half: those who have failed for so long are spread anyhow, and with full
 * jitter more than twice the even share came in the first seconds after a long outage.
 *
 * Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
 */
export function backoffMs(
  failures: number,
  { baseMs, capMs }: BackoffLimits,
  random: Random,
): number {
  if (failures < 1) return 0;
  const spreadMs = baseMs * 2 ** (failures - 1);
  return spreadMs < capMs ? jittered(0, spreadMs, random) : jittered(capMs / 2, capMs, random);
}

/**
 * Where Retry-After asks for the cap or more, all would come at the cap: this much is left to
 * chance.
 */
const spreadAtCap = 0.1;

/**
 * The wait before the next try: at least `retryAfterMs`, back-off on top of it, never above
 * `capMs`. If the server asks for the cap or more, the last tenth before the cap.
 */
export function retryDelayMs(
  { failures, retryAfterMs = 0, baseMs, capMs }: BackoffLimits & {
    failures: number;
    retryAfterMs?: number | undefined;
  },
  random: Random,
): number {
  if (retryAfterMs >= capMs) return jittered(capMs * (1 - spreadAtCap), capMs, random);
  const earliestMs = Math.max(0, retryAfterMs);
  return earliestMs + backoffMs(failures, { baseMs, capMs: capMs - earliestMs }, random);
}

/** Uniform in lowMs..highMs. */
export function jittered(lowMs: number, highMs: number, random: Random): number {
  return lowMs + (highMs - lowMs) * random();
}

const httpDate = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/**
 * Reads a Retry-After header: seconds, or the date form that servers must send (RFC 9110, 5.6.7 and
 * 10.2.3; its two obsolete forms are ignored). A date in the past is 0; anything else is undefined.
 *
 * @param nowMs Unix time in milliseconds
 */
export function parseRetryAfter(
  header: string | null | undefined,
  nowMs: number,
): number | undefined {
  const text = header?.trim() ?? "";
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, Number.MAX_SAFE_INTEGER);
  const atMs = httpDate.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
