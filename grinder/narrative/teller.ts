/**
 * One device's records in their order in, entries out: what is to be said between them as well, and each
 * thing once. All of them go through, since what is said of one depends on those before; only those of
 * the range come out.
 */
import type { BlockHeader } from "../../shared/block.ts";
import { isMeta } from "../../shared/record.ts";
import type { BootClocks } from "../boot_clocks.ts";
import type { WallTime } from "../clock_fit.ts";
import type { TimeRange } from "../history/time_range.ts";
import type { Item } from "./boot_queue.ts";
import { BootsTold } from "./boots_told.ts";
import type { DatedItem } from "./device_order.ts";
import type { Entry } from "./entry.ts";
import { LastWords } from "./last_words.ts";
import type { Margin } from "./margin.ts";
import type { Missing } from "./missing.ts";

export interface TellerOptions {
  device: string;
  /** Of the time when things happened. */
  range: TimeRange;
  clocks: Pick<BootClocks, "wallTime">;
  missing: Missing;
  margin: Margin;
}

export class Teller {
  readonly #boots: BootsTold;
  readonly #words = new LastWords();
  /** The kernel's clock at what was told of each boot. */
  #hasBegun = false;
  readonly #toldUsec = new Map<string, number>();

  constructor(private readonly options: TellerOptions) {
    this.#boots = new BootsTold(options.device);
  }

  tell({ item, time }: DatedItem): Entry[] {
    const { sinceUs, untilUs } = this.options.range;
    const entries = this.#tell(item, time);
    const isIn = time.wallUs >= sinceUs && time.wallUs < untilUs;
    if (!isIn || entries.length === 0) return [];
    const [{ device, boot, kind }] = entries as [Entry];
    // Of which boot it is, the first time as well.
    if (!this.#hasBegun && kind !== "boot") {
      entries.unshift({ kind: "boot", device, boot, time, again: false });
    }
    this.#hasBegun = true;
    return entries;
  }

  #tell(item: Item, time: WallTime): Entry[] {
    const { header, record } = item;
    const of = { device: header.device, boot: header.boot, time };
    const ofStream = { ...of, source: header.source, stream: header.stream };
    if (item.step) return [...this.#boot(item, time), { kind: "clock", ...of, step: item.step }];
    if (record.flag === "g" && header.source !== "raw") {
      const gap = this.options.missing.gap(header, record);
      return gap ? [...this.#boot(item, time), { kind: "gap", ...ofStream, gap }] : [];
    }
    return this.#record(item, time, ofStream);
  }

  #record(
    item: Item,
    time: WallTime,
    of: Pick<BlockHeader, "device" | "boot" | "source" | "stream"> & { time: WallTime },
  ): Entry[] {
    const { header, record, place } = item;
    const isRaw = header.source === "raw";
    if (!isRaw && !this.#words.isNew(header.boot, header.stream, record)) return [];
    const entries = this.#boot(item, time);
    const hole = isRaw || record.flag === "p"
      ? undefined
      : this.options.missing.hole(header, record);
    if (hole) entries.push({ kind: "hole", ...of, ...hole });
    const { rules, end } = this.options.margin.of(record);
    if (end) this.#boots.ended(record.usec, end);
    entries.push({ kind: "record", ...of, record, place, rules, late: this.#isLate(item) });
    return entries;
  }

  #boot({ header, record }: Item, time: WallTime): Entry[] {
    const { boot, recvUs } = header;
    const startOf = () => this.options.clocks.wallTime(header, 0, recvUs);
    const entry = this.#boots.next(boot, record.usec, time, startOf);
    return entry ? [entry] : [];
  }

  #isLate({ header, record }: Item): boolean {
    if (header.source === "raw" || isMeta(record.flag)) return false;
    const toldUsec = this.#toldUsec.get(header.boot) ?? 0;
    if (record.usec >= toldUsec) this.#toldUsec.set(header.boot, record.usec);
    return record.usec < toldUsec;
  }
}
