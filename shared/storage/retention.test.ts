import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { limits } from "../limits.ts";
import { blockText, closeEpochs, frameOf, newEpochOf, Reader } from "./contract.ts";
import { formatCursorNote } from "./cursors.ts";
import { FolderStorage } from "./folder.ts";
import { epochFolder } from "./folder_files.ts";
import { newFolder, removeFolders, segmentsOf } from "./folder_fixtures.ts";
import { FolderNotes } from "./folder_notes.ts";
import { Retention, type RetentionOptions } from "./retention.ts";
import { type Cursors, type EpochName, type EpochWriter, segmentPath } from "./storage.ts";

const dayMs = 86_400_000;

afterEach(closeEpochs);
afterAll(removeFolders);

/** A storage whose clock the test moves; files are as old as they say. */
class Shelf {
  readonly root = newFolder();
  nowMs = Date.UTC(2026, 10, 22, 12);
  readonly reports: string[] = [];
  readonly storage = new FolderStorage(this.root, { nowMs: () => this.nowMs });
  #seq = 0;

  retention(options: Partial<RetentionOptions> = {}): Retention {
    return new Retention(this.root, {
      keepMs: 60 * dayMs,
      now: () => this.nowMs,
      report: (text) => void this.reports.push(text),
      ...options,
    });
  }

  /** So many closed segments, a day between them. */
  async fill(epoch: EpochWriter, segments: number): Promise<void> {
    for (let i = 0; i < segments; i++) {
      await this.commit(epoch);
      this.nowMs += dayMs;
      await epoch.commit([]);
      // The roll wrote `#end` with the disk's own clock.
      this.touch(epoch, this.nowMs - dayMs);
    }
  }

  async commit(epoch: EpochWriter): Promise<void> {
    await epoch.commit([frameOf(blockText("d1", this.#seq++))]);
    this.touch(epoch, this.nowMs);
  }

  async close(epoch: EpochWriter): Promise<void> {
    await epoch.close();
    this.touch(epoch, this.nowMs);
  }

  /** What the disk's own clock has stamped just now gets the test's time. */
  touch(name: EpochName, ms: number): void {
    const folder = epochFolder(this.root, name);
    for (const file of readdirSync(folder)) {
      const path = join(folder, file);
      const isFresh = Math.abs(statSync(path).mtimeMs - Date.now()) < 60_000;
      if (isFresh) utimesSync(path, ms / 1000, ms / 1000);
    }
  }

  numbers(name: EpochName): number[] {
    return segmentsOf(this.root, name).map((file) => parseInt(file));
  }

  async reader(): Promise<Reader> {
    const reader = new Reader(new FolderStorage(this.root, { nowMs: () => this.nowMs }));
    await reader.readOn();
    return reader;
  }

  note(name: string, cursors: Cursors, writtenMs = this.nowMs): Promise<void> {
    return new FolderNotes(this.root).put(name, formatCursorNote({ writtenMs, cursors }));
  }
}

const nothing = { deletedBytes: 0, deletedSegments: 0, heldBack: 0 };

describe("retention", () => {
  test("deletes nothing of a storage that is empty or young", async () => {
    const shelf = new Shelf();
    expect(await shelf.retention().pass()).toEqual(nothing);
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 5);
    await shelf.close(epoch);
    expect(await shelf.retention().pass()).toEqual(nothing);
    expect(shelf.numbers(epoch)).toEqual([0, 1, 2, 3, 4]);
    expect(shelf.reports).toEqual([]);
  });

  test("deletes segments at their age, day by day, and then what is left of the epoch", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 4);
    await shelf.close(epoch);
    const retention = shelf.retention();
    // The first one was written 4 days ago.
    shelf.nowMs += 56 * dayMs - 1;
    const left: number[][] = [];
    for (let day = 0; day < 4; day++) {
      expect((await retention.pass()).deletedSegments).toBe(day === 0 ? 0 : 1);
      left.push(shelf.numbers(epoch));
      shelf.nowMs += dayMs;
    }
    expect(left).toEqual([[0, 1, 2, 3], [1, 2, 3], [2, 3], [3]]);
    await retention.pass();
    // It ended a day after its last segment.
    expect(readdirSync(epochFolder(shelf.root, epoch))).toEqual(["committed"]);
    shelf.nowMs += dayMs;
    await retention.pass();
    expect(existsSync(epochFolder(shelf.root, epoch))).toBe(false);
    expect(await shelf.storage.list(new Map())).toEqual([]);
    expect(shelf.reports).toEqual([]);
  });

  test("deletes what a receiver left that was killed before its first commit", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    writeFileSync(join(shelf.root, segmentPath({ ...epoch, segment: 0 })), "");
    shelf.touch(epoch, shelf.nowMs);
    // No reader has a cursor there.
    await shelf.note("grinder", new Map(), shelf.nowMs + 100 * dayMs);
    shelf.nowMs += 100 * dayMs;
    expect((await shelf.retention().pass()).heldBack).toBe(0);
    expect(existsSync(epochFolder(shelf.root, epoch))).toBe(false);
  });

  test("counts the bytes that it deleted", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 3);
    const bytes = shelf.numbers(epoch).reduce(
      (sum, segment) => sum + statSync(join(shelf.root, segmentPath({ ...epoch, segment }))).size,
      0,
    );
    shelf.nowMs += 100 * dayMs;
    expect(await shelf.retention().pass())
      .toEqual({ deletedBytes: bytes, deletedSegments: 3, heldBack: 0 });
  });

  test("keeps the open segment of an epoch that is alive, however old its beginning is", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 3);
    shelf.nowMs += 100 * dayMs;
    await shelf.commit(epoch);
    await shelf.retention().pass();
    expect(shelf.numbers(epoch)).toEqual([3]);
    expect((await shelf.reader()).of(epoch)).toEqual([blockText("d1", 3)]);
    // A torn `committed` doesn't say which one is open.
    utimesSync(join(shelf.root, segmentPath({ ...epoch, segment: 3 })), 1e9, 1e9);
    writeFileSync(join(epochFolder(shelf.root, epoch), "committed"), "torn");
    shelf.touch(epoch, shelf.nowMs);
    expect(await shelf.retention().pass()).toEqual(nothing);
    expect(shelf.numbers(epoch)).toEqual([3]);
  });

  test("deletes all of an epoch that never ended, once it is old", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 2);
    await shelf.commit(epoch);
    shelf.nowMs += 61 * dayMs;
    expect((await shelf.retention().pass()).deletedSegments).toBe(3);
    expect(readdirSync(join(shelf.root, "segments", "r1"))).toEqual([]);
  });

  test("lets a receiver that was idle for so long go on", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 2);
    const reader = await shelf.reader();
    shelf.nowMs += 100 * dayMs;
    await shelf.retention().pass();
    expect(existsSync(epochFolder(shelf.root, epoch))).toBe(false);
    await shelf.commit(epoch);
    expect(shelf.numbers(epoch)).toEqual([2]);
    expect(await reader.readOn()).toEqual([blockText("d1", 2)]);
    await shelf.close(epoch);
    expect(reader.damage).toEqual([]);
  });

  test("deletes from an epoch's beginning only, though a later segment be older by its file", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 4);
    await shelf.close(epoch);
    const path = join(shelf.root, segmentPath({ ...epoch, segment: 2 }));
    utimesSync(path, 1e9, 1e9);
    expect(await shelf.retention().pass()).toEqual(nothing);
    shelf.nowMs += 57 * dayMs;
    await shelf.retention().pass();
    expect(shelf.numbers(epoch)).toEqual([3]);
  });

  test("goes by the files' own times: a copy is as old as the copy", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 2);
    await shelf.close(epoch);
    shelf.nowMs += 100 * dayMs;
    for (const file of readdirSync(epochFolder(shelf.root, epoch))) {
      utimesSync(join(epochFolder(shelf.root, epoch), file), shelf.nowMs / 1e3, shelf.nowMs / 1e3);
    }
    expect(await shelf.retention().pass()).toEqual(nothing);
    shelf.nowMs += 61 * dayMs;
    expect((await shelf.retention().pass()).deletedSegments).toBe(2);
  });

  test("takes no epoch for older than its name says", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 1);
    await shelf.close(epoch);
    for (const file of readdirSync(epochFolder(shelf.root, epoch))) {
      utimesSync(join(epochFolder(shelf.root, epoch), file), 0, 0);
    }
    shelf.nowMs += 58 * dayMs;
    expect(await shelf.retention().pass()).toEqual(nothing);
  });

  test("takes the oldest first, at most so many in a pass", async () => {
    const shelf = new Shelf();
    const names = ["20260101T000000.000Z-00000001", "20260102T000000.000Z-00000000"];
    for (const [i, epoch] of names.entries()) {
      const folder = epochFolder(shelf.root, { receiver: `r${2 - i}`, epoch });
      mkdirSync(folder, { recursive: true });
      const segments = limits.deletedSegmentsMax * 0.6;
      writeFileSync(join(folder, "committed"), `${String(segments - 1).padStart(8, "0")} 1 end\n`);
      for (let segment = 0; segment < segments; segment++) {
        writeFileSync(join(folder, `${String(segment).padStart(8, "0")}.zst`), "x");
      }
      for (const file of readdirSync(folder)) utimesSync(join(folder, file), 1.7e9, 1.7e9);
    }
    const [first, second] = [{ receiver: "r2", epoch: names[0]! }, {
      receiver: "r1",
      epoch: names[1]!,
    }];
    const retention = shelf.retention();
    expect((await retention.pass()).deletedSegments).toBe(limits.deletedSegmentsMax);
    expect(existsSync(epochFolder(shelf.root, first))).toBe(false);
    const left = shelf.numbers(second);
    expect([left.length, left[0]]).toEqual([
      limits.deletedSegmentsMax * 0.2,
      limits.deletedSegmentsMax * 0.4,
    ]);
    expect((await retention.pass()).deletedSegments).toBe(limits.deletedSegmentsMax * 0.2);
    expect(existsSync(epochFolder(shelf.root, second))).toBe(false);
  });

  test("touches nothing that isn't an epoch's, and leaves a folder with something else in it", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 1);
    await shelf.close(epoch);
    const foreign = join(shelf.root, "segments", "r1", "backup");
    mkdirSync(foreign);
    writeFileSync(join(foreign, "00000000.zst"), "mine");
    writeFileSync(join(epochFolder(shelf.root, epoch), "README"), "mine");
    utimesSync(join(foreign, "00000000.zst"), 1e9, 1e9);
    shelf.nowMs += 100 * dayMs;
    expect((await shelf.retention().pass()).deletedSegments).toBe(1);
    expect(readdirSync(foreign)).toEqual(["00000000.zst"]);
    expect(readdirSync(epochFolder(shelf.root, epoch))).toEqual(["README"]);
    expect(await shelf.retention().pass()).toEqual(nothing);
    expect(shelf.reports).toEqual([]);
  });

  test("may run twice at a time, in several receivers", async () => {
    const shelf = new Shelf();
    const epochs = [await newEpochOf(shelf.storage), await newEpochOf(shelf.storage, "r2")];
    for (const epoch of epochs) await shelf.fill(epoch, 20);
    shelf.nowMs += 100 * dayMs;
    const retentions = [shelf.retention(), shelf.retention(), shelf.retention()];
    const passes = await Promise.all(retentions.map((retention) => retention.pass()));
    expect(passes.reduce((sum, pass) => sum + pass.deletedSegments, 0)).toBe(40);
    expect(shelf.reports).toEqual([]);
    expect(await shelf.storage.list(new Map())).toEqual([]);
  });

  test("goes on where it was killed, and readers see nothing odd in between", async () => {
    // All that a pass deletes, in its order; it may end behind each of them.
    const files = ["00000000.zst", "00000001.zst", "00000002.zst", "committed"];
    for (let done = 0; done <= files.length; done++) {
      const shelf = new Shelf();
      const epoch = await newEpochOf(shelf.storage);
      await shelf.fill(epoch, 3);
      await shelf.close(epoch);
      const folder = epochFolder(shelf.root, epoch);
      for (const file of files.slice(0, done)) unlinkSync(join(folder, file));
      const reader = await shelf.reader();
      expect(reader.of(epoch)).toEqual([0, 1, 2].slice(done).map((seq) => blockText("d1", seq)));
      expect(reader.damage).toEqual([]);
      shelf.nowMs += 100 * dayMs;
      expect((await shelf.retention().pass()).deletedSegments).toBe(Math.max(0, 3 - done));
      expect(existsSync(folder)).toBe(false);
    }
  });

  test("refuses an age that an open segment could have", () => {
    const shelf = new Shelf();
    expect(() => shelf.retention({ keepMs: limits.keepMsMin - 1 })).toThrow(
      "Cannot keep segments so short because it must be at least 60 m: current value is 60 m",
    );
    expect(() => shelf.retention({ keepMs: NaN })).toThrow(RangeError);
    shelf.retention({ keepMs: limits.keepMsMin });
  });

  test("reports once what it can't delete, deletes the rest, and says when it can again", async () => {
    const shelf = new Shelf();
    const stuck = await newEpochOf(shelf.storage);
    shelf.nowMs++;
    const other = await newEpochOf(shelf.storage, "r2");
    for (const epoch of [stuck, other]) await shelf.fill(epoch, 1);
    shelf.nowMs += 100 * dayMs;
    const obstacle = join(epochFolder(shelf.root, stuck), "00000000.zst");
    unlinkSync(obstacle);
    mkdirSync(obstacle);
    writeFileSync(join(obstacle, "file"), "");
    utimesSync(obstacle, 1e9, 1e9);
    const retention = shelf.retention();
    expect((await retention.pass()).deletedSegments).toBe(1);
    await retention.pass();
    expect(shelf.reports.length).toBe(1);
    expect(shelf.reports[0]).toMatch(/^Cannot delete old segments: .*00000000\.zst/);
    rmSync(obstacle, { recursive: true });
    await retention.pass();
    expect(shelf.reports.slice(1)).toEqual(["old segments can be deleted again"]);
  });
});

describe("a reader's cursors", () => {
  async function shelfOf(segments: number) {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, segments);
    await shelf.close(epoch);
    const key = `${epoch.receiver}/${epoch.epoch}`;
    shelf.nowMs += 100 * dayMs;
    return { shelf, epoch, key };
  }

  test("hold back what isn't read, of each reader", async () => {
    const { shelf, epoch, key } = await shelfOf(5);
    await shelf.note("fast", new Map([[key, { segment: 4, offset: 0 }]]));
    await shelf.note("slow", new Map([[key, { segment: 2, offset: 10 }]]));
    const retention = shelf.retention();
    expect(await retention.pass()).toMatchObject({ deletedSegments: 2, heldBack: 3 });
    expect(shelf.numbers(epoch)).toEqual([2, 3, 4]);
    expect(await retention.pass()).toEqual({ ...nothing, heldBack: 3 });
    await shelf.note("slow", new Map([[key, { segment: 5, offset: 0 }]]));
    expect(await retention.pass()).toMatchObject({ deletedSegments: 2, heldBack: 1 });
    await shelf.note("fast", new Map([[key, { segment: 5, offset: 0 }]]));
    await retention.pass();
    expect(existsSync(epochFolder(shelf.root, epoch))).toBe(false);
    expect(shelf.reports).toEqual([]);
  });

  test("hold back a whole epoch that they don't name", async () => {
    const { shelf, epoch } = await shelfOf(2);
    await shelf.note("new", new Map());
    expect(await shelf.retention().pass()).toEqual({ ...nothing, heldBack: 2 });
    expect(shelf.numbers(epoch)).toEqual([0, 1]);
  });

  test("that stand at the end of an epoch that never ended let all of it go", async () => {
    const shelf = new Shelf();
    const epoch = await newEpochOf(shelf.storage);
    await shelf.fill(epoch, 1);
    await shelf.commit(epoch);
    const reader = await shelf.reader();
    shelf.nowMs += 100 * dayMs;
    await shelf.note("mill", reader.cursors);
    expect(await shelf.retention().pass()).toMatchObject({ deletedSegments: 2, heldBack: 0 });
  });

  test("that aren't renewed are given up, with one alarm, until they are", async () => {
    const { shelf, epoch, key } = await shelfOf(3);
    const read = (segment: number) => new Map([[key, { segment, offset: 0 }]]);
    await shelf.note("mill", read(1));
    const retention = shelf.retention();
    await retention.pass();
    shelf.nowMs += limits.cursorAgeMsMax;
    expect(await retention.pass()).toEqual({ ...nothing, heldBack: 2 });
    expect(shelf.reports).toEqual([]);
    shelf.nowMs += 1;
    expect((await retention.pass()).deletedSegments).toBe(2);
    await retention.pass();
    expect(shelf.reports).toEqual([
      "Cannot keep old segments for mill because its cursors must be at most 7 d old: " +
      "it is 7 d old. What it hasn't read is deleted, too; if it is gone, delete cursors/mill",
    ]);
    expect(existsSync(epochFolder(shelf.root, epoch))).toBe(false);
    await shelf.note("mill", read(1));
    await retention.pass();
    await retention.pass();
    expect(shelf.reports.slice(1)).toEqual([
      "mill says again how far it has read, and keeps old segments until it has read them",
    ]);
    shelf.nowMs += limits.cursorAgeMsMax + 1;
    await retention.pass();
    expect(shelf.reports.length).toBe(3);
  });

  test("that are damaged, or from years to come, are given up as well", async () => {
    const { shelf, key } = await shelfOf(2);
    await new FolderNotes(shelf.root).put("torn", "2026-");
    const future = shelf.nowMs + 400 * dayMs;
    await shelf.note("future", new Map([[key, { segment: 0, offset: 0 }]]), future);
    expect((await shelf.retention().pass()).deletedSegments).toBe(2);
    expect(shelf.reports.length).toBe(2);
  });

  test("that can't be read keep everything: nobody knows what they say", async () => {
    const { shelf, epoch } = await shelfOf(2);
    mkdirSync(join(shelf.root, "cursors", "mill"), { recursive: true });
    expect(await shelf.retention().pass()).toEqual(nothing);
    expect(shelf.numbers(epoch)).toEqual([0, 1]);
    expect(shelf.reports.length).toBe(1);
    expect(shelf.reports[0]).toStartWith("Cannot delete old segments: Cannot read cursors/");
  });
});
