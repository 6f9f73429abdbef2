/**
 * A receiver's data and what was acknowledged in; what is lost and what is there twice out. It trusts
 * nobody: segments are read from their first byte, and each block's text is compared with what its
 * device said.
 */
import { readBlocks } from "../../shared/block.ts";
import type { BlockHeader } from "../../shared/block.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { deviceName } from "./devices.ts";
import type { LogFrames } from "./frames.ts";

/** What a generator writes at its end: of device `first` and those that follow. */
export interface Outcome {
  first: number;
  /** Seqs of which all were acknowledged: the first, and the one behind the last. */
  acked: Array<[from: number, end: number]>;
  doneMs?: number[];
}

export interface Verdict {
  ackedRecords: number;
  storedRecords: number;
  /** Acknowledged and not stored. */
  lost: number;
  /** Stored more than once: resends, or we have a bug. */
  doubled: number;
  /** Blocks whose text isn't what the device said. */
  wrong: number;
  /** Frames that can't be read, and texts under no header. */
  damaged: number;
  textBytes: number;
  /** On disk. */
  segmentBytes: number;
}

export async function checkStored(
  data: string,
  frames: LogFrames,
  outcomes: Outcome[],
): Promise<Verdict> {
  const stored = new Stored(frames);
  for await (const read of readNew(new FolderStorage(data), new Map())) {
    if (read.damage !== undefined) stored.damaged++;
    stored.segmentBytes += read.length;
    const text = read.text ?? "";
    stored.textBytes += text.length;
    for (const block of readBlocks(text, () => stored.damaged++)) {
      stored.add(block.header, block.text);
    }
  }
  const ackedRecords = outcomes.flatMap((one) => one.acked)
    .reduce((sum, [from, end]) => sum + end - from, 0);
  const { damaged, wrong, textBytes, segmentBytes } = stored;
  return {
    ackedRecords,
    storedRecords: stored.records,
    lost: outcomes.reduce((sum, outcome) => sum + stored.missing(outcome), 0),
    doubled: stored.records - stored.distinct(),
    wrong,
    damaged,
    textBytes,
    segmentBytes,
  };
}

/** No benchmark writes so much. */
const seqsMax = 10_000_000;

class Stored {
  readonly #seqs = new Map<string, IntervalSet>();
  /** Devices say the same at other times: what they must have said, by its seqs. */
  readonly #expected = new Map<string, string>();
  records = 0;
  wrong = 0;
  damaged = 0;
  textBytes = 0;
  segmentBytes = 0;

  constructor(private readonly frames: LogFrames) {}

  add({ device, first, last, count }: BlockHeader, text: string): void {
    // Before its text is made: a header may say anything.
    const possible = first <= last && last < seqsMax;
    if (!possible || text !== this.#text(first, last) || count !== last - first + 1) {
      return void this.wrong++;
    }
    this.records += count;
    let seqs = this.#seqs.get(device);
    if (!seqs) this.#seqs.set(device, seqs = new IntervalSet());
    seqs.add(first, last);
  }

  distinct(): number {
    return [...this.#seqs.values()].reduce((sum, seqs) => sum + seqs.count, 0);
  }

  missing({ first, acked }: Outcome): number {
    return acked.reduce((sum, [from, end], i) => {
      if (end === from) return sum;
      const wanted = new IntervalSet();
      wanted.add(from, end - 1);
      const seqs = this.#seqs.get(deviceName(first + i));
      return sum + (seqs ? wanted.subtract(seqs).count : wanted.count);
    }, 0);
  }

  #text(first: number, last: number): string {
    const key = `${first}-${last}`;
    let text = this.#expected.get(key);
    if (text === undefined) this.#expected.set(key, text = this.frames.text(first, last));
    return text;
  }
}
