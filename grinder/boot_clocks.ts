/**
 * The clocks of all boots: what blocks and sync records say of them, and the wall time of any record.
 * A fit is found by `clockKey` and saved as one text when it changed (see clock_fit.ts).
 *
 * A record's time is best fixed at once. Only where nothing is known yet it is worth to wait: for a boot
 * whose wall clock hasn't been right so far, some minutes from its first block; and after what looks like
 * a suspend, for the next sync record.
 */
import type { BlockHeader } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import type { ClockSync } from "../shared/record.ts";
import { Cached } from "./cached.ts";
import {
  addReceived,
  addSync,
  type ClockFit,
  decodeFit,
  encodeFit,
  isKnown,
  latenessUs,
  newFit,
  timeAt,
  type WallTime,
} from "./clock_fit.ts";
import { type ClockStep, clockStep } from "./clock_steps.ts";
import type { FactStore, Kept } from "./facts.ts";

type Boot = Pick<BlockHeader, "device" | "boot">;

/** A boot; who asks for the same one again and again keeps this object, with these notes of `BootClocks`. */
export interface ClockBoot extends Boot {
  clockKey?: string;
  clockFit?: ClockFit | undefined;
  /** The `dropped` of the fits at which that one was there. */
  clockDropped?: number;
}

/** Every `recvUs` is by a receiver's clock that is right: see receiver_clocks.ts. */
export class BootClocks implements Kept {
  readonly kind = "clock";
  /** The shortest step of a wall clock that `sync` tells of. */
  stepUsMin = Infinity;
  readonly #fits: Cached<ClockFit>;

  constructor(store: FactStore) {
    this.#fits = new Cached((key) => {
      const text = store.load(this.kind, key);
      return text === undefined ? undefined : decodeFit(text);
    }, limits.bootsCachedMax);
  }

  /** Takes note of a sync record in a block; gives what it shows of the device's wall clock. */
  sync(boot: ClockBoot, usec: number, sync: ClockSync, recvUs: number): ClockStep | undefined {
    const fit = this.#fitOf(boot) ?? newFit(recvUs);
    addSync(fit, usec, sync, recvUs);
    const now = { usec, wallUs: sync.wallUs, recvUs };
    const step = fit.last && clockStep(fit.last, now, this.stepUsMin);
    if (!fit.last || fit.last.usec < usec) fit.last = now;
    this.#fits.set(boot.clockKey ?? clockKey(boot), fit);
    return step && ++fit.steps <= limits.clockStepsMax ? step : undefined;
  }

  /** Takes note of a block, by its last record. */
  received(boot: Boot, lastUsec: number, recvUs: number): void {
    const key = clockKey(boot);
    const known = this.#fits.get(key);
    // Nearly always there are sync records, and this has nothing to add.
    if (known && known.knots.length > 0) return;
    const fit = known ?? newFit(recvUs);
    if (addReceived(fit, lastUsec, recvUs) || !known) this.#fits.set(key, fit);
  }

  /** When a record was written that was received at `recvUs`, by all that is known now. */
  wallTime(boot: ClockBoot, usec: number, recvUs: number): WallTime {
    return timeAt(this.#fitOf(boot) ?? newFit(recvUs), usec, recvUs);
  }

  /** When a boot's last record was written, if anything is known of its clock and it didn't sleep since. */
  endUs(boot: Boot, lastUsec: number): number | undefined {
    const fit = this.#fits.get(clockKey(boot));
    return fit && fit.knots.length > 0 ? timeAt(fit, lastUsec, Infinity).wallUs : undefined;
  }

  /**
   * The receive time in its boot up to which it is worth to wait with a record's time; not later than
   * `recvUs` if it is as well known as it will be.
   */
  waitUntilUs(boot: ClockBoot, usec: number, recvUs: number): number {
    // Raw lines have no clock at all.
    if (boot.boot === "-") return recvUs;
    const fit = this.#fitOf(boot);
    if (!fit) return recvUs + limits.clockWaitMs * 1000;
    if (!isKnown(fit)) return fit.firstUs + limits.clockWaitMs * 1000;
    if (latenessUs(fit, usec, recvUs) <= limits.clockDoubtMs * 1000) return recvUs;
    return recvUs + limits.clockDoubtWaitMs * 1000;
  }

  #fitOf(boot: ClockBoot): ClockFit | undefined {
    const { dropped } = this.#fits;
    if (boot.clockFit && boot.clockDropped === dropped) return boot.clockFit;
    const fit = this.#fits.get(clockKey(boot));
    // Not every object has room for notes: one that is changed in its shape is slower to read.
    if ("clockFit" in boot) {
      boot.clockFit = fit;
      boot.clockDropped = dropped;
    }
    return fit;
  }

  *changed(): Generator<[key: string, value: string]> {
    for (const [key, fit] of this.#fits.changed()) yield [key, encodeFit(fit)];
  }

  saved(): void {
    this.#fits.saved();
  }
}

/** The key that was made last: of one boot many things are asked in turn. */
let last = { device: "", boot: "", key: " " };

/** Names have no spaces. */
export function clockKey({ device, boot }: Boot): string {
  if (device !== last.device || boot !== last.boot) {
    last = { device, boot, key: `${device} ${boot}` };
  }
  return last.key;
}
