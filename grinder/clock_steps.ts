/**
 * Two clock sync records of one boot, one after the other, to whether the device's wall clock was set
 * between them, or whether the device slept.
 *
 * A suspend moves the wall clock against the kernel's, which stands still; but it moves the receiver's as
 * much. A step moves the device's alone. Both may have happened: the greater part gives the name.
 */
import type { HeardSync } from "./clock_fit.ts";

export interface ClockStep {
  kind: "step" | "suspend";
  /** Below 0 where the clock was set back. */
  seconds: number;
}

/** Undefined where nothing of at least `atLeastUs` happened, or the second isn't the later one. */
export function clockStep(
  before: HeardSync,
  now: HeardSync,
  atLeastUs: number,
): ClockStep | undefined {
  const kernelUs = now.usec - before.usec;
  if (kernelUs <= 0) return undefined;
  const movedUs = now.wallUs - before.wallUs - kernelUs;
  if (Math.abs(movedUs) < atLeastUs) return undefined;
  // Their ways to the receiver differ by seconds at most: a record is made when it is sent.
  const sleptUs = now.recvUs - before.recvUs - kernelUs;
  const kind = Math.abs(movedUs - sleptUs) <= Math.abs(movedUs) / 2 ? "suspend" : "step";
  return { kind, seconds: Math.round(movedUs / 1000) / 1000 };
}
