/**
 * A few numbers for each device, in one array: a hundred thousand devices are looked up, changed and
 * saved at each batch, so that neither may cost an object, nor a row, for each.
 *
 * Devices get slots in the order in which they are first heard of. What is saved, numbers as base64 of
 * doubles, little endian:
 *
 * | key | value |
 * |-----|-------|
 * | `NNNNNNNN`, a page of 64 slots | the devices' names, a space between two, `\n`, the numbers slot by slot |
 * | `jNNNNNNNN`, one batch since | for each slot that changed: the slot, and its numbers |
 *
 * When the batches since have become many, or a device is new, the pages are saved, and these go.
 */
import { Buffer } from "node:buffer";
import { limits } from "../shared/limits.ts";
import type { FactStore, Kept } from "./facts.ts";

const slotsInPage = 64;

export class DeviceTable implements Kept {
  /** Those of a slot begin at `slot * columns`; `touch` it after a change. Renewed as devices come. */
  numbers: Float64Array;
  readonly names: string[] = [];
  /** Devices that are too many to be kept. */
  untracked = 0;
  readonly #slots = new Map<string, number>();
  /** By slot: 1 if it changed in this batch. */
  #touched: Uint8Array;
  #batch: number[] = [];
  /** Pages that changed since they were saved. */
  readonly #pages = new Set<number>();
  #hasNew = false;
  /** Batches since the pages were saved, and the numbers in them. */
  #journal = 0;
  #journalled = 0;

  constructor(readonly kind: string, readonly columns: number, store: FactStore) {
    const saved = [...store.all(kind)];
    const slots = Math.max(1, saved.length) * slotsInPage;
    this.numbers = new Float64Array(slots * columns);
    this.#touched = new Uint8Array(slots);
    for (const [key, text] of saved) {
      if (key.startsWith("j")) this.#loadBatch(text);
      else this.#loadPage(text);
    }
  }

  /** -1 for a device that isn't known. */
  find(name: string): number {
    return this.#slots.get(name) ?? -1;
  }

  /** The slot of a new device, all its numbers 0; -1 if there are too many. */
  add(name: string): number {
    const slot = this.names.length;
    if (slot >= limits.watchedDevicesMax) {
      this.untracked++;
      return -1;
    }
    if (slot === this.#touched.length) this.#grow();
    // A piece of a frame's text must not hold on to all of it.
    this.#name(Buffer.from(name, "latin1").toString("latin1"));
    this.#hasNew = true;
    this.touch(slot);
    return slot;
  }

  touch(slot: number): void {
    if (this.#touched[slot] === 1) return;
    this.#touched[slot] = 1;
    this.#batch.push(slot);
  }

  *changed(): Generator<[key: string, value: string | undefined]> {
    if (this.#batch.length === 0) return;
    if (!this.#isDue()) return yield [journalKey(this.#journal), this.#formatBatch()];
    const pages = new Set([...this.#pages, ...this.#batch.map(pageOf)]);
    for (const page of pages) yield [keyOf(page), this.#formatPage(page)];
    for (let i = 0; i < this.#journal; i++) yield [journalKey(i), undefined];
  }

  saved(): void {
    if (this.#batch.length === 0) return;
    if (this.#isDue()) {
      this.#pages.clear();
      this.#journal = this.#journalled = 0;
    } else {
      for (const slot of this.#batch) this.#pages.add(pageOf(slot));
      this.#journal++;
      this.#journalled += this.#batch.length;
    }
    for (const slot of this.#batch) this.#touched[slot] = 0;
    this.#batch = [];
    this.#hasNew = false;
  }

  /** Batches are read back at the start: of more numbers than there are, pages are cheaper. */
  #isDue(): boolean {
    return this.#hasNew || this.#journalled + this.#batch.length > this.names.length;
  }

  #name(name: string): void {
    this.#slots.set(name, this.names.length);
    this.names.push(name);
  }

  #loadPage(text: string): void {
    const end = text.indexOf("\n");
    this.numbers.set(doubles(text.slice(end + 1)), this.names.length * this.columns);
    for (const name of text.slice(0, end).split(" ")) this.#name(name);
  }

  #loadBatch(text: string): void {
    const all = doubles(text);
    const width = this.columns + 1;
    for (let at = 0; at < all.length; at += width) {
      const slot = all[at]!;
      this.numbers.set(all.subarray(at + 1, at + width), slot * this.columns);
      this.#pages.add(pageOf(slot));
    }
    this.#journal++;
    this.#journalled += all.length / width;
  }

  #formatPage(page: number): string {
    const from = page * slotsInPage;
    const names = this.names.slice(from, from + slotsInPage);
    const end = from + names.length;
    const numbers = this.numbers.subarray(from * this.columns, end * this.columns);
    return `${names.join(" ")}\n${base64(numbers)}`;
  }

  #formatBatch(): string {
    const width = this.columns + 1;
    const all = new Float64Array(this.#batch.length * width);
    for (const [i, slot] of this.#batch.entries()) {
      const from = slot * this.columns;
      all[i * width] = slot;
      all.set(this.numbers.subarray(from, from + this.columns), i * width + 1);
    }
    return base64(all);
  }

  #grow(): void {
    const numbers = new Float64Array(this.numbers.length * 2);
    numbers.set(this.numbers);
    this.numbers = numbers;
    const touched = new Uint8Array(this.#touched.length * 2);
    touched.set(this.#touched);
    this.#touched = touched;
  }
}

function pageOf(slot: number): number {
  return Math.floor(slot / slotsInPage);
}

function keyOf(number: number): string {
  return String(number).padStart(8, "0");
}

function journalKey(number: number): string {
  return `j${keyOf(number)}`;
}

/** Every machine that runs this is little endian; a file that moves between two is right. */
function base64(numbers: Float64Array): string {
  return Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength).toString("base64");
}

function doubles(text: string): Float64Array {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  return new Float64Array(bytes.buffer);
}
