/**
 * The wall time of records: for each boot, the distance between its kernel clock and Unix time, from
 * the clock sync records of its device and the times at which receivers took its blocks.
 *
 * | rank | the distance is taken from | its error |
 * |------|----------------------------|-----------|
 * | 2 | a sync record whose wall clock agrees with the receiver's, or is said to be synchronised: the newest | some milliseconds |
 * | 1 | when a sync record was received (it is sent at once): the least | the way to the receiver |
 * | 0 | when a block's last record was received: the least | the flush time, or a backlog |
 *
 * A higher rank replaces a lower one. So a device that believes it is 1970 gets right times, too.
 */
import type { BlockHeader } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import type { ClockSync } from "../shared/record.ts";
import { Cached } from "./cached.ts";

export interface WallTime {
  /** Unix time in microseconds. */
  wallUs: number;
  errorUs: number;
}

/** Unix time is `usec + offsetUs`. */
export interface ClockFit {
  rank: 0 | 1 | 2;
  offsetUs: number;
  errorUs: number;
}

/** How far a device's wall clock may be before and after the receiver's and still be believed. */
const agreesBeforeUs = 60e6;
const agreesAfterUs = 1e6;
/** Reading the two clocks of a device one after the other, and the kernel clock's drift. */
const syncErrorUs = 50_000;
/** From a sync record's making to its arrival, as a rule. */
const wayErrorUs = 1_000_000;
/** Nothing is known of how long a record waited before it was sent. */
const unknownErrorUs = 60_000_000;

/** By `clockKey`. */
export class Clocks extends Cached<ClockFit> {
  constructor(load: (key: string) => ClockFit | undefined) {
    super(load, limits.bootsCachedMax);
  }

  /** Takes note of a sync record in a block. */
  sync(header: BlockHeader, usec: number, sync: ClockSync): void {
    const behindUs = header.recvUs - sync.wallUs;
    const agrees = behindUs < agreesBeforeUs && behindUs > -agreesAfterUs;
    if (agrees || sync.synced) {
      this.#offer(header, { rank: 2, offsetUs: sync.wallUs - usec, errorUs: syncErrorUs });
    } else {
      this.#offer(header, { rank: 1, offsetUs: header.recvUs - usec, errorUs: wayErrorUs });
    }
  }

  /** Takes note of the last record of a block. */
  received(header: BlockHeader, lastUsec: number): void {
    const offsetUs = header.recvUs - lastUsec;
    this.#offer(header, { rank: 0, offsetUs, errorUs: unknownErrorUs });
  }

  /** When a record was written; never later than it was received. */
  wallTime(header: BlockHeader, usec: number): WallTime {
    const fit = this.get(clockKey(header));
    if (!fit) return { wallUs: header.recvUs, errorUs: unknownErrorUs };
    return { wallUs: Math.min(usec + fit.offsetUs, header.recvUs), errorUs: fit.errorUs };
  }

  /**
   * The same, if a sync record before this record has said it. It is better than what later ones say,
   * since the kernel clock may stand still (suspend) between the two.
   */
  syncedTime(header: BlockHeader, usec: number): WallTime | undefined {
    return this.get(clockKey(header))?.rank === 2 ? this.wallTime(header, usec) : undefined;
  }

  #offer(header: BlockHeader, offered: ClockFit): void {
    const key = clockKey(header);
    const fit = this.get(key);
    if (fit && fit.rank > offered.rank) return;
    // The newest sync is right after a suspend, too; of receive times the least is nearest the truth.
    const better = !fit || offered.rank > fit.rank ||
      (offered.rank === 2 ? offered.offsetUs !== fit.offsetUs : offered.offsetUs < fit.offsetUs);
    if (better) this.set(key, offered);
  }
}

/** Names have no spaces. */
export function clockKey(header: BlockHeader): string {
  return `${header.device} ${header.boot}`;
}
