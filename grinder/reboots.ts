/**
 * Sync records and last words in, `reboot` out: once for each boot of a device but the first that is
 * known, with its cause.
 *
 * | cause | the boot before it |
 * |-------|--------------------|
 * | panic | said so, as a rule in what its memory kept of its end |
 * | clean | said within its last two minutes that it was being shut down |
 * | power | neither: power was lost, or a watchdog or somebody's finger reset it |
 *
 * A boot is alive if it sends a sync record, which is made when it is sent; what a device only kept of a
 * boot before has none. So a backlog is no reboot, in whatever order it comes. The event waits some time
 * for what the device still has to say of the boot that ended.
 */
import type { BlockHeader } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import type { BootClocks } from "./boot_clocks.ts";
import { type BuiltIn, type BuiltInEvent, eventOf } from "./built_in.ts";
import { Cached } from "./cached.ts";
import type { DeviceTable } from "./device_table.ts";
import type { FactStore, Kept } from "./facts.ts";
import { type RegexRule, type Rule, rule } from "./rule.ts";
import { column, columns } from "./silence.ts";

export type End = "clean" | "panic";

/** What is looked for beside the operator's own rules; these make no events. */
export const endRules: ReadonlyArray<{ end: End; rule: RegexRule }> = [
  {
    end: "panic",
    rule: rule("end_panic", /Kernel panic - not syncing/, {
      yes: ["Kernel panic - not syncing: Fatal exception in interrupt"],
    }),
  },
  {
    end: "clean",
    rule: rule("end_kernel", /^reboot: (?:Restarting system|Power down|System halted)/, {
      yes: ["reboot: Restarting system", "reboot: Power down"],
      no: ["webui: user asked: reboot: Power down"],
    }),
  },
  {
    end: "clean",
    rule: rule("end_systemd", /^systemd-shutdown\[1\]: |^systemd\[1\]: Shutting down\./, {
      yes: [
        "systemd[1]: Shutting down.",
        "systemd-shutdown[1]: Syncing filesystems and block devices.",
      ],
    }),
  },
  {
    end: "clean",
    rule: rule("end_procd", /^procd: - shutdown -/, { yes: ["procd: - shutdown -"] }),
  },
  {
    end: "clean",
    rule: rule("end_init", /^(?:init: )?The system is going down (?:NOW|for)/, {
      yes: ["The system is going down NOW!", "init: The system is going down for reboot NOW!"],
    }),
  },
  {
    end: "clean",
    rule: rule("end_kexec", /^kexec_core: Starting new kernel/, {
      yes: ["kexec_core: Starting new kernel"],
    }),
  },
];

/** What a match of one of these rules shows. */
export const endOf: ReadonlyMap<Rule, End> = new Map(endRules.map(({ rule, end }) => [rule, end]));

/** An operator's rules, and these behind them: what is to be matched. */
export function withEndRules(rules: readonly Rule[]): Rule[] {
  return [...rules, ...endOf.keys()];
}

interface Boot {
  boot: string;
  /** By its first sync record: not before it started. Undefined: it was never heard alive. */
  startUs: number | undefined;
  /** When that was received. */
  firstUs: number;
  /** The newest kernel time of its records; of the present boot it is in the device table. */
  lastUsec: number;
  panic: boolean;
  /** The newest kernel time at which it said that it was being shut down. */
  cleanUsec: number | undefined;
  /** Its event is out, or there is none. */
  said: boolean;
}

/** Services take their time to stop: systemd gives them 90 s. */
const shutdownUsMax = 120e6;
/** Boots without a sync record of which something was heard. */
const deadBootsMax = 4;

export class Reboots implements Kept {
  readonly kind = "boots";
  /** By device: boots by their start; those that were never heard alive first. */
  readonly #boots: Cached<Boot[]>;
  /** The present boot of each device, by slot, as far as it has been asked for. */
  readonly #present: string[] = [];
  /** Devices of which a reboot is to be said. */
  readonly #due = new Set<string>();

  constructor(
    private readonly table: DeviceTable,
    private readonly clocks: Pick<BootClocks, "wallTime" | "endUs">,
    store: FactStore,
    private options: BuiltIn,
  ) {
    this.#boots = new Cached((device) => {
      const text = store.load(this.kind, device);
      return text === undefined ? undefined : JSON.parse(text);
    }, limits.bootsCachedMax);
    for (const [device, text] of store.all(this.kind)) {
      if (dueBoots(JSON.parse(text)).length > 0) this.#due.add(device);
    }
  }

  use(options: BuiltIn): void {
    this.options = options;
  }

  /** Takes note of a block, by its last record; true if it is of the device's present boot. */
  heard(slot: number, { device, boot }: BlockHeader, lastUsec: number): boolean {
    const { numbers } = this.table;
    const at = slot * columns + column.bootUsec;
    if (boot === this.#presentOf(slot)) {
      if (lastUsec > numbers[at]!) numbers[at] = lastUsec;
      return true;
    }
    const boots = this.#boots.get(device) ?? [];
    const other = bootNamed(boots, boot);
    if (lastUsec <= other.lastUsec) return false;
    other.lastUsec = lastUsec;
    this.#boots.set(device, boots);
    return false;
  }

  /** Takes note of a sync record: the boot is alive. Gives what is to be said before it is forgotten. */
  sync(
    slot: number,
    { device, boot }: BlockHeader,
    usec: number,
    recvUs: number,
  ): BuiltInEvent | undefined {
    if (boot === this.#presentOf(slot)) return undefined;
    const boots = this.#boots.get(device) ?? [];
    const alive = bootNamed(boots, boot);
    if (alive.startUs !== undefined) return undefined;
    Object.assign(alive, { startUs: recvUs - usec, firstUs: recvUs });
    alive.lastUsec = Math.max(alive.lastUsec, usec);
    this.#leavePresent(slot, boots);
    boots.sort((a, b) => (a.startUs ?? 0) - (b.startUs ?? 0));
    const early = boots.length > limits.deviceBootsMax
      ? this.#dropOldest(device, boots)
      : undefined;
    this.#setPresent(slot, boots.at(-1));
    if (dueBoots(boots).length > 0) this.#due.add(device);
    this.#boots.set(device, boots);
    return early;
  }

  /** Takes note of a record by which a boot said how it ends. */
  ended(slot: number, { device, boot }: BlockHeader, usec: number, end: End): void {
    const boots = this.#boots.get(device) ?? [];
    const one = bootNamed(boots, boot);
    if (end === "panic") one.panic = true;
    else one.cleanUsec = Math.max(one.cleanUsec ?? 0, usec);
    if (boot !== this.#presentOf(slot)) one.lastUsec = Math.max(one.lastUsec, usec);
    this.#boots.set(device, boots);
  }

  /** The reboots whose wait is over. To be called only when all that is stored has been read. */
  look(nowUs: number): BuiltInEvent[] {
    const { reboot } = this.options;
    if (!reboot) return [];
    const events: BuiltInEvent[] = [];
    for (const device of [...this.#due].sort()) {
      const boots = this.#boots.get(device)!;
      for (const boot of dueBoots(boots)) {
        if (nowUs - boot.firstUs < reboot.waitUs) continue;
        events.push(this.#say(device, boots, boot));
        this.#boots.set(device, boots);
      }
      if (dueBoots(boots).length === 0) this.#due.delete(device);
    }
    return events;
  }

  *changed(): Generator<[key: string, value: string]> {
    for (const [device, boots] of this.#boots.changed()) yield [device, JSON.stringify(boots)];
  }

  saved(): void {
    this.#boots.saved();
  }

  #presentOf(slot: number): string {
    const known = this.#present[slot];
    if (known !== undefined) return known;
    const boots = this.#boots.get(this.table.names[slot]!);
    const present = boots?.findLast(({ startUs }) => startUs !== undefined)?.boot ?? "";
    this.#present[slot] = present;
    return present;
  }

  #leavePresent(slot: number, boots: Boot[]): void {
    const present = boots.find(({ boot }) => boot === this.#present[slot]);
    const lastUsec = this.table.numbers[slot * columns + column.bootUsec]!;
    if (present) present.lastUsec = Math.max(present.lastUsec, lastUsec);
  }

  #setPresent(slot: number, boot: Boot | undefined): void {
    if (boot?.startUs === undefined) return;
    this.#present[slot] = boot.boot;
    this.table.numbers[slot * columns + column.bootUsec] = boot.lastUsec;
    this.table.touch(slot);
  }

  /** A crash loop, in what is read at once. */
  #dropOldest(device: string, boots: Boot[]): BuiltInEvent | undefined {
    const [due] = dueBoots(boots);
    const isNext = due && boots.indexOf(due) === 1 && this.options.reboot;
    const early = isNext ? this.#say(device, boots, due) : undefined;
    boots.shift();
    return early;
  }

  #say(device: string, boots: Boot[], boot: Boot): BuiltInEvent {
    boot.said = true;
    const before = boots[boots.indexOf(boot) - 1]!;
    const cause = causeOf(before);
    const start = this.clocks.wallTime({ device, boot: boot.boot }, 0, boot.firstUs);
    const endUs = this.clocks.endUs({ device, boot: before.boot }, before.lastUsec);
    const value = endUs === undefined
      ? undefined
      : Math.max(0, Math.round((start.wallUs - endUs) / 1000) / 1000);
    const down = value === undefined ? "for a time unknown" : `at most ${Math.round(value)} s`;
    const header = { device, boot: boot.boot, recvUs: boot.firstUs };
    const said = { labels: { cause }, value, text: `started again after ${cause}, down ${down}` };
    return eventOf("reboot", header, said, start, this.options.device);
  }
}

/** One that is known, or a new one that hasn't been heard alive. */
function bootNamed(boots: Boot[], boot: string): Boot {
  const known = boots.find((one) => one.boot === boot);
  if (known) return known;
  const none = { startUs: undefined, firstUs: 0, lastUsec: 0, cleanUsec: undefined };
  const made = { boot, ...none, panic: false, said: false };
  boots.unshift(made);
  const dead = boots.filter(({ startUs }) => startUs === undefined);
  if (dead.length > deadBootsMax) boots.splice(boots.indexOf(dead.at(-1)!), 1);
  return made;
}

/** Boots of which there is something to be said: those that came after one that was alive. */
function dueBoots(boots: Boot[]): Boot[] {
  const alive = boots.filter(({ startUs }) => startUs !== undefined);
  return alive.slice(1).filter(({ said }) => !said);
}

/** Why a boot ended, by what was heard of it; `cleanUsec`: when it said that it was being shut down. */
export function causeOf(
  { panic, cleanUsec, lastUsec }: Pick<Boot, "panic" | "cleanUsec" | "lastUsec">,
): End | "power" {
  if (panic) return "panic";
  return cleanUsec !== undefined && lastUsec - cleanUsec <= shutdownUsMax ? "clean" : "power";
}
