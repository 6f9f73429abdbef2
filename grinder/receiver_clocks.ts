/**
 * How far the clocks of receivers are off: by the devices that say they are synchronised. One device may
 * be wrong; if most of them are late or early by the same, it is the receiver.
 */
import { limits } from "../shared/limits.ts";
import type { ClockSync } from "../shared/record.ts";
import { Cached } from "./cached.ts";
import { promptUsMax } from "./clock_fit.ts";
import type { FactStore, Kept } from "./facts.ts";

interface Receiver {
  /** By device, the one that was heard longest ago first: how much later the receiver's clock was. */
  lagsUs: Map<string, number>;
  /** How many of these are more than the network's, or less than none. */
  odd: number;
  skewUs: number;
}

/** Receivers are few. */
const receiversCachedMax = 1_000;

/** Devices can't be ahead of a receiver that is right by more than NTP is off. */
const aheadUsMax = 100_000;
/** What a record is on its way, as a rule. */
const wayUs = 50_000;

export class ReceiverClocks implements Kept {
  readonly kind = "receiver_clock";
  readonly #receivers: Cached<Receiver>;

  constructor(store: FactStore) {
    this.#receivers = new Cached((name) => {
      const text = store.load(this.kind, name);
      return text === undefined ? undefined : decode(text);
    }, receiversCachedMax);
  }

  /** To be taken off the receive times of this receiver's blocks; asked for once for each frame. */
  skewUs(receiver: string): number {
    return this.#receivers.get(receiver)?.skewUs ?? 0;
  }

  /** Takes note of a sync record; `recvUs` is as the receiver wrote it. */
  sync(receiver: string, device: string, { wallUs, synced }: ClockSync, recvUs: number): void {
    if (!synced) return;
    const known = this.#receivers.get(receiver) ?? { lagsUs: new Map(), odd: 0, skewUs: 0 };
    take(known, device, recvUs - wallUs);
    this.#receivers.set(receiver, known);
  }

  *changed(): Generator<[key: string, value: string]> {
    for (const [name, { lagsUs }] of this.#receivers.changed()) {
      yield [name, JSON.stringify([...lagsUs])];
    }
  }

  saved(): void {
    this.#receivers.saved();
  }
}

function decode(text: string): Receiver {
  const receiver = { lagsUs: new Map<string, number>(), odd: 0, skewUs: 0 };
  for (const [device, lagUs] of JSON.parse(text)) take(receiver, device, lagUs);
  return receiver;
}

function take(receiver: Receiver, device: string, lagUs: number): void {
  const { lagsUs } = receiver;
  const [oldest] = lagsUs.keys();
  const full = lagsUs.size >= limits.receiverSamplesMax && !lagsUs.has(device);
  forget(receiver, full ? oldest! : device);
  lagsUs.set(device, lagUs);
  receiver.odd += Number(isOdd(lagUs));
  // Nearly always most are usual, and their median needn't be looked for.
  receiver.skewUs = 2 * receiver.odd > lagsUs.size ? skewOf([...lagsUs.values()]) : 0;
}

function forget(receiver: Receiver, device: string): void {
  const { lagsUs } = receiver;
  const lagUs = lagsUs.get(device);
  if (lagUs === undefined) return;
  lagsUs.delete(device);
  receiver.odd -= Number(isOdd(lagUs));
}

/** A lag of less than two seconds may as well be the network's. */
function isOdd(lagUs: number): boolean {
  return lagUs < -aheadUsMax || lagUs > promptUsMax;
}

function skewOf(lagsUs: number[]): number {
  if (lagsUs.length < limits.receiverSamplesMin) return 0;
  const median = lagsUs.sort((a, b) => a - b)[lagsUs.length >> 1]!;
  return isOdd(median) ? Math.round(median - wayUs) : 0;
}
