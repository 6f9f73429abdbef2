/**
 * A device's records in the order of telling in, its reboots out: how the boot before ended, and how long
 * the device was away. Causes are those of the event `reboot` (../reboots.ts).
 */
import { limits } from "../../shared/limits.ts";
import type { WallTime } from "../clock_fit.ts";
import { causeOf, type End } from "../reboots.ts";
import type { BootEntry } from "./entry.ts";

interface Boot {
  boot: string;
  lastUsec: number;
  lastWallUs: number;
  panic: boolean;
  cleanUsec: number;
}

export class BootsTold {
  /** Those told of last, the present one at the end. */
  #boots: Boot[] = [];

  constructor(private readonly device: string) {}

  /** A record of `boot` comes next, of this time; gives what is to be said before, if it is another boot. */
  next(boot: string, usec: number, time: WallTime, startOf: () => WallTime): BootEntry | undefined {
    const present = this.#boots.at(-1);
    const isSame = present?.boot === boot;
    const one = isSame ? present : this.#find(boot);
    const entry = isSame ? undefined : this.#entry(boot, one, present, time, startOf);
    const now = one ?? { boot, lastUsec: 0, lastWallUs: 0, panic: false, cleanUsec: -Infinity };
    now.lastUsec = Math.max(now.lastUsec, usec);
    now.lastWallUs = Math.max(now.lastWallUs, time.wallUs);
    if (!isSame) {
      const others = this.#boots.filter((other) => other !== now);
      this.#boots = [...others.slice(1 - limits.deviceBootsMax), now];
    }
    return entry;
  }

  /** The record that came last said how its boot ends. */
  ended(usec: number, end: End): void {
    const present = this.#boots.at(-1)!;
    if (end === "panic") present.panic = true;
    else present.cleanUsec = Math.max(present.cleanUsec, usec);
  }

  #find(boot: string): Boot | undefined {
    return this.#boots.find((one) => one.boot === boot);
  }

  #entry(
    boot: string,
    known: Boot | undefined,
    before: Boot | undefined,
    time: WallTime,
    startOf: () => WallTime,
  ): BootEntry {
    const told = {
      kind: "boot",
      device: this.device,
      boot,
      time,
      again: known !== undefined,
    } as const;
    // Raw lines are of no boot that could have ended.
    if (known || !before || before.boot === "-" || boot === "-") return told;
    const awayUs = Math.max(0, startOf().wallUs - before.lastWallUs);
    return { ...told, cause: causeOf(before), awayUs };
  }
}
