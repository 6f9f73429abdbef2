/**
 * When receivers were heard from, by the blocks that they stored: a device can't be heard while its
 * receiver is down. A receiver gives no sign of life of its own; so if all its devices fall silent at
 * once, it is taken to be the receiver.
 */
import type { FactStore, Kept } from "./facts.ts";
import { limits } from "../shared/limits.ts";
import { learnUsual, samplesMin, sampleUs } from "./usual_interval.ts";

export interface HeardReceiver {
  index: number;
  name: string;
  /** The newest receive time. */
  lastUs: number;
  usualUs: number;
  samples: number;
  windowUs: number;
  worstUs: number;
  /** Devices that were heard by this one last, now and at most. */
  devices: number;
  devicesMost: number;
  /** Oldest first. */
  outages: Array<[fromUs: number, toUs: number]>;
}

/** Of fewer devices it isn't surprising that all are silent at once. */
const fleetMin = 3;
/** Fewer than one in so many are left: the others have gone elsewhere, so all could have. */
const leftShare = 10;
/** Shorter outages no device notices that sends a heartbeat each half minute. */
const outageUsMin = 10e6;
const outageTimes = 5;

export class HeardReceivers implements Kept {
  readonly kind = "receiver";
  readonly #receivers: HeardReceiver[] = [];
  readonly #byName = new Map<string, HeardReceiver>();
  readonly #changed = new Set<HeardReceiver>();
  #newestUs = 0;

  constructor(store: FactStore) {
    for (const [, text] of store.all(this.kind)) this.#add(JSON.parse(text));
  }

  named(name: string): HeardReceiver {
    const known = this.#byName.get(name);
    if (known) return known;
    const none = { lastUs: 0, usualUs: 0, samples: 0, windowUs: 0, worstUs: 0, outages: [] };
    const index = this.#receivers.length;
    return this.#add({ index, name, ...none, devices: 0, devicesMost: 0 });
  }

  at(index: number): HeardReceiver {
    return this.#receivers[index]!;
  }

  /** Takes note of a block; a device that was heard elsewhere before, or nowhere, came here with it. */
  heard(receiver: HeardReceiver, recvUs: number): void {
    this.#changed.add(receiver);
    const gapUs = recvUs - receiver.lastUs;
    if (gapUs <= 0) return;
    if (receiver.lastUs === 0) receiver.windowUs = recvUs;
    else if (gapUs > outageUs(receiver)) {
      receiver.outages.push([receiver.lastUs, recvUs]);
      if (receiver.outages.length > limits.receiverOutagesMax) receiver.outages.shift();
    }
    if (receiver.lastUs > 0) receiver.worstUs = Math.max(receiver.worstUs, gapUs);
    receiver.lastUs = recvUs;
    this.#newestUs = Math.max(this.#newestUs, recvUs);
    if (recvUs - receiver.windowUs >= sampleUs) takeSample(receiver);
  }

  moved(from: number | undefined, to: HeardReceiver): void {
    if (from !== undefined) this.at(from).devices--;
    to.devicesMost = Math.max(to.devicesMost, ++to.devices);
  }

  /**
   * When a device was silent for `limitUs` while it could have been heard, if it was: by this receiver,
   * after `fromUs`, and until `toUs`, or until the receiver itself was heard last.
   */
  silentAtUs(
    receiver: HeardReceiver,
    { fromUs, toUs, limitUs }: { fromUs: number; toUs?: number; limitUs: number },
    nowUs: number,
  ): number | undefined {
    const { lastUs, outages, devices, devicesMost } = receiver;
    if (devicesMost < fleetMin) return stretch(fromUs, toUs ?? nowUs, limitUs, []);
    if (toUs !== undefined) return stretch(fromUs, toUs, limitUs, outages);
    const left = devices * leftShare <= devicesMost;
    if (!left) return stretch(fromUs, lastUs, limitUs, outages);
    // The others went elsewhere when this one fell silent: so much later this one was to be heard there.
    return stretch(fromUs, this.#newestUs, limitUs, [...outages, [lastUs, lastUs]]);
  }

  *changed(): Generator<[key: string, value: string]> {
    for (const receiver of this.#changed) {
      yield [String(receiver.index).padStart(8, "0"), JSON.stringify(receiver)];
    }
  }

  saved(): void {
    this.#changed.clear();
  }

  #add(receiver: HeardReceiver): HeardReceiver {
    this.#receivers.push(receiver);
    this.#byName.set(receiver.name, receiver);
    this.#newestUs = Math.max(this.#newestUs, receiver.lastUs);
    return receiver;
  }
}

function outageUs({ usualUs, samples }: HeardReceiver): number {
  return samples < samplesMin ? outageUsMin : Math.max(outageUsMin, outageTimes * usualUs);
}

function takeSample(receiver: HeardReceiver): void {
  receiver.usualUs = learnUsual(receiver.usualUs, receiver.samples, receiver.worstUs);
  receiver.samples++;
  receiver.windowUs = receiver.lastUs;
  receiver.worstUs = 0;
}

/** The end of the first stretch of this length without an outage. */
function stretch(
  fromUs: number,
  toUs: number,
  limitUs: number,
  outages: ReadonlyArray<readonly [fromUs: number, toUs: number]>,
): number | undefined {
  let startUs = fromUs;
  for (const [downUs, upUs] of outages) {
    if (Math.min(downUs, toUs) - startUs >= limitUs) return startUs + limitUs;
    startUs = Math.max(startUs, upUs);
  }
  return toUs - startUs >= limitUs ? startUs + limitUs : undefined;
}
