/**
 * For tests: one simulated boot, drawn from a seed, as receivers hear it: its sync records, and records
 * of which the true time is known. It drifts, sleeps, loses its network, and sets its clock.
 */
import { seededRandom } from "../tests/fleet/random.ts";

export interface SimOptions {
  /** Where the wall clock stands at the start. */
  clock: "right" | "1970" | "ahead" | "hours behind";
  /** When NTP sets it, seconds after the start; it says synchronised from then on. */
  ntpS?: number;
  /** Says synchronised all the time, whatever the clock says. */
  claims?: boolean;
  suspends: number;
  outages: number;
  lengthS: number;
  /** Added to every receive time. */
  skewUs?: number;
}

export type Heard =
  | { kind: "sync"; usec: number; wallUs: number; synced: boolean; recvUs: number; trueUs: number }
  | { kind: "record"; usec: number; recvUs: number; trueUs: number };

type Span = readonly [fromUs: number, toUs: number];

/** Everything that is heard of the boot, in the order in which it is received. */
export function simulateBoot(seed: number, startUs: number, options: SimOptions): Heard[] {
  const random = seededRandom(seed);
  const between = (from: number, to: number) => from + random() * (to - from);
  const lengthUs = options.lengthS * 1e6;
  const span = (mostUs: number): Span => {
    const fromUs = startUs + between(0.05, 0.95) * lengthUs;
    return [fromUs, fromUs + between(20e6, mostUs)];
  };
  const asleep = apart(Array.from({ length: options.suspends }, () => span(7200e6)));
  const offline = Array.from({ length: options.outages }, () => span(3600e6));
  const drift = between(-100e-6, 100e-6);
  const isIn = (spans: readonly Span[], us: number) => spans.find(([a, b]) => us >= a && us < b);
  const usecAt = (us: number) => {
    const sleptUs = asleep.reduce((sum, [a, b]) => sum + Math.max(0, Math.min(us, b) - a), 0);
    return Math.round((us - startUs - sleptUs) * (1 + drift));
  };
  const wrongUs = { "right": 0, "1970": -startUs, "ahead": 9e13, "hours behind": -7e9 };
  const isSet = (us: number) => us - startUs >= (options.ntpS ?? Infinity) * 1e6;
  const wallAt = (us: number) =>
    Math.round(us + (isSet(us) ? between(-8e3, 8e3) : wrongUs[options.clock]));
  // Nothing is sent in sleep, nor without a network.
  const sentUs = (us: number): number => {
    const held = isIn(asleep, us) ?? isIn(offline, us);
    return held ? sentUs(held[1] + between(1e3, 4e6)) : us;
  };
  const wayUs = () => random() < 0.005 ? between(1e6, 4e6) : between(5e3, 150e3);
  const receive = (us: number) => Math.round(us + wayUs() + (options.skewUs ?? 0));
  const heard: Heard[] = [];
  const sync = (us: number) => {
    if (isIn(asleep, us) || isIn(offline, us)) return;
    const synced = options.claims ?? isSet(us);
    heard.push({
      kind: "sync",
      usec: usecAt(us),
      wallUs: wallAt(us),
      synced,
      recvUs: receive(us),
      trueUs: us,
    });
  };
  const setAtUs = startUs + (options.ntpS ?? Infinity) * 1e6;
  for (let us = startUs + 2e6; us < startUs + lengthUs; us += between(29e6, 31e6)) sync(us);
  // The agent sees that it slept, or that the clock was set, within a second.
  for (const us of [...asleep.map(([, b]) => b), setAtUs]) {
    if (us < startUs + lengthUs) sync(us + between(1e4, 1e6));
  }
  const backUs = offline.map(([, b]) => sentUs(b));
  for (const us of backUs) sync(us);
  for (let us = startUs + 3e6; us < startUs + lengthUs; us += between(0, 20e6)) {
    if (isIn(asleep, us)) continue;
    const flushedUs = us + between(0, 200e3);
    const outUs = sentUs(flushedUs);
    // A backlog follows the sync record that its POST begins with.
    const recvUs = receive(outUs) + (outUs > flushedUs ? 5e6 : 0);
    heard.push({ kind: "record", usec: usecAt(us), recvUs, trueUs: Math.round(us) });
  }
  return heard.sort((a, b) => a.recvUs - b.recvUs);
}

function apart(spans: Span[]): Span[] {
  let endUs = 0;
  return spans.sort((a, b) => a[0] - b[0]).filter(([fromUs, toUs]) => {
    if (fromUs < endUs + 60e6) return false;
    endUs = toUs;
    return true;
  });
}
