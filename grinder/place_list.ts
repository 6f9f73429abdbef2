/**
 * Where a boot's newest kmsg records stand in the storage: the last `tailFramesMax` frames, oldest first.
 * There is a list for each device, so it is kept as flat as can be: five numbers for each frame.
 *
 * As text, for the state: `RECEIVER/EPOCH SEGMENT OFFSET LENGTH FIRST_USEC LAST_USEC;...`, without the
 * epoch where it is the one before.
 */
import { limits } from "../shared/limits.ts";
import { epochKey, type EpochName } from "../shared/storage/storage.ts";

/** A frame in the storage. */
export interface FramePlace extends EpochName {
  segment: number;
  offset: number;
  length: number;
}

/** A frame with records of a boot, and the kernel's clock at the first and the last of them. */
export interface Place extends FramePlace {
  firstUsec: number;
  lastUsec: number;
}

/** Epoch (its place in `epochs`) and segment as one number; offset; length; first and last usec. */
const columns = 5;
const segmentsMax = 2 ** 32;
const disorderUs = limits.kernelDisorderMs * 1000;

export class PlaceList {
  #numbers: Float64Array<ArrayBuffer> = new Float64Array(columns);
  /** Frames that were added, those that others have taken the place of included. */
  #added = 0;

  static decode(text: string): PlaceList {
    const list = new PlaceList();
    let epoch: string | undefined;
    for (const part of text === "" ? [] : text.split(";")) {
      const fields = part.split(" ");
      if (fields.length === 6) epoch = fields.shift();
      const [receiver, name] = epoch!.split("/") as [string, string];
      const [segment, offset, length, firstUsec, lastUsec] = fields.map(Number) as Numbers;
      list.add({ receiver, epoch: name, segment, offset, length }, firstUsec, lastUsec);
    }
    return list;
  }

  encode(): string {
    let before: string | undefined;
    return this.#all().map(({ firstUsec, lastUsec, ...frame }) => {
      const key = epochKey(frame);
      const epoch = key === before ? "" : `${key} `;
      before = key;
      return `${epoch}${frame.segment} ${frame.offset} ${frame.length} ${firstUsec} ${lastUsec}`;
    }).join(";");
  }

  get size(): number {
    return Math.min(this.#added, limits.tailFramesMax);
  }

  add(frame: FramePlace, firstUsec: number, lastUsec: number): void {
    let at = columns * (this.#added++ % limits.tailFramesMax);
    if (at === this.#numbers.length) this.#grow();
    const numbers = this.#numbers;
    numbers[at++] = epochNumber(frame) * segmentsMax + frame.segment;
    numbers[at++] = frame.offset;
    numbers[at++] = frame.length;
    numbers[at++] = firstUsec;
    numbers[at++] = lastUsec;
  }

  /** Those in which records of that time may be: ends are known, and between them order is loose. */
  within(least: number, most: number): Place[] {
    const from = least - disorderUs;
    const to = most + disorderUs;
    return this.#all().filter(({ firstUsec, lastUsec }) => firstUsec <= to && lastUsec >= from);
  }

  #all(): Place[] {
    const { size } = this;
    return Array.from({ length: size }, (_, i) => {
      const at = columns * ((this.#added - size + i) % limits.tailFramesMax);
      const [where, offset, length, firstUsec, lastUsec] = this.#numbers.subarray(
        at,
        at + columns,
      ) as unknown as Numbers;
      const [receiver, epoch] = epochs[Math.floor(where / segmentsMax)]!;
      return { receiver, epoch, segment: where % segmentsMax, offset, length, firstUsec, lastUsec };
    });
  }

  #grow(): void {
    const most = columns * limits.tailFramesMax;
    const grown = new Float64Array(Math.min(2 * this.#numbers.length, most));
    grown.set(this.#numbers);
    this.#numbers = grown;
  }
}

type Numbers = [number, number, number, number, number];

/** Epochs by number: there is one for each start of a receiver. */
const epochs: Array<[receiver: string, epoch: string]> = [];
const epochNumbers = new Map<string, number>();
let newest: FramePlace | undefined;
let newestNumber = 0;

function epochNumber(frame: FramePlace): number {
  if (frame === newest) return newestNumber;
  const key = epochKey(frame);
  let number = epochNumbers.get(key);
  if (number === undefined) {
    number = epochs.push([frame.receiver, frame.epoch]) - 1;
    epochNumbers.set(key, number);
  }
  newest = frame;
  return newestNumber = number;
}
