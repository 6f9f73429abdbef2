/**
 * Clock records in, the wall times of records out, as the grinder dates them (../clock_fit.ts). Of each
 * boot a few clock records are kept, as numbers: most boots are never asked for.
 */
import type { BlockHeader } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import {
  addReceived,
  addSync,
  newFit,
  timeAt,
  unknownErrorUs,
  type WallTime,
} from "../clock_fit.ts";
import { nameHash } from "../reading/name_hash.ts";
import type { ClockRecord } from "../index/gram_table.ts";

/** Of each boot, the newest: between two that agree a time is exact. */
const syncsKept = 4;

export class BootTimes {
  readonly #syncs = new Map<number, ClockRecord[]>();

  add(sync: ClockRecord): void {
    const known = this.#syncs.get(sync.boot);
    // Moved to the end: the oldest is let go first.
    if (known) this.#syncs.delete(sync.boot);
    const syncs = known ?? [];
    if (syncs.length === syncsKept) syncs.shift();
    syncs.push(sync);
    this.#syncs.set(sync.boot, syncs);
    if (this.#syncs.size <= limits.bootsCachedMax) return;
    const { value: oldest } = this.#syncs.keys().next();
    this.#syncs.delete(oldest!);
  }

  of({ device, boot, source, recvUs }: BlockHeader, usec: number): WallTime {
    if (source === "raw") return { wallUs: recvUs, errorUs: unknownErrorUs };
    const fit = newFit(recvUs);
    const syncs = this.#syncs.get(nameHash(`${device} ${boot}`));
    for (const sync of syncs ?? []) addSync(fit, sync.usec, sync, sync.recvUs);
    if (!syncs) addReceived(fit, usec, recvUs);
    return timeAt(fit, usec, recvUs);
  }
}
