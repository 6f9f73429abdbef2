/**
 * What is known of one boot's clock: how far Unix time is from its kernel time, at some points of it.
 * Clock sync records in, the time of any record out, with a limit of its error.
 *
 * A knot is one sync record: at this kernel time Unix time was so far ahead, give or take its error.
 *
 * | the sync record | the distance is taken from | its error |
 * |-----------------|----------------------------|-----------|
 * | says synced, and the receiver took it within 2 s | its wall clock | 40 ms, and what it is ahead |
 * | says synced, and took up to a minute | half way from its wall clock to the receiver's | half of that |
 * | doesn't say so, but is within 1 s of the receiver's clock | its wall clock | 0.5 s, or that |
 * | anything else: 1970, next year | when it was received; it is sent at once | 1 s |
 *
 * The distance changes slowly, by drift, and grows at once by a suspend, in which the kernel clock stands
 * still. So a record between two knots that agree is on the line between them; between two that don't, it
 * is somewhere in between; and never is it later than it was received.
 */
import { limits } from "../shared/limits.ts";
import type { ClockSync } from "../shared/record.ts";

export interface WallTime {
  /** Unix time in microseconds. */
  wallUs: number;
  errorUs: number;
}

export interface Knot {
  usec: number;
  /** Unix time is `usec + offsetUs`. */
  offsetUs: number;
  /** Of everything from here to the next knot, too. */
  errorUs: number;
}

/** A sync record, as it came. */
export interface HeardSync {
  usec: number;
  wallUs: number;
  recvUs: number;
}

export interface ClockFit {
  /** By rising kernel time. */
  knots: Knot[];
  /** When the first block of the boot was received. */
  firstUs: number;
  /** Of a boot without knots: the least distance from its records to their receive time, if any. */
  leastUs: number | undefined;
  /** The one with the highest kernel time. */
  last: HeardSync | undefined;
  /** How often the wall clock was seen to be set. */
  steps: number;
}

/** Reading a device's two clocks one after the other, and how far NTP is off. */
const syncedErrorUs = 40_000;
/** A clock that nobody vouches for may have been set by hand. */
const unsyncedErrorUs = 500_000;
/** From a sync record's making to its arrival: with this much taken off, it is within this error. */
const wayUs = 300_000;
const wayErrorUs = 1_000_000;
/** Nothing is known of how long a record waited before it was sent. */
export const unknownErrorUs = 60_000_000;
/** How far a clock that is synchronised may be ahead of the receiver's. */
const aheadUsMax = 250_000;
/** What a receiver took so soon has been through no outage. */
export const promptUsMax = 2_000_000;
const slowUsMax = 60_000_000;
const unsyncedUsMax = 1_000_000;
/** Crystals are within 100 ppm, and NTP slews what the agent reads. */
const driftMax = 200e-6;
/** How much a crystal's drift changes, with the temperature. */
const wobbleMax = 20e-6;
/** A knot that is better by this factor takes the place of one that says the same. */
const betterFactor = 2;

export function newFit(firstUs: number): ClockFit {
  return { knots: [], firstUs, leastUs: undefined, last: undefined, steps: 0 };
}

/** Takes note of a sync record. */
export function addSync(fit: ClockFit, usec: number, sync: ClockSync, recvUs: number): void {
  const knot = knotOf(usec, sync, recvUs);
  const { knots } = fit;
  let at = indexAfter(knots, usec);
  // What is less exact and says nothing else goes; if such is the new one, nothing changes.
  while (at > 0 && isRefined(knots[at - 1]!, knot)) knots.splice(--at, 1);
  while (at < knots.length && isRefined(knots[at]!, knot)) knots.splice(at, 1);
  const [before, after] = [knots[at - 1], knots[at]];
  if ((before && isRefined(knot, before)) || (after && isRefined(knot, after))) return;
  if (before && !after && isEven(knots[at - 2], before, knot)) knots[at - 1] = knot;
  else if (!before || !after || !isEven(before, knot, after)) knots.splice(at, 0, knot);
  if (knots.length > limits.clockKnotsMax) dropOne(knots);
  fit.leastUs = undefined;
}

/** Takes note of a block's last record; of use where there are no sync records. */
export function addReceived(fit: ClockFit, usec: number, recvUs: number): boolean {
  const leastUs = recvUs - usec;
  if (fit.knots.length > 0 || (fit.leastUs !== undefined && fit.leastUs <= leastUs)) return false;
  fit.leastUs = leastUs;
  return true;
}

/** Whether a wall clock is known, and not only times of arrival. */
export function isKnown({ knots }: ClockFit): boolean {
  return knots.some(({ errorUs }) => errorUs < wayErrorUs);
}

/** When a record was written that was received at `recvUs`, as far as it is known now. */
export function timeAt(fit: ClockFit, usec: number, recvUs: number): WallTime {
  const { wallUs, errorUs } = timeBetween(fit, usec, recvUs);
  return { wallUs: Math.round(wallUs), errorUs: Math.ceil(errorUs) };
}

function timeBetween(fit: ClockFit, usec: number, recvUs: number): WallTime {
  const at = indexAfter(fit.knots, usec);
  const [before, after] = [fit.knots[at - 1], fit.knots[at]];
  if (!before && !after) {
    const offsetUs = fit.leastUs ?? Infinity;
    return notAfter(recvUs, { wallUs: usec + offsetUs, errorUs: unknownErrorUs });
  }
  if (!before) return notAfter(recvUs, alone(after!, usec));
  if (!after) return beyond(before, usec, recvUs);
  return notAfter(recvUs, between(before, after, usec, recvUs));
}

/** How late a record came that is newer than all knots, as if there had been no suspend since. */
export function latenessUs({ knots }: ClockFit, usec: number, recvUs: number): number {
  const last = knots.at(-1);
  return last && usec > last.usec ? recvUs - usec - last.offsetUs : 0;
}

function knotOf(usec: number, { wallUs, synced }: ClockSync, recvUs: number): Knot {
  const lagUs = recvUs - wallUs;
  if (synced && lagUs >= -aheadUsMax && lagUs <= promptUsMax) {
    return { usec, offsetUs: wallUs - usec, errorUs: syncedErrorUs + Math.max(0, -lagUs) };
  }
  if (synced && lagUs > 0 && lagUs <= slowUsMax) {
    const halfUs = Math.ceil(lagUs / 2);
    return { usec, offsetUs: wallUs + halfUs - usec, errorUs: halfUs };
  }
  if (Math.abs(lagUs) <= unsyncedUsMax) {
    const errorUs = Math.max(unsyncedErrorUs, Math.abs(lagUs) - 1);
    return { usec, offsetUs: wallUs - usec, errorUs };
  }
  return { usec, offsetUs: recvUs - wayUs - usec, errorUs: wayErrorUs };
}

/** How many knots are at or before this time. */
function indexAfter(knots: readonly Knot[], usec: number): number {
  // Nearly all that is asked for is newer than the newest.
  let at = knots.length;
  while (at > 0 && knots[at - 1]!.usec > usec) at--;
  return at;
}

/** Whether no suspend need be between the two. */
function agree(a: Knot, b: Knot): boolean {
  const driftUs = Math.abs(b.usec - a.usec) * driftMax;
  return Math.abs(b.offsetUs - a.offsetUs) <= a.errorUs + b.errorUs + driftUs;
}

/** Whether the better one says all that the worse one does, or that it can't have been so. */
function isRefined(worse: Knot, better: Knot): boolean {
  const errorUs = better.errorUs + Math.abs(better.usec - worse.usec) * driftMax;
  if (worse.errorUs < betterFactor * errorUs) return false;
  // The distance never shrinks: it would have to, between the two.
  const [first, second] = worse.usec < better.usec ? [worse, better] : [better, worse];
  return agree(worse, better) || second.offsetUs < first.offsetUs;
}

/** Whether the middle one may go: near in time to both, and on their line, as far as can be told. */
function isEven(a: Knot | undefined, b: Knot, c: Knot): boolean {
  if (!a || c.usec - a.usec > limits.clockKnotMs * 1000) return false;
  const alike = Math.max(a.errorUs, b.errorUs, c.errorUs) <
    betterFactor * Math.min(a.errorUs, b.errorUs, c.errorUs);
  return alike && agree(a, b) && agree(b, c) && agree(a, c);
}

/** Lets the knot go without which the error is least; those of all that went before are in it. */
function dropOne(knots: Knot[]): void {
  let [least, at] = [Infinity, 1];
  for (let i = 1; i < knots.length - 1; i++) {
    const errorUs = errorWithout(knots[i - 1]!, knots[i]!, knots[i + 1]!);
    if (errorUs < least) [least, at] = [errorUs, i];
  }
  const [a, b, c] = [knots[at - 1]!, knots[at]!, knots[at + 1]!];
  a.errorUs = agree(a, c) ? Math.ceil(least) : Math.max(a.errorUs, b.errorUs);
  knots.splice(at, 1);
}

/** Of records between `a` and `c`, if there were no `b`. */
function errorWithout(a: Knot, b: Knot, c: Knot): number {
  const errorUs = Math.max(a.errorUs, b.errorUs);
  if (!agree(a, c)) return errorUs + Math.abs(c.offsetUs - a.offsetUs) / 2;
  const share = (b.usec - a.usec) / Math.max(1, c.usec - a.usec);
  return errorUs + Math.abs(a.offsetUs + share * (c.offsetUs - a.offsetUs) - b.offsetUs);
}

/** By the only knot that there is on one side. */
function alone(knot: Knot, usec: number): WallTime {
  const driftUs = Math.abs(usec - knot.usec) * driftMax;
  return { wallUs: usec + knot.offsetUs, errorUs: knot.errorUs + driftUs };
}

/** After the last knot there may have been a suspend, but not a longer one than the record is late. */
function beyond(knot: Knot, usec: number, recvUs: number): WallTime {
  const time = alone(knot, usec);
  const lateUs = recvUs - time.wallUs;
  if (lateUs > promptUsMax) return { ...time, errorUs: Math.max(time.errorUs, lateUs) };
  return notAfter(recvUs, time);
}

function between(a: Knot, b: Knot, usec: number, recvUs: number): WallTime {
  const jumpUs = b.offsetUs - a.offsetUs;
  const errorUs = Math.max(a.errorUs, b.errorUs);
  if (agree(a, b)) {
    const share = (usec - a.usec) / Math.max(1, b.usec - a.usec);
    const nearUs = Math.min(usec - a.usec, b.usec - usec);
    // It may have been a short suspend: what is more than a usual drift between two heartbeats is doubted.
    const doubtUs = Math.max(0, Math.abs(jumpUs) - errorUs) / 2;
    return {
      wallUs: usec + a.offsetUs + share * jumpUs,
      errorUs: errorUs + nearUs * wobbleMax + doubtUs,
    };
  }
  // A distance that shrank: one of the two was wrong.
  if (jumpUs < 0) return { wallUs: usec + b.offsetUs, errorUs: errorUs - jumpUs };
  if (usec + b.offsetUs > recvUs + b.errorUs) return beyond(a, usec, recvUs);
  const driftUs = Math.max(usec - a.usec, b.usec - usec) * driftMax;
  return { wallUs: usec + a.offsetUs + jumpUs / 2, errorUs: errorUs + jumpUs / 2 + driftUs };
}

/** Nothing is received before it is written. */
function notAfter(recvUs: number, { wallUs, errorUs }: WallTime): WallTime {
  if (wallUs <= recvUs) return { wallUs, errorUs };
  // Where the two contradict each other, that is how far one of them is off.
  const offUs = Number.isFinite(wallUs) ? wallUs - recvUs : 0;
  return { wallUs: recvUs, errorUs: errorUs + Math.min(offUs, unknownErrorUs) };
}

/** `FIRST,LEAST,STEPS;LAST_USEC,LAST_WALL,LAST_RECV;USEC,OFFSET,ERROR;...`, all in whole microseconds. */
export function encodeFit(fit: ClockFit): string {
  const { knots, firstUs, leastUs, last, steps } = fit;
  const head = `${firstUs},${leastUs ?? "-"},${steps}`;
  const lastPart = last ? `${last.usec},${last.wallUs},${last.recvUs}` : "-";
  const all = knots.map(({ usec, offsetUs, errorUs }) => `${usec},${offsetUs},${errorUs}`);
  return [head, lastPart, ...all].join(";");
}

export function decodeFit(text: string): ClockFit {
  const [head, last, ...knots] = text.split(";");
  const [firstUs, leastUs, steps] = head!.split(",");
  const [usec, wallUs, recvUs] = last!.split(",").map(Number);
  return {
    knots: knots.map((knot) => {
      const [at, offsetUs, errorUs] = knot.split(",").map(Number);
      return { usec: at!, offsetUs: offsetUs!, errorUs: errorUs! };
    }),
    firstUs: Number(firstUs),
    leastUs: leastUs === "-" ? undefined : Number(leastUs),
    last: last === "-" ? undefined : { usec: usec!, wallUs: wallUs!, recvUs: recvUs! },
    steps: Number(steps),
  };
}
