/**
 * Blocks and what stands out in them in, built-in events out (see built_in.ts): all that is watched of
 * devices, as one. In the order in which it is stored: `frame` for each frame, `block` for each block,
 * then its sync records and its ends; `look` whenever all has been read, for what no record says.
 */
import type { BlockHeader } from "../shared/block.ts";
import { type ClockSync, type LogRecord, syncRecord } from "../shared/record.ts";
import { BootClocks, type ClockBoot } from "./boot_clocks.ts";
import { type BuiltIn, type BuiltInEvent, stepEvent } from "./built_in.ts";
import { DeviceTable } from "./device_table.ts";
import type { Place } from "./event.ts";
import type { FactStore, Kept } from "./facts.ts";
import { type HeardReceiver, HeardReceivers } from "./heard_receivers.ts";
import { type End, Reboots } from "./reboots.ts";
import { ReceiverClocks } from "./receiver_clocks.ts";
import { columns, Silences } from "./silence.ts";

/** A clock sync record. */
export type HeardSync = ClockSync & Pick<LogRecord, "seq" | "usec">;

const nothing: readonly BuiltInEvent[] = [];

export class BuiltInEvents {
  readonly clocks: BootClocks;
  /** What is to be saved with each batch. */
  readonly kept: readonly Kept[];
  readonly #table: DeviceTable;
  readonly #receivers: HeardReceivers;
  readonly #receiverClocks: ReceiverClocks;
  readonly #silences: Silences;
  readonly #reboots: Reboots;
  #receiver!: HeardReceiver;
  #skewUs = 0;
  /** Of the present block. */
  #slot = -1;

  constructor(store: FactStore, private options: BuiltIn) {
    this.clocks = new BootClocks(store);
    this.#table = new DeviceTable("devices", columns, store);
    this.#receivers = new HeardReceivers(store);
    this.#receiverClocks = new ReceiverClocks(store);
    this.#silences = new Silences(this.#table, this.#receivers, store, options);
    this.#reboots = new Reboots(this.#table, this.clocks, store, options);
    this.kept = [
      this.clocks,
      this.#table,
      this.#receivers,
      this.#receiverClocks,
      this.#silences,
      this.#reboots,
    ];
    this.use(options);
  }

  /** Other options, from now on. */
  use(options: BuiltIn): void {
    this.options = options;
    this.clocks.stepUsMin = options.clockStep?.atLeastUs ?? Infinity;
    this.#silences.use(options);
    this.#reboots.use(options);
  }

  /** A frame that this receiver stored follows. */
  frame(receiver: string): void {
    this.#receiver = this.#receivers.named(receiver);
    this.#skewUs = this.#receiverClocks.skewUs(receiver);
  }

  /**
   * Takes note that a receiver was heard at a time: of blocks that come later, in another order than they
   * were received in. Times are rising.
   */
  heardAt(receiver: string, recvUs: number): void {
    const us = recvUs - this.#receiverClocks.skewUs(receiver);
    this.#receivers.heard(this.#receivers.named(receiver), us);
  }

  /** When a block was received, by a clock that is right: what `clocks` is to be asked with. */
  recvUs({ recvUs }: Pick<BlockHeader, "recvUs">): number {
    return recvUs - this.#skewUs;
  }

  /** Where a device is in the table, as long as this lives; below 0 if there are too many. */
  slotOf(device: string): number {
    const known = this.#table.find(device);
    return known >= 0 ? known : this.#table.add(device);
  }

  /**
   * Takes note of a block of any kind, one that came before too: `lastUsec` of its last record, or 0.
   * Who knows its device's slot spares a search.
   */
  block(header: BlockHeader, lastUsec: number, slot = this.slotOf(header.device)): void {
    const recvUs = this.recvUs(header);
    this.#slot = slot;
    this.#receivers.heard(this.#receiver, recvUs);
    if (slot >= 0) {
      this.#silences.heard(slot, this.#receiver, recvUs);
      if (header.boot === "-" || this.#reboots.heard(slot, header, lastUsec)) return;
    }
    // Of the present boot there are sync records: this would add nothing.
    if (header.boot !== "-") this.clocks.received(header, lastUsec, recvUs);
  }

  /**
   * Takes note of a sync record of the present block; gives what is to be said in its place. `boot` is
   * whose it is, as far as the caller knows more of it than the header.
   */
  sync(
    header: BlockHeader,
    sync: HeardSync,
    placeOf: () => Place,
    boot: ClockBoot = header,
  ): readonly BuiltInEvent[] {
    const { usec } = sync;
    this.#receiverClocks.sync(this.#receiver.name, header.device, sync, header.recvUs);
    this.#skewUs = this.#receiverClocks.skewUs(this.#receiver.name);
    const recvUs = this.recvUs(header);
    const step = this.clocks.sync(boot, usec, sync, recvUs);
    const known = this.#slot >= 0;
    const early = known ? this.#reboots.sync(this.#slot, header, usec, recvUs) : undefined;
    if (!step && !early) return nothing;
    const said = early ? [early] : [];
    if (!step) return said;
    const time = this.clocks.wallTime(boot, usec, recvUs);
    const at = { header, record: syncRecord(sync.seq, usec, sync), place: placeOf() };
    return [...said, stepEvent(at, step, time, this.options.device)];
  }

  /** Takes note of a record of the present block that one of `endRules` matches, */
  ended(header: BlockHeader, usec: number, end: End): void {
    if (this.#slot >= 0 && header.boot !== "-") this.#reboots.ended(this.#slot, header, usec, end);
  }

  /** ... or an operator's rule. */
  matched(header: BlockHeader, usec: number, rule: string): void {
    const { reboot } = this.options;
    if (reboot?.panic.includes(rule)) this.ended(header, usec, "panic");
    else if (reboot?.clean.includes(rule)) this.ended(header, usec, "clean");
  }

  /** What has become certain by now, all that is stored having been read. */
  look(nowUs: number): BuiltInEvent[] {
    return [...this.#reboots.look(nowUs), ...this.#silences.look(nowUs)];
  }
}
