/**
 * The frames of a stretch and their blocks in, one after the other; a part of the index out. Blocks are
 * hundreds of thousands a second: of each only three numbers are written down, behind those of the one
 * before; whose they are is sorted out at the end.
 */
import type { Cursor } from "../../shared/storage/storage.ts";
import { nameHash } from "../reading/name_hash.ts";
import { type BootFrames, bucketCount, bucketOf, type IndexedFrame, type Part } from "./part.ts";

/** A device's boot, as blocks name them; the last two are the builder's own notes. */
export interface BootName {
  device: string;
  boot: string;
  /** `DEVICE BOOT` */
  clockKey: string;
  indexBuilder?: PartBuilder | undefined;
  indexSlot?: number;
}

const blocksFirst = 4_096;

export class PartBuilder {
  storedBytes = 0;
  to: Cursor;
  readonly frames: IndexedFrame[] = [];
  /** Whether no block of the newest frame has come. */
  #isNew = false;
  readonly #slots = new Map<string, number>();
  readonly #boots: Array<Pick<BootFrames, "device" | "boot">> = [];
  /** Of each block: the slot of its boot, its frame, the lowest usec of its records. */
  #blockSlots = new Uint32Array(blocksFirst);
  #blockFrames = new Uint32Array(blocksFirst);
  #blockUsecs = new Float64Array(blocksFirst);
  #blocks = 0;

  constructor(readonly epoch: string, readonly from: Cursor, readonly begunMs: number) {
    this.to = from;
  }

  /** Blocks in it. */
  get size(): number {
    return this.#blocks;
  }

  /** The next frame; the blocks that follow are in it. */
  frame(segment: number, offset: number, length: number): void {
    this.#dropEmpty();
    this.frames.push({ segment, offset, length, recvUs: 0 });
    this.storedBytes += length;
    this.#isNew = true;
  }

  /** `firstUsec` is 0 where it isn't known. */
  block(name: BootName, recvUs: number, firstUsec: number): void {
    const frame = this.frames.length - 1;
    if (this.#isNew) {
      this.frames[frame]!.recvUs = recvUs;
      this.#isNew = false;
    }
    const at = this.#blocks++;
    if (at === this.#blockSlots.length) this.#grow();
    this.#blockSlots[at] = name.indexBuilder === this ? name.indexSlot! : this.#slot(name);
    this.#blockFrames[at] = frame;
    this.#blockUsecs[at] = firstUsec;
  }

  /** The part, and its boots by bucket. */
  get part(): { part: Part; buckets: BootFrames[][] } {
    this.#dropEmpty();
    const boots = this.#bootFrames();
    const devices = new Set(boots.map(({ device }) => device));
    const buckets: BootFrames[][] = Array.from({ length: bucketCount(devices.size) }, () => []);
    for (const boot of boots) buckets[bucketOf(boot.device, buckets.length)]!.push(boot);
    const { epoch, from, to, frames } = this;
    const maxRecvUs = frames.reduce((most, { recvUs }) => Math.max(most, recvUs), 0);
    const minRecvUs = frames.reduce((least, { recvUs }) => Math.min(least, recvUs), maxRecvUs);
    return { part: { epoch, from, to, minRecvUs, maxRecvUs, buckets: buckets.length }, buckets };
  }

  /** Names keep this builder in mind until they are met again: what it holds goes now. */
  clear(): void {
    this.#slots.clear();
    for (const array of [this.#boots, this.frames]) array.length = 0;
    this.#blockSlots = this.#blockFrames = new Uint32Array();
    this.#blockUsecs = new Float64Array();
  }

  #bootFrames(): BootFrames[] {
    const all: BootFrames[] = this.#boots.map((boot) => ({
      ...boot,
      firstUsec: Infinity,
      frames: [],
    }));
    for (let at = 0; at < this.#blocks; at++) {
      const boot = all[this.#blockSlots[at]!]!;
      const frame = this.#blockFrames[at]!;
      boot.firstUsec = Math.min(boot.firstUsec, this.#blockUsecs[at]!);
      if (boot.frames.at(-1) !== frame) boot.frames.push(frame);
    }
    return all;
  }

  #slot(name: BootName): number {
    let slot = this.#slots.get(name.clockKey);
    if (slot === undefined) {
      slot = this.#boots.push({ device: name.device, boot: nameHash(name.boot) }) - 1;
      this.#slots.set(name.clockKey, slot);
    }
    name.indexBuilder = this;
    return name.indexSlot = slot;
  }

  /** A frame in which no block was readable. */
  #dropEmpty(): void {
    if (this.#isNew) this.frames.pop();
    this.#isNew = false;
  }

  #grow(): void {
    const length = 2 * this.#blocks;
    const [slots, frames, usecs] = [this.#blockSlots, this.#blockFrames, this.#blockUsecs];
    (this.#blockSlots = new Uint32Array(length)).set(slots);
    (this.#blockFrames = new Uint32Array(length)).set(frames);
    (this.#blockUsecs = new Float64Array(length)).set(usecs);
  }
}
