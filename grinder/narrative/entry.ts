/** What a narrative is made of, in the order in which it is told. */
import type { Gap, LogRecord } from "../../shared/record.ts";
import type { WallTime } from "../clock_fit.ts";
import type { ClockStep } from "../clock_steps.ts";

/** Where a record stands in the storage, as an event's line says it. */
export interface LinePlace {
  segment: string;
  offset: number;
  line: number;
}

interface Told {
  device: string;
  boot: string;
  time: WallTime;
}

/** Of a stream. */
interface ToldOfStream extends Told {
  source: string;
  stream: string;
}

export interface RecordEntry extends ToldOfStream {
  kind: "record";
  record: LogRecord;
  place: LinePlace;
  /** Names of the rules that match it. */
  rules: string[];
  /** What was told before is of later: it came too late for its place. */
  late: boolean;
}

/** Records are missing, as the device says. */
export interface GapEntry extends ToldOfStream {
  kind: "gap";
  /** `count` is of those that didn't come after all. */
  gap: Gap;
}

/** Records are missing, and nothing says why. */
export interface HoleEntry extends ToldOfStream {
  kind: "hole";
  first: number;
  last: number;
  count: number;
}

export type BootCause = "clean" | "panic" | "power";

/** What follows is of another boot. */
export interface BootEntry extends Told {
  kind: "boot";
  /** How the boot before it ended; undefined where that isn't known, or this boot was told of before. */
  cause?: BootCause;
  /** From the last record before to this boot's start, at most. */
  awayUs?: number;
  /** More of a boot after one that began later. */
  again: boolean;
}

/** The device's wall clock was set, or it slept. */
export interface ClockEntry extends Told {
  kind: "clock";
  step: ClockStep;
}

export type Entry = RecordEntry | GapEntry | HoleEntry | BootEntry | ClockEntry;
