/**
 * Receive times in, `device_silent` and `device_back` out: a device that wasn't heard for several times
 * as long as it usually isn't.
 *
 * Blocks are only noted; what they mean is told by `look`, once all that is stored has been read: what one
 * receiver has of a device's silence may stand behind all that another one has. All is measured by
 * receive times, so reading the same again says the same, and a grinder that lags behind says nothing
 * that isn't so.
 */
import { limits } from "../shared/limits.ts";
import { type BuiltIn, type BuiltInEvent, eventOf } from "./built_in.ts";
import type { DeviceTable } from "./device_table.ts";
import type { FactStore, Kept } from "./facts.ts";
import type { HeardReceiver, HeardReceivers } from "./heard_receivers.ts";
import { learnUsual, samplesMin, sampleUs } from "./usual_interval.ts";

/** What the device table has in each column. */
export const column = {
  /** The newest receive time. */
  last: 0,
  /** When the present sample began, and the longest gap in it. */
  window: 1,
  worst: 2,
  usual: 3,
  samples: 4,
  /** Index of the receiver that heard it last. */
  receiver: 5,
  /** The `last` of which a silence has been said. */
  said: 6,
  /** The newest kernel time of its present boot: for reboots.ts. */
  bootUsec: 7,
  /** The oldest receive time. */
  first: 8,
};
export const columns = 9;

/** A time in which a device wasn't heard, that is to be judged. */
interface Silence {
  fromUs: number;
  toUs: number;
  /** How long it may have been, by what was usual then. */
  limitUs: number;
  usualUs: number;
  receiver: number;
  said: boolean;
}

/** An agent's heartbeat: that a busy device is silent for some seconds is nothing. */
const usualUsMin = limits.heartbeatMs * 1000;

export class Silences implements Kept {
  readonly kind = "silence";
  /** By name; of nearly all devices there is none. */
  readonly #silences = new Map<string, Silence[]>();
  readonly #changed = new Set<string>();
  #lookedUs = -Infinity;

  constructor(
    private readonly table: DeviceTable,
    private readonly receivers: HeardReceivers,
    store: FactStore,
    private options: BuiltIn,
  ) {
    for (const [device, text] of store.all(this.kind)) {
      this.#silences.set(device, JSON.parse(text));
    }
  }

  use(options: BuiltIn): void {
    this.options = options;
  }

  /** Takes note of a block of the device in this slot. */
  heard(slot: number, receiver: HeardReceiver, recvUs: number): void {
    const { numbers } = this.table;
    const at = slot * columns;
    this.table.touch(slot);
    const lastUs = numbers[at + column.last]!;
    if (lastUs === 0) return this.#first(at, receiver, recvUs);
    if (recvUs <= lastUs) return this.#earlier(slot, receiver.index, recvUs);
    const gapUs = recvUs - lastUs;
    const from = numbers[at + column.receiver]!;
    if (gapUs >= this.#limitUs(at)) this.#note(slot, from, lastUs, recvUs);
    if (from !== receiver.index) {
      this.receivers.moved(from, receiver);
      numbers[at + column.receiver] = receiver.index;
    }
    numbers[at + column.last] = recvUs;
    if (gapUs > numbers[at + column.worst]!) numbers[at + column.worst] = gapUs;
    if (recvUs - numbers[at + column.window]! >= sampleUs) takeSample(numbers, at, recvUs);
  }

  /** What has become certain by now. To be called only when all that is stored has been read. */
  look(nowUs: number): BuiltInEvent[] {
    const events: BuiltInEvent[] = [];
    for (const [device, silences] of this.#silences) {
      for (const one of silences) events.push(...this.#judge(device, one, nowUs));
      this.#changed.add(device);
    }
    this.#silences.clear();
    if (nowUs - this.#lookedUs >= limits.silenceLookMs * 1000) {
      this.#lookedUs = nowUs;
      for (let slot = 0; slot < this.table.names.length; slot++) {
        events.push(...this.#lookAt(slot, nowUs));
      }
    }
    if (!this.options.deviceSilent) return [];
    return events.sort((a, b) => a.time.wallUs - b.time.wallUs || order(a, b));
  }

  *changed(): Generator<[key: string, value: string | undefined]> {
    for (const device of this.#changed) {
      const silences = this.#silences.get(device);
      yield [device, silences && JSON.stringify(silences)];
    }
  }

  saved(): void {
    this.#changed.clear();
  }

  #first(at: number, receiver: HeardReceiver, recvUs: number): void {
    const { numbers } = this.table;
    for (const time of [column.first, column.last, column.window]) numbers[at + time] = recvUs;
    numbers[at + column.receiver] = receiver.index;
    numbers[at + column.usual] = usualUsMin;
    this.receivers.moved(undefined, receiver);
  }

  /** A device of which little is known isn't judged. */
  #limitUs(at: number): number {
    const { deviceSilent } = this.options;
    const { numbers } = this.table;
    if (!deviceSilent || numbers[at + column.samples]! < samplesMin) return Infinity;
    return Math.max(deviceSilent.atLeastUs, deviceSilent.times * numbers[at + column.usual]!);
  }

  /** The device wasn't heard for longer than its limit, since this receiver had heard it. */
  #note(slot: number, receiver: number, fromUs: number, toUs: number): void {
    const { numbers, names } = this.table;
    const at = slot * columns;
    const said = numbers[at + column.said] === fromUs;
    const usualUs = numbers[at + column.usual]!;
    const limitUs = this.#limitUs(at);
    this.#add(names[slot]!, { fromUs, toUs, limitUs, usualUs, receiver, said });
  }

  #add(device: string, ...added: Silence[]): void {
    const silences = [...this.#silences.get(device) ?? [], ...added];
    this.#silences.set(device, silences.slice(-limits.silencesMax));
    this.#changed.add(device);
  }

  /** Another receiver had heard the device before: a silence is two shorter ones, or none, or new. */
  #earlier(slot: number, receiver: number, recvUs: number): void {
    const { numbers, names } = this.table;
    const firstUs = numbers[slot * columns + column.first]!;
    if (recvUs < firstUs) {
      numbers[slot * columns + column.first] = recvUs;
      if (firstUs - recvUs < this.#limitUs(slot * columns)) return;
      return this.#note(slot, receiver, recvUs, firstUs);
    }
    const device = names[slot]!;
    const silences = this.#silences.get(device);
    const split = silences?.find(({ fromUs, toUs }) => fromUs < recvUs && recvUs < toUs);
    if (!silences || !split) return;
    const parts = [
      { ...split, toUs: recvUs },
      { ...split, fromUs: recvUs, receiver, said: false },
    ];
    const rest = silences.filter((one) => one !== split);
    this.#silences.set(device, rest);
    this.#add(device, ...parts.filter((one) => one.said || one.toUs - one.fromUs >= one.limitUs));
  }

  /** A silence that is over. */
  #judge(device: string, silence: Silence, nowUs: number): BuiltInEvent[] {
    const { fromUs, toUs, usualUs, said } = silence;
    const receiver = this.receivers.at(silence.receiver);
    const atUs = said ? toUs : this.receivers.silentAtUs(receiver, silence, nowUs);
    if (atUs === undefined) return [];
    const value = seconds(toUs - fromUs);
    const back = { value, text: `heard again after ${Math.round(value)} s of silence` };
    const events = said ? [] : [this.#silent(device, fromUs, atUs, usualUs)];
    return [...events, this.#event("device_back", device, toUs, back, toUs)];
  }

  /** A device that hasn't been heard since. */
  #lookAt(slot: number, nowUs: number): BuiltInEvent[] {
    const { numbers, names } = this.table;
    const at = slot * columns;
    const fromUs = numbers[at + column.last]!;
    const limitUs = this.#limitUs(at);
    if (numbers[at + column.said] === fromUs || fromUs + limitUs > nowUs) return [];
    const receiver = this.receivers.at(numbers[at + column.receiver]!);
    const atUs = this.receivers.silentAtUs(receiver, { fromUs, limitUs }, nowUs);
    if (atUs === undefined) return [];
    numbers[at + column.said] = fromUs;
    this.table.touch(slot);
    return [this.#silent(names[slot]!, fromUs, atUs, numbers[at + column.usual]!)];
  }

  #silent(device: string, fromUs: number, atUs: number, usualUs: number): BuiltInEvent {
    const value = seconds(atUs - fromUs);
    const usual = `usually heard every ${Math.round(usualUs / 1e6)} s`;
    const text = `silent for ${Math.round(value)} s, ${usual}`;
    return this.#event("device_silent", device, atUs, { value, text }, fromUs);
  }

  #event(
    name: string,
    device: string,
    wallUs: number,
    said: { value: number; text: string },
    recvUs: number,
  ): BuiltInEvent {
    const header = { device, boot: "-", recvUs };
    // A receiver that is right is so within what NTP is off, and a block takes its way.
    return eventOf(name, header, said, { wallUs, errorUs: 1_000_000 }, this.options.device);
  }
}

function takeSample(numbers: Float64Array, at: number, recvUs: number): void {
  const gapUs = Math.max(usualUsMin, numbers[at + column.worst]!);
  const samples = numbers[at + column.samples]!;
  numbers[at + column.usual] = Math.round(learnUsual(numbers[at + column.usual]!, samples, gapUs));
  numbers[at + column.samples] = samples + 1;
  numbers[at + column.window] = recvUs;
  numbers[at + column.worst] = 0;
}

function seconds(us: number): number {
  return Math.round(us / 1000) / 1000;
}

function order(a: BuiltInEvent, b: BuiltInEvent): number {
  return a.header.device < b.header.device ? -1 : a.header.device > b.header.device ? 1 : 0;
}
