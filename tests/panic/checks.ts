/** What a variant left in the storage, held against what the console saw: findings, each right or wrong. */
import type { EventLine } from "../verify/events.ts";
import type { Outcome } from "./run.ts";
import type { TimelineBoot, TimelineLine } from "./timeline.ts";
import type { End, Variant } from "./variants.ts";
import { upTo, witnessBoots, type WitnessLine, type Written, writtenIn } from "./witness.ts";

export interface Finding {
  ok: boolean;
  /** What was looked at, and what was found. */
  text: string;
}

/** Between the guest's wall clock and the time that a line got: software emulation is slow. */
const wallErrorMsMax = 250;
/** Lines in the pipe to logos as the kernel died: two seconds of them, for a host that is busy. */
const inPipeMax = 20;
/** They write to /dev/kmsg themselves: as soon as they know that a line is written, it is in there. */
const directPrograms = ["dhcpd", "flood"];
const reason = "sysrq triggered crash";
const panicLine = /^Kernel panic - not syncing: /;
const rebootLine = /^reboot: Restarting system/;
const resetLine = /^sysrq: Resetting/;

export function check(variant: Variant, outcome: Outcome): Finding[] {
  const witnesses = witnessBoots(outcome.logs.console);
  const named = outcome.boots.filter(({ boot }) => !boot.startsWith("unknown-"));
  const unnamed = outcome.boots.filter((boot) => !named.includes(boot));
  const findings = variant.ends.flatMap((end, index) => {
    const witness = witnesses[index] ?? [];
    const boot = findBoot(end === "unnamed" ? unnamed : named, witness);
    const name = `boot ${index + 1}`;
    if (!boot) return [{ ok: false, text: `${name}: nothing of it is stored` }];
    const written = writtenIn(outcome.logs.script, index + 1);
    const byName = findBoot(named, witness);
    const facts = { boot, byName, witness, written, events: outcome.events };
    return checksOf[end](facts).map(({ ok, text }) => ({ ok, text: `${name}: ${text}` }));
  });
  const { lost, holes, duplicateEvents, missingEvents } = outcome.verdict.totals;
  const counts = `${lost} lost, ${holes} holes, ${duplicateEvents} double events, ` +
    `${missingEvents} missing events`;
  return [...findings, { ok: outcome.verdict.ok, text: `the verifier: ${counts}` }];
}

interface Facts {
  boot: TimelineBoot;
  /** What is stored under its name, if anything is. */
  byName: TimelineBoot | undefined;
  witness: WitnessLine[];
  written: Written;
  events: EventLine[];
}

const checksOf: Record<End, (facts: Facts) => Finding[]> = {
  panic: (facts) => [
    allStored(facts, panicLine),
    ...programLines(facts),
    panicEvent(facts),
    gaps(facts, false),
  ],
  undated: (facts) => [
    allStored(facts, panicLine),
    ...programLines(facts, false),
    panicEvent(facts),
    gaps(facts, false),
  ],
  reboot: (facts) => [allStored(facts, rebootLine), ...programLines(facts), gaps(facts, false)],
  cut: (facts) => [endStored(facts), panicEvent(facts), gaps(facts, true)],
  lost: (facts) => [beginningStored(facts), gaps(facts, true)],
  spooled: (facts) => [beginningStored(facts), ...programLines(facts), gaps(facts, true)],
  unnamed: (facts) => [
    allStored(facts, panicLine),
    panicEvent(facts),
    otherName(facts),
  ],
  alive: (facts) => [beginningStored(facts)],
};

/** The boot whose lines these are: a kernel never says its first lines with the same times twice. */
function findBoot(boots: TimelineBoot[], witness: WitnessLine[]): TimelineBoot | undefined {
  const said = new Set(witness.map(keyOf));
  const share = ({ lines }: TimelineBoot) =>
    lines.filter((line) => said.has(keyOf(line))).length / Math.max(lines.length, 1);
  return boots.toSorted((a, b) => share(b) - share(a)).find((boot) => share(boot) > 0.5);
}

/** Each line that was said up to the dump is stored once, in its order. */
function allStored({ boot, witness }: Facts, last: RegExp): Finding {
  const said = upTo(witness, last);
  const stored = upTo(boot.lines, last);
  const wrong = firstDifference(said, stored);
  if (said.length === 0 || wrong >= 0) return differs(said, stored, wrong);
  const recovered = stored.filter((line) => line.recovered).length;
  return {
    ok: true,
    text: `all ${said.length} lines up to the end are stored once, in order; ` +
      `${recovered} came out of ramoops, and ${boot.twice} more that had been stored before`,
  };
}

/** Without its end: all that is stored is what was said, from the first line on. */
function beginningStored({ boot, witness }: Facts): Finding {
  const said = witness.slice(0, boot.lines.length);
  const wrong = firstDifference(said, boot.lines);
  if (boot.lines.length === 0 || wrong >= 0) return differs(said, boot.lines, wrong);
  const all = resetLine.test(witness.at(-1)?.text ?? "") ? witness.length - 1 : witness.length;
  return { ok: true, text: `the first ${said.length} of ${all} lines are stored once, in order` };
}

/** A beginning and an end, and something missing between. */
function endStored({ boot, witness }: Facts): Finding {
  const said = upTo(witness, panicLine);
  const stored = upTo(boot.lines, panicLine);
  const from = stored.findIndex((line) => line.recovered);
  const [beginning, end] = [stored.slice(0, from), stored.slice(from)];
  const saidFirst = said.slice(0, beginning.length);
  const saidLast = said.slice(-end.length);
  const ok = from > 0 && firstDifference(saidFirst, beginning) < 0 &&
    firstDifference(saidLast, end) < 0;
  const missing = said.length - stored.length;
  return {
    ok: ok && missing > 0,
    text: `of ${said.length} lines the first ${beginning.length} and the last ${end.length} ` +
      `are stored, in order; ${missing} are missing`,
  };
}

/** Each program's lines have the numbers 1, 2, 3 ..., none is missing at the end, and their time is right. */
function programLines({ boot, written }: Facts, isDated = true): Finding[] {
  const stamped = boot.lines.flatMap((line) => stampOf(line, written));
  const direct = stamped.filter(({ program }) => directPrograms.includes(program));
  // How far the guest's wall clock is ahead of its kernel's: these lines are in the log once they are made.
  const aheadMs = median(direct.map(({ atMs, kernelMs }) => atMs - kernelMs));
  return [...Map.groupBy(stamped, ({ program }) => program)].map(([program, lines]) => {
    const inOrder = lines.every(({ number }, index) => number === index + 1);
    const onTheirWay = Math.max(0, (written.last.get(program) ?? 0) - lines.length);
    const onTheirWayMax = directPrograms.includes(program) ? 0 : inPipeMax;
    const offMs = lines.map(({ wallMs, kernelMs }) => Math.abs(wallMs - kernelMs - aheadMs));
    const heldMs = lines.map(({ atMs, kernelMs }) => kernelMs + aheadMs - atMs);
    const saidMs = Math.max(...lines.map(({ errorMs }) => errorMs));
    const isTimeRight = Math.max(most(offMs), median(heldMs)) <= wallErrorMsMax;
    return {
      ok: inOrder && onTheirWay <= onTheirWayMax && (isTimeRight || !isDated),
      text: `${program}: lines 1 to ${lines.length} ${inOrder ? "" : "NOT "}in order, ` +
        `${onTheirWay} more on their way to the kernel; wall time off by ${most(offMs)} ms` +
        (isDated ? "" : `, the grinder says ${Math.round(saidMs)}`) +
        `; in the log after ${Math.round(median(heldMs))} ms, at most ${most(heldMs)}`,
    };
  });
}

interface Stamped {
  program: string;
  number: number;
  /** Unix time: by the guest's clock as the line was made, and as it is stored; by the kernel's clock. */
  atMs: number;
  wallMs: number;
  kernelMs: number;
  /** How far off the stored time may be, as the grinder says. */
  errorMs: number;
}

function stampOf({ text, usec, wallUs, errorUs }: TimelineLine, { atMs }: Written): Stamped[] {
  const [, program, seconds, number] = /^(\w+): .*?(?: at (\d+\.\d+))?, line (\d+)$/.exec(text) ??
    [];
  if (program === undefined) return [];
  return [{
    program,
    number: Number(number),
    // What was written last may have had no time to be noted.
    atMs: seconds === undefined ? atMs.get(`${program} ${number}`) ?? NaN : Number(seconds) * 1000,
    wallMs: wallUs / 1000,
    kernelMs: usec / 1000,
    errorMs: errorUs / 1000,
  }];
}

/** Of those that are numbers. */
function median(numbers: number[]): number {
  const known = numbers.filter((n) => !Number.isNaN(n)).sort((a, b) => a - b);
  return known[known.length >> 1] ?? NaN;
}

function most(numbers: number[]): number {
  return Math.ceil(Math.max(...numbers.filter((n) => !Number.isNaN(n))));
}

function panicEvent({ boot, events }: Facts): Finding {
  const found = events.filter((event) => event.rule === "kernel_panic" && event.boot === boot.boot);
  return {
    ok: found.length === 1 && found[0]!.labels["reason"] === reason,
    text: `${found.length} kernel_panic event, reason "${found[0]?.labels["reason"]}"`,
  };
}

/** Lines that were acknowledged before it died are there under both names: nobody can know. */
function otherName({ boot, byName }: Facts): Finding {
  const lines = byName?.lines.length ?? 0;
  const also = `${lines} of its lines are stored under its own name as well`;
  return { ok: true, text: `it is called ${boot.boot}; ${also}` };
}

function gaps({ boot }: Facts, wanted: boolean): Finding {
  const said = boot.gaps.map(({ first, last, cause }) => `${first} to ${last}, ${cause}`);
  return { ok: said.length > 0 === wanted, text: `gaps said: ${said.join("; ") || "none"}` };
}

type Line = Pick<WitnessLine, "usec" | "text">;

function keyOf({ usec, text }: Line): string {
  return `${usec} ${text}`;
}

/** -1: they are the same. */
function firstDifference(said: Line[], stored: Line[]): number {
  const length = Math.max(said.length, stored.length);
  return Array.from({ length }, (_, at) => at).findIndex((at) => {
    const [a, b] = [said[at], stored[at]];
    return !a || !b || keyOf(a) !== keyOf(b);
  });
}

function differs(said: Line[], stored: Line[], at: number): Finding {
  const show = (line: Line | undefined) => line ? keyOf(line) : "nothing";
  return {
    ok: false,
    text: `${said.length} lines were said and ${stored.length} are stored; at ${at + 1}: ` +
      `said ${show(said[at])}, stored ${show(stored[at])}`,
  };
}
