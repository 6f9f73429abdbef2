/**
 * A kernel's ring that may have survived a reboot, as sources: what it still holds of earlier boots,
 * one finite stream each, and then the current boot. Such a ring may number its records anew, so the
 * checkpoint's record is found by its hash; the old boot's seqs go on from there by distance in the
 * ring. A boot begins where the kernel's clock falls back. A stock kernel's ring holds one boot.
 */
import { forEachRecord, gapRecord, type LogRecord } from "../shared/record.ts";
import { type Position, recordHash } from "./checkpoint.ts";
import { type KmsgOptions, KmsgSource } from "./kmsg.ts";
import { OldBoot, OneRecord } from "./old_boot.ts";
import type { Ring } from "./ring.ts";
import type { Source } from "./source.ts";

export interface KmsgSourcesOptions extends Omit<KmsgOptions, "ring" | "firstSeq"> {
  /** Each source reads a ring of its own, from its beginning. */
  openRing: () => Ring;
  /** The boot in which the agent ran last before this one, if it is known (died_boot.ts). */
  lastBoot?: string | undefined;
}

export interface KmsgSources {
  /** Finite ones of boots that are over, oldest first: each is to be acknowledged before the next. */
  old: Source[];
  current: KmsgSource;
  /** What dmesg dumps in pstore would say, the ring says better. */
  ringSurvived: boolean;
}

export function openKmsgSources(options: KmsgSourcesOptions): KmsgSources {
  const { openRing, boot, position } = options;
  const ended = position?.boot === boot ? undefined : position;
  const stretches = scanRing(openRing(), ended);
  const current = stretches.pop();
  const source = new KmsgSource({
    ...options,
    ring: openRing(),
    firstSeq: firstSeqOf(current, stretches),
  });
  const ringSurvived = stretches.length > 0;
  // They were shipped before anything of this boot was.
  if (position?.boot === boot) return { old: [], current: source, ringSurvived };
  const found = foundIn(stretches, ended);
  const old = stretches.slice(Math.max(found, 0)).flatMap((stretch, index, left) => {
    if (index === 0 && found >= 0) return goOn(openRing, stretch, position!);
    if (index < left.length - 1) return [unknownBoot(openRing, stretch)];
    return lastOldBoot(options, stretch, found >= 0);
  });
  return { old, current: source, ringSurvived };
}

/** A run of records of one boot. */
interface Stretch {
  /** Seqs as the ring gives them. */
  first: number;
  last: number;
  firstUsec: number;
  /** Of the first record, without its seq. */
  hash: string;
  maxUsec: number;
  /** The seq of the record that was looked for. */
  found?: number;
}

/** Clocks of two processors differ by less; a boot that lived shorter is known by its first line. */
const fallsBackUs = 1e6;
/** A boot's first record is stamped 0 or soon after: later, a clock was set back. */
const beginsUsMax = 10e6;

function scanRing(ring: Ring, wanted: Position | undefined): Stretch[] {
  const stretches: Stretch[] = [];
  const visit = (record: LogRecord) => {
    const { seq, usec } = record;
    let stretch = stretches.at(-1);
    if (!stretch || beginsBoot(record, stretch)) {
      stretch = { first: seq, last: seq, firstUsec: usec, hash: recordHash(record), maxUsec: usec };
      stretches.push(stretch);
    }
    stretch.last = seq;
    stretch.maxUsec = Math.max(stretch.maxUsec, usec);
    if (wanted && stretch.found !== wanted.seq && isSame(record, wanted)) stretch.found = seq;
  };
  for (let read = ring.next(); read.kind !== "empty"; read = ring.next()) {
    if (read.kind === "record") forEachRecord(read.text, visit, () => {});
  }
  ring.close();
  return stretches;
}

/** Before its clock runs each boot of a kernel says the same: those lines are known by their seq alone. */
function isSame(record: LogRecord, { seq, hash }: Position): boolean {
  return (record.usec > 0 || record.seq === seq) && recordHash(record) === hash;
}

/** Which stretch has the checkpoint's record; if there are two, the one that wasn't numbered anew. */
function foundIn(stretches: Stretch[], wanted: Position | undefined): number {
  const exact = stretches.findIndex(({ found }) => found !== undefined && found === wanted?.seq);
  return exact >= 0 ? exact : stretches.findLastIndex(({ found }) => found !== undefined);
}

function beginsBoot({ prio, usec, text }: LogRecord, { maxUsec }: Stretch): boolean {
  // Programs can't write with a kernel's priority.
  if (prio < 8 && usec < maxUsec && text.startsWith("Linux version ")) return true;
  return usec + fallsBackUs < maxUsec && usec < beginsUsMax;
}

/** A ring that holds one boot is numbered from that boot's beginning, whatever is left of it. */
function firstSeqOf(current: Stretch | undefined, old: Stretch[]): number {
  return old.length > 0 ? current!.first : 0;
}

/** What comes after the checkpoint's record, in its stream. */
function goOn(openRing: () => Ring, stretch: Stretch, { boot, stream, seq }: Position): Source[] {
  const first = stretch.found! + 1;
  if (first > stretch.last) return [];
  const shift = seq - stretch.found!;
  return [
    new OldBoot({
      ring: openRing(),
      boot,
      stream,
      // Its own stream has the boot's name; another one of it is of recovered records.
      flag: stream === boot ? undefined : "p",
      first,
      last: stretch.last,
      shift,
    }),
  ];
}

/** The boot before this one, of which nothing in the ring is known to be acknowledged. */
function lastOldBoot(options: KmsgSourcesOptions, stretch: Stretch, found: boolean): Source[] {
  const { openRing, position, lastBoot } = options;
  const known = found ? undefined : position;
  if (lastBoot !== undefined && lastBoot !== position?.boot) {
    return [recovered(openRing, stretch, lastBoot)];
  }
  return known ? afterGap(openRing, stretch, known) : [unknownBoot(openRing, stretch)];
}

/** The checkpoint's record was overwritten: how many came after it nobody knows. */
function afterGap(openRing: () => Ring, stretch: Stretch, position: Position): Source[] {
  const { boot, stream, seq } = position;
  const gap = { first: seq + 1, last: "?", count: 1, cause: "overrun" } as const;
  return [
    new OneRecord(boot, stream, gapRecord(seq + 1, stretch.firstUsec, gap)),
    recovered(openRing, stretch, boot),
  ];
}

/** Without a known record the seqs can't go on: it is a stream of its own, of which some may be stored. */
function recovered(openRing: () => Ring, { first, last, hash }: Stretch, boot: string): Source {
  const names = { boot, stream: `ring-${streamHash(hash)}` };
  return new OldBoot({ ...names, ring: openRing(), flag: "p", first, last, shift: -first });
}

/** A boot in which no agent ran is named by its first record. */
function unknownBoot(openRing: () => Ring, { first, last, hash }: Stretch): Source {
  const name = streamHash(hash);
  const names = { boot: `unknown-${name}`, stream: `ring-${name}` };
  return new OldBoot({ ...names, ring: openRing(), flag: undefined, first, last, shift: -first });
}

/** Names begin with what they like, but a hash may hold only hexadecimal digits to be easy to type. */
function streamHash(hash: string): string {
  return hash.replaceAll(/[^A-Za-z0-9]/g, "").slice(0, 16);
}
