/**
 * Events that no line says, and what operators set for them, in rules.ts:
 *
 *     export const builtIn = builtInEvents({ device_silent: { times: 5, atLeast: "5m" }, ... });
 *
 * | event | labels | value |
 * |-------|--------|-------|
 * | device_silent | the device's | seconds since its last block |
 * | device_back | the device's | seconds from its last block before to its first one after |
 * | reboot | cause=clean, panic or power; the device's | seconds without a record before the start, at most |
 * | clock_step | kind=step or suspend; the device's | seconds, below 0 for backwards |
 * | gap | cause | records missing |
 *
 * An event that was taken from no record has `-` as its source, stream and segment, 0 as its seq and
 * usec, and a text that says it in words. It is one line for each (event, device, time).
 */
import type { BlockHeader } from "../shared/block.ts";
import type { WallTime } from "./clock_fit.ts";
import type { ClockStep } from "./clock_steps.ts";
import type { PendingEvent } from "./event.ts";

export type Duration = `${number}${"s" | "m" | "h"}`;

export interface BuiltInOptions {
  /** Labels that devices have in the allow-list, for all of these events: by city, by model. */
  device?: readonly string[];
  /** No block for `times` the device's usual interval, and for `atLeast`. False: no such events. */
  device_silent?: false | { times?: number; atLeast?: Duration };
  /**
   * The cause is told `wait` after the start: what a boot's memory kept of its end comes with the next.
   * Events of these rules show that a boot was ended on purpose, or by a panic, beside what is known.
   */
  reboot?: false | { wait?: Duration; clean?: readonly string[]; panic?: readonly string[] };
  /** The wall clock was set, or stood still in a suspend, by at least so much. */
  clock_step?: false | { atLeast?: Duration };
}

/** The same with nothing left open. */
export interface BuiltIn {
  readonly kind: "built-in";
  readonly device: readonly string[];
  readonly deviceSilent: { times: number; atLeastUs: number } | undefined;
  readonly reboot:
    | { waitUs: number; clean: readonly string[]; panic: readonly string[] }
    | undefined;
  readonly clockStep: { atLeastUs: number } | undefined;
}

/** An event that waits for nothing more. `by` is for the aggregates. */
export interface BuiltInEvent extends PendingEvent {
  by: { name: string; device: readonly string[] };
  time: WallTime;
}

/** Writes the options down; nothing is checked before they are loaded. */
export function builtInEvents(options: BuiltInOptions = {}): BuiltIn {
  const { device = ["city", "model"], device_silent = {}, reboot = {}, clock_step = {} } = options;
  const { times = 5, atLeast: silentFor = "5m" } = device_silent || {};
  const { wait = "60s", clean = ["clean_reboot"], panic = ["kernel_panic"] } = reboot || {};
  const { atLeast: stepOf = "10s" } = clock_step || {};
  return {
    kind: "built-in",
    device,
    deviceSilent: device_silent && { times, atLeastUs: durationUs(silentFor) } || undefined,
    reboot: reboot && { waitUs: durationUs(wait), clean, panic } || undefined,
    clockStep: clock_step && { atLeastUs: durationUs(stepOf) } || undefined,
  };
}

/** Everything that is wrong with what a rules file exports as `builtIn`, one line each. */
export function checkBuiltIn(value: unknown): string[] {
  const builtIn = value as BuiltIn | null | undefined;
  if (typeof builtIn !== "object" || builtIn?.kind !== "built-in") {
    return [`builtIn: it must be made by builtInEvents({...}): it is ${JSON.stringify(value)}`];
  }
  const { device, deviceSilent, reboot, clockStep } = builtIn;
  return [
    ...[device, reboot?.clean ?? [], reboot?.panic ?? []].filter((all) => !isNames(all))
      .map((all) => `builtIn: labels and rules must be names: they are ${JSON.stringify(all)}`),
    ...within("device_silent.times", deviceSilent?.times, 2, 1000, ""),
    ...within("device_silent.atLeast", seconds(deviceSilent?.atLeastUs), 60, 604_800, " seconds"),
    ...within("reboot.wait", seconds(reboot?.waitUs), 0, 3_600, " seconds"),
    ...within("clock_step.atLeast", seconds(clockStep?.atLeastUs), 1, 1e9, " seconds"),
  ];
}

/** An event of which there is no record. `labels` are its own; the device's come behind them. */
export function eventOf(
  name: string,
  header: Pick<BlockHeader, "device" | "boot" | "recvUs">,
  said: { labels?: Record<string, string>; value?: number | undefined; text: string },
  time: WallTime,
  device: readonly string[],
): BuiltInEvent {
  const none = { source: "-", stream: "-", first: 0, last: 0, count: 0 };
  return {
    rule: name,
    by: { name, device },
    header: { ...header, ...none },
    record: { prio: 5, seq: 0, usec: 0, flag: "-", fields: "", text: said.text, more: [] },
    place: { segment: "-", offset: 0, line: 0 },
    labels: said.labels ?? {},
    ...(said.value === undefined ? {} : { value: said.value }),
    time,
  };
}

/** A clock step, in the place of the sync record that shows it. */
export function stepEvent(
  { header, record, place }: Pick<PendingEvent, "header" | "record" | "place">,
  { kind, seconds }: ClockStep,
  time: WallTime,
  device: readonly string[],
): BuiltInEvent {
  const way = seconds < 0 ? "back" : "forward";
  const text = kind === "suspend"
    ? `slept for ${seconds} s`
    : `clock set ${way} by ${Math.abs(seconds)} s`;
  const said = { rule: "clock_step", labels: { kind }, value: seconds };
  return {
    ...said,
    header,
    record: { ...record, text },
    place,
    by: { name: said.rule, device },
    time,
  };
}

const unitUs = { s: 1e6, m: 60e6, h: 3600e6 };

/** NaN for what is no duration: it is within no limits. */
function durationUs(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,9})?)([smh])$/.exec(text);
  return match ? Number(match[1]) * unitUs[match[2] as "s" | "m" | "h"] : NaN;
}

function seconds(us: number | undefined): number | undefined {
  return us === undefined ? undefined : us / 1e6;
}

function isNames(value: unknown): boolean {
  return Array.isArray(value) && value.every((name) => typeof name === "string" && name !== "");
}

function within(
  name: string,
  value: number | undefined,
  least: number,
  most: number,
  unit: string,
): string[] {
  if (value === undefined || (value >= least && value <= most)) return [];
  return [`builtIn: ${name} must be ${least} to ${most}${unit}: it is ${value}`];
}
