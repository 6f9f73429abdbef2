import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../shared/limits.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import {
  type EpochWriter,
  type Extent,
  segmentPath,
  type Storage,
} from "../../shared/storage/storage.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { block, lines, noonUs } from "../fixtures.ts";
import { type Progress, selectExtents, selectFrames } from "./select_frames.ts";

const minuteUs = 60e6;

/** A storage whose receivers commit a block a minute; a segment is closed every 11 minutes. */
class Stored extends TemporaryFolder implements AsyncDisposable {
  nowUs = noonUs;
  readonly storage = new FolderStorage(this.path, { nowMs: () => this.nowUs / 1000 });
  readonly #epochs: EpochWriter[] = [];
  #reads = 0;

  async [Symbol.asyncDispose](): Promise<void> {
    for (const epoch of this.#epochs) await epoch.close();
    this[Symbol.dispose]();
  }

  async epoch(receiver: string): Promise<EpochWriter> {
    const epoch = await this.storage.createEpoch(receiver);
    this.#epochs.push(epoch);
    return epoch;
  }

  async commit(epoch: EpochWriter, commits: number, everyUs = minuteUs): Promise<void> {
    for (let commit = 0; commit < commits; commit++) {
      this.nowUs += everyUs;
      const text = block(lines(0, 9), { recvUs: this.nowUs });
      await epoch.commit([compressFrame(Buffer.from(text))]);
    }
  }

  /** The same, with its reads counted. */
  get counted(): Pick<Storage, "list" | "read"> {
    const { storage } = this;
    return {
      list: (after) => storage.list(after),
      read: (...args) => (this.#reads++, storage.read(...args)),
    };
  }

  get reads(): number {
    return this.#reads;
  }
}

async function minutesOf(storage: Stored["counted"], sinceMin: number, untilMin: number) {
  const range = { sinceUs: noonUs + sinceMin * minuteUs, untilUs: noonUs + untilMin * minuteUs };
  const minutes: number[] = [];
  for await (const { text } of selectFrames(storage, range)) {
    const recvUs = text && Number(text.split(" ")[5]);
    if (recvUs) minutes.push((recvUs - noonUs) / minuteUs);
  }
  return minutes;
}

function from(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

describe("selectFrames", () => {
  test("gives what was received in the range, and at most a minute around it", async () => {
    await using stored = new Stored();
    const epoch = await stored.epoch("r1");
    await stored.commit(epoch, 100);
    for (
      const [since, until] of [[0, 101], [1, 2], [37, 53], [11, 12], [95, 200], [50, 51]] as const
    ) {
      const minutes = await minutesOf(stored.storage, since, until);
      const [first, last] = [Math.max(1, since - 1), Math.min(100, until)];
      expect([since, until, ...minutes]).toEqual([since, until, ...from(first, last)]);
    }
    expect(await minutesOf(stored.storage, -50, -10)).toEqual([]);
    expect(await minutesOf(stored.storage, 150, 200)).toEqual([]);
    await epoch.close();
    expect(await minutesOf(stored.storage, 98, 101)).toEqual([97, 98, 99, 100]);
  });

  test("takes all receivers' epochs, one after the other", async () => {
    await using stored = new Stored();
    for (const receiver of ["r1", "r2"]) {
      stored.nowUs = noonUs;
      await stored.commit(await stored.epoch(receiver), 30);
    }
    expect(await minutesOf(stored.storage, 20, 22)).toEqual([19, 20, 21, 22, 19, 20, 21, 22]);
  });

  test("looks into few segments of many, and reads none that has nothing in the range", async () => {
    await using stored = new Stored();
    const old = await stored.epoch("r1");
    await stored.commit(old, 64, 12 * minuteUs);
    const epoch = await stored.epoch("r1");
    await stored.commit(epoch, 64, 12 * minuteUs);
    expect(await stored.storage.list(new Map())).toHaveLength(128);
    const range = { sinceUs: noonUs + 1_000 * minuteUs, untilUs: noonUs + 1_020 * minuteUs };
    const extents = await selectExtents(stored.counted, range);
    expect(extents.map((extent) => [extent.epoch, extent.segment])).toEqual(
      // Of minutes 996, 1008 and 1020.
      [18, 19, 20].map((segment) => [epoch.epoch, segment]),
    );
    expect(stored.reads).toBeLessThan(16);
  });

  test("asks an epoch nothing that began behind the range", async () => {
    await using stored = new Stored();
    stored.nowUs = noonUs + 500 * minuteUs;
    await stored.commit(await stored.epoch("r1"), 5);
    expect(await minutesOf(stored.counted, 0, 490)).toEqual([]);
    expect(stored.reads).toBe(0);
  });

  test("gets by damaged and emptied segments, and gives the damage", async () => {
    await using stored = new Stored();
    const epoch = await stored.epoch("r1");
    await stored.commit(epoch, 100);
    const extents = await stored.storage.list(new Map());
    const spoil = (extent: Extent, text: string) =>
      writeFileSync(join(stored.path, segmentPath(extent)), text);
    // Where bisecting looks first.
    spoil(extents[4]!, "");
    spoil(extents[5]!, "x".repeat(extents[5]!.length));
    const minutes = await minutesOf(stored.storage, 0, 101);
    expect(minutes.length).toBeGreaterThan(70);
    expect(minutes.at(-1)).toBe(100);
    expect(await minutesOf(stored.storage, 80, 90)).toEqual(from(79, 90));
    const damages: string[] = [];
    for await (const read of selectFrames(stored.storage, { sinceUs: 0, untilUs: 2 * noonUs })) {
      if (read.damage !== undefined) damages.push(read.damage);
    }
    // In the one that is empty there is nothing to be damaged.
    expect(damages.length).toBe(1);
  });

  test("tells how much of it has been read, to the end", async () => {
    await using stored = new Stored();
    await stored.commit(await stored.epoch("r1"), 50);
    const told: Progress[] = [];
    const range = { sinceUs: noonUs + 20 * minuteUs, untilUs: noonUs + 30 * minuteUs };
    for await (const _ of selectFrames(stored.storage, range, (progress) => told.push(progress)));
    const bytes = (await selectExtents(stored.storage, range)).reduce(
      (sum, e) => sum + e.length,
      0,
    );
    expect(told.at(-1)).toEqual({ storedBytes: bytes, storedBytesTotal: bytes });
    expect(told.map((p) => p.storedBytes)).toEqual(
      told.map((p) => p.storedBytes).toSorted((a, b) => a - b),
    );
    expect(limits.recvDisorderMs * 1000).toBe(minuteUs);
  });
});
