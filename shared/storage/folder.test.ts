import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { limits } from "../limits.ts";
import { decodeSegment } from "../segment_reader.ts";
import {
  blockText,
  closeEpochs,
  frameOf,
  newEpochOf,
  Reader,
  storageContract,
} from "./contract.ts";
import { FolderStorage } from "./folder.ts";
import { epochFolder } from "./folder_files.ts";
import {
  committedOf,
  newFolder,
  readAll,
  removeFolders,
  segmentsOf,
  silentMs,
} from "./folder_fixtures.ts";
import { formatCommitted, parseCommitted, segmentPath } from "./storage.ts";

afterEach(closeEpochs);
afterAll(removeFolders);

storageContract("a folder", () => {
  const root = newFolder();
  // Behind the files' own times, so that moving it doesn't make a live epoch look silent.
  let nowMs = Date.now() - 1_000 * 86_400_000;
  const options = { nowMs: () => nowMs++ };
  return Promise.resolve({
    storage: new FolderStorage(root, options),
    reopen: () => Promise.resolve(new FolderStorage(root, options)),
    cleanup: () => Promise.resolve(rmSync(root, { recursive: true, force: true })),
    advanceMs: (ms: number) => void (nowMs += ms),
    deleteSegment: (at: Parameters<typeof segmentPath>[0]) =>
      Promise.resolve(unlinkSync(join(root, segmentPath(at)))),
  });
});

describe("the file `committed`", () => {
  test("is `NNNNNNNN LENGTH`, and ` end` behind it at the close", async () => {
    const root = newFolder();
    const storage = new FolderStorage(root, {
      nowMs: () => Date.UTC(2026, 10, 22, 20, 21, 34, 123),
      random: () => 0.625,
    });
    const epoch = await newEpochOf(storage);
    expect(epoch.epoch).toBe("20261122T202134.123Z-a0000000");
    expect(committedOf(root, epoch)).toBe("00000000 0\n");
    const frame = frameOf(blockText("d1", 1));
    await epoch.commit([frame, frame]);
    // The last line counts.
    expect(committedOf(root, epoch)).toBe(`00000000 0\n00000000 ${2 * frame.length}\n`);
    await epoch.close();
    // `#end` takes 18 bytes.
    expect(committedOf(root, epoch)).toBe(`00000000 ${2 * frame.length + 18} end\n`);
    expect(readdirSync(epochFolder(root, epoch)).sort()).toEqual(["00000000.zst", "committed"]);
  });

  test("reads back, and is nothing else", () => {
    const all = [
      { segment: 0, length: 0, ended: false },
      { segment: 12_345_678, length: 268_435_456, ended: true },
      { segment: 123_456_789, length: 1, ended: false },
    ];
    for (const committed of all) {
      expect(parseCommitted(formatCommitted(committed))).toEqual(committed);
    }
    expect(formatCommitted(all[1]!)).toBe("12345678 268435456 end\n");
    for (
      const torn of [
        "",
        "0",
        "00000000 12",
        "00000000 12 en\n",
        "0 12\n",
        "00000000  1\n",
        "\0\0\0",
      ]
    ) {
      expect([torn, parseCommitted(torn)]).toEqual([torn, undefined]);
    }
  });

  test("never has half a line, stays short, and its last line counts", async () => {
    const root = newFolder();
    const epoch = await newEpochOf(new FolderStorage(root));
    const reader = new Reader(new FolderStorage(root));
    const lengths: number[] = [];
    for (let seq = 0; seq < 600; seq++) {
      await epoch.commit([frameOf(blockText("d1", seq))]);
      const text = committedOf(root, epoch);
      lengths.push(text.length);
      const { size } = statSync(join(epochFolder(root, epoch), "00000000.zst"));
      expect(text).toEndWith(`00000000 ${size}\n`);
      if (seq % 50 === 0) await reader.readOn();
    }
    expect(Math.max(...lengths)).toBeLessThanOrEqual(limits.committedBytesMax);
    // It was begun anew, and not each time.
    expect(lengths.filter((length, i) => length < (lengths[i - 1] ?? 0)).length).toBe(2);
    await reader.readOn();
    expect(reader.of(epoch)).toEqual(lengths.map((_, seq) => blockText("d1", seq)));
    await epoch.close();
    expect(committedOf(root, epoch)).toMatch(/^00000000 \d+ end\n$/);
  });

  test("that is torn shows nothing while the epoch may be alive, and everything later", async () => {
    const root = newFolder();
    const storage = new FolderStorage(root);
    const epoch = await newEpochOf(storage);
    const texts = [1, 2].map((seq) => blockText("d1", seq));
    await epoch.commit([frameOf(texts[0]!)]);
    for (const torn of ["", "00000000", "\0".repeat(11)]) {
      writeFileSync(join(epochFolder(root, epoch), "committed"), torn);
      expect((await readAll(root, epoch)).of(epoch)).toEqual([]);
      expect((await readAll(root, epoch, silentMs)).of(epoch)).toEqual([texts[0]!]);
    }
    unlinkSync(join(epochFolder(root, epoch), "committed"));
    expect((await readAll(root, epoch)).of(epoch)).toEqual([]);
    expect((await readAll(root, epoch, silentMs)).of(epoch)).toEqual([texts[0]!]);
    // The next commit repairs it.
    await epoch.commit([frameOf(texts[1]!)]);
    expect((await readAll(root, epoch)).of(epoch)).toEqual(texts);
    await epoch.close();
  });

  test("that is torn lets a silent epoch of several segments be read in order", async () => {
    const root = newFolder();
    let nowMs = Date.now();
    const epoch = await newEpochOf(new FolderStorage(root, { nowMs: () => nowMs }));
    const texts = [1, 2, 3].map((seq) => blockText("d1", seq));
    for (const text of texts) {
      await epoch.commit([frameOf(text)]);
      nowMs += limits.segmentAgeMsMax + 1;
    }
    writeFileSync(join(epochFolder(root, epoch), "committed"), "");
    const reader = await readAll(root, epoch, silentMs);
    expect(reader.of(epoch)).toEqual(texts);
    expect(await reader.readOn()).toEqual([]);
  });
});

describe("a reader of a live epoch", () => {
  test("reads nothing behind the committed length; once it is silent, all of it", async () => {
    const root = newFolder();
    const epoch = await newEpochOf(new FolderStorage(root));
    const [kept, behind, next] = [1, 2, 3].map((seq) => blockText("d1", seq));
    await epoch.commit([frameOf(kept!)]);
    appendFileSync(join(root, segmentPath({ ...epoch, segment: 0 })), frameOf(behind!));
    writeFileSync(join(root, segmentPath({ ...epoch, segment: 1 })), frameOf(next!));
    const live = await readAll(root, epoch);
    expect(live.of(epoch)).toEqual([kept!]);
    expect(await live.readOn()).toEqual([]);
    const silent = await readAll(root, epoch, silentMs);
    expect(silent.of(epoch)).toEqual([kept!, behind!, next!]);
    expect(await silent.readOn()).toEqual([]);
  });

  test("tells of a silent epoch's cut frame once", async () => {
    const root = newFolder();
    const epoch = await newEpochOf(new FolderStorage(root));
    await epoch.commit([frameOf(blockText("d1", 1))]);
    const cut = frameOf(blockText("d1", 2)).subarray(0, 30);
    appendFileSync(join(root, segmentPath({ ...epoch, segment: 0 })), cut);
    const reader = await readAll(root, epoch, silentMs);
    await reader.readOn();
    expect(reader.of(epoch)).toEqual([blockText("d1", 1)]);
    expect(reader.damage).toEqual(["the frame is cut short"]);
  });

  test("takes an epoch for alive again whose first commit after a long quiet is half written", async () => {
    // Once, it was read to the end of the half frame and went on in the middle of it: a frame was lost.
    const root = newFolder();
    const epoch = await newEpochOf(new FolderStorage(root));
    await epoch.commit([frameOf(blockText("d1", 1))]);
    const committed = join(epochFolder(root, epoch), "committed");
    const segment = join(root, segmentPath({ ...epoch, segment: 0 }));
    const longAgo = (Date.now() - silentMs) / 1000;
    for (const file of [committed, segment]) utimesSync(file, longAgo, longAgo);
    const reader = await readAll(root, epoch);
    expect(reader.of(epoch)).toEqual([blockText("d1", 1)]);
    const frame = frameOf(blockText("d1", 2));
    appendFileSync(segment, frame.subarray(0, 30));
    expect(await reader.readOn()).toEqual([]);
    appendFileSync(segment, frame.subarray(30));
    expect(await reader.readOn()).toEqual([]);
    writeFileSync(committed, `00000000 ${statSync(segment).size}\n`);
    expect(await reader.readOn()).toEqual([blockText("d1", 2)]);
    expect(reader.damage).toEqual([]);
  });

  test("takes a new segment for alive as well, after a long quiet", async () => {
    const root = newFolder();
    const epoch = await newEpochOf(new FolderStorage(root));
    await epoch.commit([frameOf(blockText("d1", 1))]);
    const longAgo = (Date.now() - silentMs) / 1000;
    for (const file of ["committed", "00000000.zst"]) {
      utimesSync(join(epochFolder(root, epoch), file), longAgo, longAgo);
    }
    const next = join(root, segmentPath({ ...epoch, segment: 1 }));
    writeFileSync(next, frameOf(blockText("d1", 2)).subarray(0, 30));
    const reader = await readAll(root, epoch);
    expect(reader.of(epoch)).toEqual([blockText("d1", 1)]);
    expect(reader.damage).toEqual([]);
  });

  test("isn't stopped by files that nobody of us put there", async () => {
    const root = newFolder();
    const storage = new FolderStorage(root);
    const epoch = await newEpochOf(storage);
    await epoch.commit([frameOf(blockText("d1", 1))]);
    writeFileSync(join(root, "segments", "README"), "x");
    writeFileSync(join(root, "segments", "r1", ".DS_Store"), "x");
    mkdirSync(join(root, "segments", "r1", "lost+found"));
    for (const file of ["1.zst", "x.zst", "00000001.zst.bak", "committed.tmp"]) {
      writeFileSync(join(epochFolder(root, epoch), file), "x");
    }
    for (const laterMs of [0, silentMs]) {
      const reader = await readAll(root, epoch, laterMs);
      expect(reader.of(epoch)).toEqual([blockText("d1", 1)]);
      expect(reader.damage).toEqual([]);
    }
  });

  test("lists nothing where there is no folder yet", async () => {
    expect(await new FolderStorage(join(newFolder(), "none")).list(new Map())).toEqual([]);
  });
});

describe("a root", () => {
  test("may be written in any way (one with `..` or `//` once hung the start)", async () => {
    const root = newFolder();
    mkdirSync(join(root, "a"));
    for (const path of [`${root}//b`, `${root}/a/../c/`, `${root}/./d/e`, `${root}/`]) {
      const storage = new FolderStorage(path);
      const epoch = await newEpochOf(storage);
      await epoch.commit([frameOf(blockText("d1", 1))]);
      await epoch.close();
      expect((await readAll(path, epoch)).of(epoch)).toEqual([blockText("d1", 1)]);
    }
  });

  test("that can't be made is a storage error", async () => {
    const file = join(newFolder(), "file");
    writeFileSync(file, "");
    await expect(new FolderStorage(file).createEpoch("r1")).rejects.toMatchObject({
      name: "StorageError",
      code: "storage",
    });
  });
});

describe("a segment", () => {
  test("is closed at its age, with `#end`; also without traffic", async () => {
    const root = newFolder();
    let nowMs = Date.now();
    const epoch = await newEpochOf(new FolderStorage(root, { nowMs: () => nowMs }));
    const texts = [1, 2, 3].map((seq) => blockText("d1", seq));
    await epoch.commit([frameOf(texts[0]!)]);
    nowMs += limits.segmentAgeMsMax;
    await epoch.commit([frameOf(texts[1]!)]);
    expect(segmentsOf(root, epoch)).toEqual(["00000000.zst"]);
    nowMs += 1;
    await epoch.commit([]);
    const first = readFileSync(join(epochFolder(root, epoch), "00000000.zst"));
    expect(decodeSegment(first).map((p) => p.text)).toEqual([texts[0]!, texts[1]!, "#end\n"]);
    await epoch.commit([]);
    await epoch.commit([frameOf(texts[2]!)]);
    expect(segmentsOf(root, epoch)).toEqual(["00000000.zst", "00000001.zst"]);
    expect(committedOf(root, epoch)).toMatch(/\n00000001 \d+\n$/);
    await epoch.close();
    expect((await readAll(root, epoch)).of(epoch)).toEqual(texts);
  });

  test("is closed before it would pass its size", async () => {
    // Nothing is really written: 600 MiB would take their time.
    const opened: string[] = [];
    const openFile = async (path: string) => {
      opened.push(path.slice(-12));
      const file = await open(path, "w");
      return {
        write: async (_bytes: Uint8Array, _from: number, length: number, at: number) => {
          await file.truncate(at + length);
          return { bytesWritten: length };
        },
        datasync: () => Promise.resolve(),
        close: () => file.close(),
      } as unknown as FileHandle;
    };
    const root = newFolder();
    const epoch = await newEpochOf(new FolderStorage(root, { openFile }));
    const part = new Uint8Array(limits.segmentBytesMax / 4);
    for (let commit = 0; commit < 4; commit++) await epoch.commit([part]);
    expect(opened).toEqual(["00000000.zst"]);
    expect(committedOf(root, epoch)).toEndWith(`\n00000000 ${limits.segmentBytesMax}\n`);
    await epoch.commit([new Uint8Array(1)]);
    expect(opened).toEqual(["00000000.zst", "00000001.zst"]);
    expect(committedOf(root, epoch)).toEndWith("\n00000001 1\n");
  });
});
