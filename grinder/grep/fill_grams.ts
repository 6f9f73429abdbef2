/**
 * Closed hot segments that the index knows no grams of in, those written down out, segment by segment;
 * and what isn't stored any more taken away. All cores decode; what is damaged is left to who reads.
 */
import { limits } from "../../shared/limits.ts";
import { epochKey, type Extent, type Storage } from "../../shared/storage/storage.ts";
import type { ClockRecord, GramGroup, GramTable } from "../index/gram_table.ts";
import { FramePipe } from "./frame_pipe.ts";
import { type FrameGrams, GramScanner, unpackGrams } from "./gram_scanner.ts";
import { fold, unite } from "./grams.ts";
import { HotReads } from "./hot_reads.ts";
import { HotTasks, type Task } from "./tasks.ts";

export interface FillGramsOptions {
  storage: Storage;
  grams: GramTable;
  /** Other threads; 0: all is done in this one. */
  threads: number;
  warn: (text: string) => void;
}

export interface FilledGrams {
  /** Of segments that were read. */
  storedBytes: number;
  textBytes: number;
  /** Of what was written down, clock records left out. */
  bitsBytes: number;
}

/** Throws `StorageError`. */
export async function fillGrams(options: FillGramsOptions): Promise<FilledGrams> {
  const { storage, grams, threads, warn } = options;
  const epochs = Map.groupBy(await storage.list(new Map()), epochKey);
  const isStored = (epoch: string, segment: number) =>
    epochs.get(epoch)?.some((extent) => extent.segment === segment) ?? false;
  grams.remove((epoch, segment) => !isStored(epoch, segment));
  await using pipe = new FramePipe<FrameGrams>({
    work: new GramScanner(),
    module: new URL("./gram_thread.ts", import.meta.url),
    data: {},
    unpack: unpackGrams,
    nothing: { recvUs: NaN, clocks: [], bits: new Uint8Array(0) },
    threads,
    warn,
  });
  const filled: FilledGrams = { storedBytes: 0, textBytes: 0, bitsBytes: 0 };
  for (const [epoch, extents] of epochs) {
    const known = grams.segments(epoch);
    const isNew = ({ segment, final }: Extent) => final && !known.has(segment);
    await fillEpoch(pipe, epoch, extents.filter(isNew), options, filled);
  }
  return filled;
}

async function fillEpoch(
  pipe: FramePipe<FrameGrams>,
  epoch: string,
  extents: readonly Extent[],
  { storage, grams }: FillGramsOptions,
  filled: FilledGrams,
): Promise<void> {
  const tasks = new HotTasks<FrameGrams>(HotReads.of(storage, extents), () => {});
  const lengths = new Map(extents.map(({ segment, length }) => [segment, length]));
  let segment: SegmentGrams | undefined;
  const end = () => {
    const groups = segment?.end(lengths.get(segment.segment)!) ?? [];
    if (groups.length > 0) grams.add(groups);
    for (const { bits } of groups) filled.bitsBytes += bits.length;
  };
  for await (const { task, found } of pipe.of(tasks)) {
    const number = task.read!.segment;
    if (number !== segment?.segment) {
      end();
      segment = new SegmentGrams(epoch, number);
    }
    segment!.take(task, found);
    filled.storedBytes += task.storedBytes;
    filled.textBytes += task.frame?.textBytes ?? 0;
  }
  end();
}

/** One segment's frames in, one after the other, its groups out. */
class SegmentGrams {
  readonly #groups: GramGroup[] = [];
  #open: { group: GramGroup; clocks: ClockRecord[]; textBytes: number } | undefined;
  #at = 0;
  #isWhole = true;

  constructor(private readonly epoch: string, readonly segment: number) {}

  take({ offset, storedBytes, frame }: Task<FrameGrams>, found: FrameGrams): void {
    if (storedBytes === 0) return;
    this.#isWhole &&= frame !== undefined && offset === this.#at;
    this.#at = offset + storedBytes;
    if (!frame) return;
    if ((this.#open?.textBytes ?? 0) + frame.textBytes > limits.gramTextBytes) this.#close();
    const open = this.#open ??= this.#begin(offset, found.bits.length);
    unite(open.group.bits, found.bits);
    for (const clock of found.clocks) open.clocks.push(clock);
    open.textBytes += frame.textBytes;
    open.group.to = this.#at;
    if (found.recvUs > open.group.recvUs) open.group.recvUs = found.recvUs;
  }

  /** None if the segment isn't that long, or something in it couldn't be read. */
  end(length: number): readonly GramGroup[] {
    this.#close();
    return this.#isWhole && this.#at === length ? this.#groups : [];
  }

  #begin(from: number, bytes: number) {
    const { epoch, segment } = this;
    const clocks: ClockRecord[] = [];
    const bits = new Uint8Array(bytes);
    return {
      group: { epoch, segment, from, to: from, recvUs: 0, bits, clocks },
      clocks,
      textBytes: 0,
    };
  }

  #close(): void {
    if (!this.#open) return;
    const { group } = this.#open;
    this.#groups.push({ ...group, bits: fold(group.bits) });
    this.#open = undefined;
  }
}
