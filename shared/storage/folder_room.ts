/**
 * The room that a storage leaves on its disk: the grinder's state and outputs and the allow-list's
 * edits are on the same one, and a disk that is full to the last byte can't even be tidied up.
 */
import { statfsSync } from "node:fs";
import { limits } from "../limits.ts";

export interface Space {
  freeBytes: number;
  totalBytes: number;
}

/** What may still be written without root's own reserve. Some microseconds on a local disk. */
export function spaceOf(folder: string): Space {
  const { bavail, blocks, bsize } = statfsSync(folder);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}

/** What is kept free unless told otherwise; less on small disks. */
export function usualReserve({ totalBytes }: Space): number {
  return Math.min(limits.reserveBytes, Math.floor(totalBytes / limits.reserveShare));
}

/** Throws if `moreBytes` would take what must stay free. */
export function demandRoom(space: Space, reserveBytes: number, moreBytes: number): void {
  if (space.freeBytes - moreBytes >= reserveBytes) return;
  throw new Error(
    `${inMiB(reserveBytes)} of its disk must stay free: free are ${inMiB(space.freeBytes)} of ` +
      `${inMiB(space.totalBytes)}, and ${inMiB(moreBytes)} more are wanted`,
  );
}

function inMiB(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
