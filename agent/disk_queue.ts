/**
 * Records in, the same records out after a power failure: an append-only, bounded queue on disk. An
 * append is durable when it resolves; what is acknowledged is deleted, a segment at a time.
 *
 *     FOLDER/NNNNNNNN.queue     a segment: entries, one after the other; never appended to by two runs
 *     FOLDER/acknowledged.json  {"segment":N,"offset":N}: everything before is acknowledged
 *
 * What an entry is stands in queue_entry.ts. One whose checksum doesn't hold is passed over and counted;
 * reading goes on at the next that does. At the end of the last segment it is what a kill cut off: it was never durable, and is no loss.
 */
import { Buffer } from "node:buffer";
import { type FileHandle, mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { DurableJson } from "../shared/durable_json.ts";
import { limits } from "../shared/limits.ts";
import { isMeta } from "../shared/record.ts";
import { entriesIn, type Entry, formatEntry } from "./queue_entry.ts";
import type { StreamNames } from "./source.ts";

/** A place between two entries. */
export interface Place {
  segment: number;
  offset: number;
}

export interface QueuedEntry extends Entry {
  /** Where the next entry begins: to be acknowledged when this one and all before it are. */
  end: Place;
}

/** Ordinary records of one stream that went with a segment. */
export interface Dropped {
  names: StreamNames;
  first: number;
  last: number;
  count: number;
}

export class QueueError extends Error {
  override name = "QueueError";
  /** `queue_full`: again later. `queue_broken`: the disk didn't take it; again later, too. */
  constructor(readonly code: "queue_full" | "queue_broken", message: string, cause?: unknown) {
    super(message, { cause });
  }
}

export interface DiskQueueOptions {
  bytesMax?: number;
  segmentBytes?: number;
  warn?: (text: string) => void;
}

interface Waiting {
  bytes: Buffer;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class DiskQueue implements AsyncDisposable {
  readonly bytesMax: number;
  readonly #segmentBytes: number;
  readonly #warn: (text: string) => void;
  readonly #saved: DurableJson<Place>;
  /** Durable bytes of each segment, oldest first. */
  readonly #segments = new Map<number, number>();
  #acknowledged: Place = { segment: 0, offset: 0 };
  /** The segment that is appended to. */
  #file: FileHandle | undefined;
  #last = -1;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #writing = false;
  #wake = Promise.withResolvers<void>();
  #broken = false;
  /** Bytes that were passed over because they are damaged. */
  damagedBytes = 0;

  private constructor(readonly folder: string, options: DiskQueueOptions) {
    this.bytesMax = options.bytesMax ?? limits.diskQueueBytesMax;
    this.#segmentBytes = options.segmentBytes ?? limits.diskQueueSegmentBytes;
    this.#warn = options.warn ?? (() => {});
    this.#saved = new DurableJson(join(folder, "acknowledged.json"), {
      check: checkPlace,
      unreadable: "What is queued is sent again.",
      unsaved: "What is queued may be sent twice.",
      warn: this.#warn,
    });
  }

  /** Opens the queue that a folder holds, or a new one. One process at a time. */
  static async open(folder: string, options: DiskQueueOptions = {}): Promise<DiskQueue> {
    const queue = new DiskQueue(folder, options);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await queue.#load();
    return queue;
  }

  /** On disk and not acknowledged, or about to be: whole entries, with what is around the records. */
  get bytes(): number {
    let bytes = this.#waitingBytes;
    for (const [segment, length] of this.#segments) bytes += length - this.#from(segment);
    return bytes;
  }

  /** Where the oldest entry begins that isn't acknowledged. */
  get start(): Place {
    return this.#acknowledged;
  }

  /** Resolves at the next append or acknowledgement. */
  changed(): Promise<void> {
    return this.#wake.promise;
  }

  /**
   * Adds entries; resolves when they are durable, all together or none: those who append while a sync
   * is running share the next one. Throws `QueueError` when there is no room, or the disk fails.
   */
  append(entries: Entry[]): Promise<void> {
    const bytes = Buffer.concat(entries.map(formatEntry));
    if (this.bytes + bytes.length > this.bytesMax) {
      const message = `Cannot queue more because at most ${this.bytesMax} bytes are: ` +
        `${this.bytes} bytes are waiting`;
      return Promise.reject(new QueueError("queue_full", message));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ bytes, resolve, reject });
    this.#waitingBytes += bytes.length;
    if (!this.#writing) void this.#writeAll();
    return promise;
  }

  /** Durable entries from a place on: at least one if there is one, else some `bytesMax` of them. */
  async read(from: Place, bytesMax: number = limits.flushBytes): Promise<QueuedEntry[]> {
    const entries: QueuedEntry[] = [];
    let bytes = 0;
    for (const [segment, length] of [...this.#segments]) {
      if (segment < from.segment) continue;
      const offset = segment === from.segment ? from.offset : 0;
      if (offset >= length) continue;
      const text = await this.#text(segment, offset, length);
      for (const entry of entriesIn(text, (damaged) => this.#damaged(segment, damaged))) {
        entries.push({ ...entry, end: { segment, offset: offset + entry.end } });
        if (bytes + entry.end >= bytesMax) return entries;
      }
      bytes += text.length;
    }
    return entries;
  }

  /** Everything before this place is done with: never read again, and deleted when it may be. */
  async acknowledge(place: Place): Promise<void> {
    if (!isBefore(this.#acknowledged, place)) return;
    this.#acknowledged = place;
    await this.#saved.save(place);
    // Only what is said to be done with on disk goes.
    for (const [segment, length] of [...this.#segments]) {
      if (segment === this.#last && this.#file) continue;
      if (segment > place.segment || (segment === place.segment && place.offset < length)) continue;
      this.#segments.delete(segment);
      await rm(this.#path(segment), { force: true });
    }
    this.#notify();
  }

  /** Closed segments, oldest first: what `drop` takes. */
  get closedSegments(): number[] {
    return [...this.#segments.keys()].filter((segment) => segment !== this.#last || !this.#file);
  }

  /**
   * Deletes a closed segment that isn't acknowledged, where the caller wants its room. Returns what
   * is lost by it, for gap records.
   */
  async drop(segment: number): Promise<Dropped[]> {
    const lost = new Map<string, Dropped>();
    const length = this.#segments.get(segment) ?? 0;
    const from = Math.min(this.#from(segment), length);
    const text = await this.#text(segment, from, length);
    for (const { names, records } of entriesIn(text, (bytes) => this.#damaged(segment, bytes))) {
      for (const { seq } of records.filter(({ flag }) => !isMeta(flag))) {
        const key = `${names.source} ${names.stream}`;
        const known = lost.get(key);
        if (known) [known.last, known.count] = [seq, known.count + 1];
        else lost.set(key, { names, first: seq, last: seq, count: 1 });
      }
    }
    this.#segments.delete(segment);
    await rm(this.#path(segment), { force: true });
    this.#notify();
    return [...lost.values()];
  }

  /** What was appended stays; nothing can be appended any more. */
  async close(): Promise<void> {
    while (this.#writing) await this.changed();
    await this.#file?.close();
    this.#file = undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #load(): Promise<void> {
    this.#acknowledged = await this.#saved.load() ?? this.#acknowledged;
    const names = (await readdir(this.folder)).filter((name) => /^\d{8}\.queue$/.test(name)).sort();
    for (const name of names) {
      const segment = Number.parseInt(name, 10);
      const text = await readFile(join(this.folder, name));
      // What a kill cut off is behind the last entry that is whole.
      let length = 0;
      for (const { end } of entriesIn(text, () => {})) length = end;
      this.#segments.set(segment, name === names.at(-1) ? length : text.length);
      this.#last = segment;
    }
    // No number comes twice. The first is 1: the place before all segments is 0.
    this.#last = Math.max(this.#last, this.#acknowledged.segment);
    // It may have been killed between the position and the deletion.
    for (const [segment, length] of [...this.#segments]) {
      if (length > this.#from(segment)) continue;
      this.#segments.delete(segment);
      await rm(this.#path(segment), { force: true });
    }
  }

  /** The acknowledged bytes of a segment. */
  #from(segment: number): number {
    const { segment: acknowledged, offset } = this.#acknowledged;
    if (segment > acknowledged) return 0;
    return segment === acknowledged ? offset : Infinity;
  }

  async #writeAll(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      const bytes = Buffer.concat(batch.map((one) => one.bytes));
      try {
        await this.#write(bytes);
        this.#waitingBytes -= bytes.length;
        for (const { resolve } of batch) resolve();
      } catch (error) {
        this.#waitingBytes -= bytes.length;
        await this.#giveUp(error);
        const message = `Cannot write to ${this.folder}: ${(error as Error).message}`;
        for (const { reject } of batch) reject(new QueueError("queue_broken", message, error));
      }
      this.#notify();
    }
    this.#writing = false;
    this.#notify();
  }

  async #write(bytes: Buffer): Promise<void> {
    const file = this.#file ?? await this.#nextSegment();
    const length = this.#segments.get(this.#last)!;
    for (let at = 0; at < bytes.length;) {
      at += (await file.write(bytes, at, bytes.length - at, length + at)).bytesWritten;
    }
    await file.datasync();
    this.#segments.set(this.#last, length + bytes.length);
    if (this.#broken) this.#warn(`${this.folder} is written again`);
    this.#broken = false;
    if (length + bytes.length < this.#segmentBytes) return;
    this.#file = undefined;
    await file.close();
  }

  async #nextSegment(): Promise<FileHandle> {
    const file = await open(this.#path(this.#last + 1), "wx", 0o600);
    this.#last++;
    this.#segments.set(this.#last, 0);
    this.#file = file;
    // The name must be as durable as what is written under it.
    const folder = await open(this.folder, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    return file;
  }

  /** After a failed sync nobody knows what of it is on disk: the segment ends where it was durable. */
  async #giveUp(error: unknown): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (!this.#broken) this.#warn(`Cannot write to ${this.folder}: ${(error as Error).message}`);
    this.#broken = true;
    await file?.truncate(this.#segments.get(this.#last)).catch(() => {});
    await file?.close().catch(() => {});
  }

  async #text(segment: number, from: number, to: number): Promise<Buffer> {
    let file;
    try {
      file = await open(this.#path(segment), "r");
      const buffer = Buffer.alloc(to - from);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, from);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      this.#warn(`Cannot read ${this.#path(segment)}: ${(error as Error).message}`);
      return Buffer.alloc(0);
    } finally {
      await file?.close();
    }
  }

  #damaged(segment: number, bytes: number): void {
    this.damagedBytes += bytes;
    this.#warn(`${this.#path(segment)} is damaged: ${bytes} bytes are passed over`);
  }

  #path(segment: number): string {
    return join(this.folder, `${String(segment).padStart(8, "0")}.queue`);
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }
}

function checkPlace(value: unknown): Place {
  const { segment, offset } = value as Place;
  const good = [segment, offset].every((n) => Number.isSafeInteger(n) && n >= 0);
  if (!good) throw new Error("it isn't a place");
  return { segment, offset };
}

function isBefore(a: Place, b: Place): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.offset < b.offset);
}
