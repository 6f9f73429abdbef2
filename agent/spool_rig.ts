/** A disk spool with a test at both its ends: a source that it feeds, and the pipeline's place. */
import { readdirSync } from "node:fs";
import { expect } from "bun:test";
import { limits } from "../shared/limits.ts";
import { type LogRecord, parseGap } from "../shared/record.ts";
import { FakeClock, ordinary, settle, type TemporaryFolder } from "../tests/fixtures.ts";
import { DiskSpool } from "./disk_spool.ts";
import { leftovers } from "./leftovers.ts";
import type { Source } from "./source.ts";
import { SpoolQueue } from "./spool_queue.ts";

export const minute = 60_000;
export const bytesMax = limits.diskSpoolBytesMin;
/** Sixteen of them are an append, and fill a segment of the smallest queue. */
export const text = "x".repeat(4 * 1024);

/** A source whose records the test gives. */
export class FedSource implements Source {
  readonly boot = "b1";
  readonly source = "app:a";
  stream = "s1";
  isSafe = true;
  closed = false;
  #given: Array<LogRecord[] | Error | undefined> = [];
  #wake = () => {};

  give(...what: Array<LogRecord[] | Error | undefined>): void {
    this.#given.push(...what);
    this.#wake();
  }

  async read(): Promise<LogRecord[] | undefined> {
    while (this.#given.length === 0) await new Promise<void>((wake) => this.#wake = wake);
    const next = this.#given.shift();
    if (next instanceof Error) throw next;
    return next;
  }

  get unread(): number {
    return this.#given.length;
  }

  safe(): boolean {
    return this.isSafe;
  }

  close(): void {
    this.closed = true;
    this.give(undefined);
  }
}

export const shown = (record: LogRecord): number | string => {
  if (record.flag !== "g") return record.seq;
  const { first, last, count, cause } = parseGap(record)!;
  expect(count).toBe(Number(last) - first! + 1);
  return `${cause} ${first}-${last}`;
};

/** A source, its spool, and the test in the place of the pipeline. */
export class Rig implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly inner = new FedSource();
  readonly reports: string[] = [];
  readonly spool: DiskSpool;
  nextSeq = 0;
  #reading: Promise<LogRecord[] | undefined> | undefined;

  /** Resolves when nothing is under way between the spool and the disk. */
  #disk: Promise<unknown> = Promise.resolve();

  private constructor(readonly folder: string, readonly queue: SpoolQueue, eager: boolean) {
    const { append, next } = queue;
    queue.append = (entry) => this.#onDisk(append.call(queue, entry));
    queue.next = (reader) => this.#onDisk(next.call(queue, reader));
    const report = (text: string) => this.reports.push(text);
    this.spool = new DiskSpool(this.inner, { queue, clock: this.clock, eager, report });
  }

  static async open(folder: TemporaryFolder, bytes = bytesMax, eager = false): Promise<Rig> {
    const warn = (text: string) => rig.reports.push(text);
    const queue = await SpoolQueue.open(folder.path, { bytesMax: bytes, eager, warn });
    const rig: Rig = new Rig(folder.path, queue, eager);
    return rig;
  }

  #onDisk<T>(work: Promise<T>): Promise<T> {
    this.#disk = Promise.allSettled([this.#disk, work]);
    return work;
  }

  /** The source has so many records more. */
  give(count: number, of = text): void {
    for (let n = 0; n < count; n++) this.inner.give([ordinary(this.nextSeq++, of)]);
  }

  /** The same, in one read. */
  giveTogether(count: number): void {
    if (count === 0) return;
    this.inner.give(Array.from({ length: count }, () => ordinary(this.nextSeq++, text)));
  }

  /** The pipeline has no room, and asks as it does; until all that was given is appended. */
  async spooled(offlineMs = 2 * minute): Promise<void> {
    this.spool.safe(offlineMs);
    do await this.idle(); while (this.inner.unread > 0 && this.spool.safe(offlineMs));
  }

  /** Time for what gathers, and for the disk. */
  async idle(): Promise<void> {
    for (let n = 0; n < 8; n++) {
      await this.clock.advance(limits.offlineFlushMs / 4);
      await this.quiet();
    }
  }

  async quiet(): Promise<void> {
    for (let disk; disk !== this.#disk; await settle()) await (disk = this.#disk);
  }

  /** What comes until nothing more does. */
  async taken(): Promise<Array<number | string>> {
    const found: LogRecord[] = [];
    for (;;) {
      this.#reading ??= this.spool.read();
      const waited = this.idle().then(() => "nothing" as const);
      const some = await Promise.race([this.#reading, waited]);
      if (some === "nothing") break;
      this.#reading = undefined;
      if (!some) break;
      expect(some.length).toBeGreaterThan(0);
      found.push(...some);
      await waited;
    }
    return found.map(shown);
  }

  get files(): string[] {
    return readdirSync(this.folder);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.queue.close();
  }
}

export const seqs = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => from + n);

/** What a run finds that another one has left: each source's names, and what it says. */
export async function shipLeftovers(queue: SpoolQueue): Promise<Array<Array<number | string>>> {
  const found: Array<Array<number | string>> = [];
  for await (const source of leftovers(queue, "b2")) {
    expect([source.boot, source.over]).toEqual(["b1", true]);
    const one: LogRecord[] = [];
    for (let some = await source.read(); some; some = await source.read()) one.push(...some);
    found.push([`${source.source} ${source.stream}`, ...one.map(shown)]);
    await source.acknowledged(one.findLast(({ flag }) => flag === "-")?.seq ?? -1);
  }
  return found;
}
