import { Buffer } from "node:buffer";
import { spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
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
  seeded,
  storageContract,
} from "./contract.ts";
import { type FolderOptions, FolderStorage } from "./folder.ts";
import { type EpochName, formatCommitted, parseCommitted, segmentPath } from "./storage.ts";

const folders: string[] = [];

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "logmill-folder-"));
  folders.push(folder);
  return folder;
}

afterEach(closeEpochs);
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

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
  });
});

/** Files that fail as told: each call of an operation takes the next word, or works. */
interface Disk {
  openFile: NonNullable<FolderOptions["openFile"]>;
  /** The code with which the next call of each operation fails. */
  fail: { open?: string; write?: string; datasync?: string; truncate?: string };
  /** So many bytes are written at a time, at most. */
  writeBytesMax: number;
  opened: string[];
  closed: number;
}

function failingDisk(): Disk {
  const broken = (code: string) => Object.assign(new Error(`${code}: told so`), { code });
  const disk: Disk = {
    fail: {},
    writeBytesMax: Infinity,
    opened: [],
    closed: 0,
    async openFile(path, flags) {
      if (disk.fail.open) throw broken(disk.fail.open);
      disk.opened.push(path);
      const file = await open(path, flags);
      const handle = {
        async write(bytes: Uint8Array, from: number, length: number, at: number) {
          // A disk that fails in the middle has written something.
          const most = disk.fail.write ? Math.floor(length / 2) : disk.writeBytesMax;
          const done = await file.write(bytes, from, Math.min(length, most), at);
          if (disk.fail.write) throw broken(disk.fail.write);
          return done;
        },
        async datasync() {
          if (disk.fail.datasync) throw broken(disk.fail.datasync);
          await file.datasync();
        },
        async truncate(length: number) {
          if (disk.fail.truncate) throw broken(disk.fail.truncate);
          await file.truncate(length);
        },
        async close() {
          disk.closed++;
          await file.close();
        },
      };
      return handle as unknown as FileHandle;
    },
  };
  return disk;
}

function folderOf(root: string, name: EpochName): string {
  return join(root, "segments", name.receiver, name.epoch);
}

function committedOf(root: string, name: EpochName): string {
  return readFileSync(join(folderOf(root, name), "committed"), "utf8");
}

function segmentsOf(root: string, name: EpochName): string[] {
  return readdirSync(folderOf(root, name)).filter((file) => file.endsWith(".zst")).sort();
}

/** What a grinder reads that starts now; `laterMs` makes every epoch silent. */
async function readAll(root: string, name: EpochName, laterMs = 0): Promise<Reader> {
  const reader = new Reader(new FolderStorage(root, { nowMs: () => Date.now() + laterMs }));
  await reader.readOn();
  expect([...reader.texts.keys()].every((key) => key === `${name.receiver}/${name.epoch}`)).toBe(
    true,
  );
  return reader;
}

const silentMs = limits.epochSilentMs + 1_000;

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
    expect(committedOf(root, epoch)).toBe(`00000000 ${2 * frame.length}\n`);
    await epoch.close();
    // `#end` takes 18 bytes.
    expect(committedOf(root, epoch)).toBe(`00000000 ${2 * frame.length + 18} end\n`);
    expect(readdirSync(folderOf(root, epoch)).sort()).toEqual(["00000000.zst", "committed"]);
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

  test("that is torn shows nothing while the epoch may be alive, and everything later", async () => {
    const root = newFolder();
    const storage = new FolderStorage(root);
    const epoch = await newEpochOf(storage);
    const texts = [1, 2].map((seq) => blockText("d1", seq));
    await epoch.commit([frameOf(texts[0]!)]);
    for (const torn of ["", "00000000", "\0".repeat(11)]) {
      writeFileSync(join(folderOf(root, epoch), "committed"), torn);
      expect((await readAll(root, epoch)).of(epoch)).toEqual([]);
      expect((await readAll(root, epoch, silentMs)).of(epoch)).toEqual([texts[0]!]);
    }
    unlinkSync(join(folderOf(root, epoch), "committed"));
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
    writeFileSync(join(folderOf(root, epoch), "committed"), "");
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
    const committed = join(folderOf(root, epoch), "committed");
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
      utimesSync(join(folderOf(root, epoch), file), longAgo, longAgo);
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
      writeFileSync(join(folderOf(root, epoch), file), "x");
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
    const first = readFileSync(join(folderOf(root, epoch), "00000000.zst"));
    expect(decodeSegment(first).map((p) => p.text)).toEqual([texts[0]!, texts[1]!, "#end\n"]);
    await epoch.commit([]);
    await epoch.commit([frameOf(texts[2]!)]);
    expect(segmentsOf(root, epoch)).toEqual(["00000000.zst", "00000001.zst"]);
    expect(committedOf(root, epoch)).toStartWith("00000001 ");
    await epoch.close();
    expect((await readAll(root, epoch)).of(epoch)).toEqual(texts);
  });

  test("is closed before it would pass its size", async () => {
    // Nothing is really written: 600 MiB would take their time.
    const opened: string[] = [];
    const openFile = (path: string) => {
      opened.push(path.slice(-12));
      return Promise.resolve({
        write: (_bytes: Uint8Array, _from: number, length: number) =>
          Promise.resolve({ bytesWritten: length }),
        datasync: () => Promise.resolve(),
        close: () => Promise.resolve(),
      } as unknown as FileHandle);
    };
    const root = newFolder();
    const epoch = await newEpochOf(new FolderStorage(root, { openFile }));
    const part = new Uint8Array(limits.segmentBytesMax / 4);
    for (let commit = 0; commit < 4; commit++) await epoch.commit([part]);
    expect(opened).toEqual(["00000000.zst"]);
    expect(committedOf(root, epoch)).toBe(`00000000 ${limits.segmentBytesMax}\n`);
    await epoch.commit([new Uint8Array(1)]);
    expect(opened).toEqual(["00000000.zst", "00000001.zst"]);
    expect(committedOf(root, epoch)).toBe("00000001 1\n");
  });
});

/** A commit that must fail as a storage does. */
async function expectFailure(commit: Promise<void>, message: RegExp): Promise<void> {
  const error = await commit.then(() => undefined, (error: unknown) => error);
  expect(error).toMatchObject({ name: "StorageError", code: "storage" });
  expect((error as Error).message).toMatch(message);
}

describe("a disk that fails", () => {
  const texts = [1, 2, 3, 4].map((seq) => blockText("d1", seq, 2_000));
  const frames = texts.map(frameOf);

  function setUp() {
    const root = newFolder();
    const disk = failingDisk();
    const storage = new FolderStorage(root, { openFile: disk.openFile });
    return { root, disk, storage };
  }

  async function expectRead(root: string, name: EpochName, expected: string[]): Promise<void> {
    for (const laterMs of [0, silentMs]) {
      const reader = await readAll(root, name, laterMs);
      expect(reader.of(name)).toEqual(expected);
      expect(reader.damage).toEqual([]);
    }
  }

  for (const operation of ["write", "datasync"] as const) {
    test(`in ${operation} cuts the segment back; the next commit opens a new number`, async () => {
      const { root, disk, storage } = setUp();
      const epoch = await newEpochOf(storage);
      const reader = new Reader(new FolderStorage(root));
      await epoch.commit([frames[0]!]);
      disk.fail[operation] = operation === "write" ? "ENOSPC" : "EIO";
      const failure = operation === "write" ? /^Cannot write segments\/r1\/.*ENOSPC/ : /EIO/;
      await expectFailure(epoch.commit([frames[1]!, frames[2]!]), failure);
      expect(statSync(join(folderOf(root, epoch), "00000000.zst")).size).toBe(frames[0]!.length);
      await reader.readOn();
      // It stays full for a while: no number is used up, and nothing is left open.
      await expectFailure(epoch.commit([frames[1]!]), failure);
      await expectFailure(epoch.commit([frames[1]!]), failure);
      expect(disk.closed).toBe(disk.opened.length);
      expect(segmentsOf(root, epoch)).toEqual(["00000000.zst"]);
      await expectRead(root, epoch, [texts[0]!]);
      disk.fail = {};
      await epoch.commit([frames[2]!]);
      await epoch.commit([frames[3]!]);
      await reader.readOn();
      expect(reader.of(epoch)).toEqual([texts[0]!, texts[2]!, texts[3]!]);
      expect(segmentsOf(root, epoch)).toEqual(["00000000.zst", "00000001.zst"]);
      await expectRead(root, epoch, [texts[0]!, texts[2]!, texts[3]!]);
      await epoch.close();
      await expectRead(root, epoch, [texts[0]!, texts[2]!, texts[3]!]);
      expect(disk.closed).toBe(disk.opened.length);
    });

    test(`in ${operation} of the first commit leaves no hole in the numbers`, async () => {
      const { root, disk, storage } = setUp();
      const epoch = await newEpochOf(storage);
      disk.fail[operation] = "EIO";
      await expectFailure(epoch.commit([frames[0]!]), /EIO/);
      expect(segmentsOf(root, epoch)).toEqual([]);
      disk.fail = {};
      await epoch.commit([frames[1]!]);
      expect(segmentsOf(root, epoch)).toEqual(["00000000.zst"]);
      await expectRead(root, epoch, [texts[1]!]);
      await epoch.close();
    });
  }

  test("in open rejects the batch and keeps the number", async () => {
    const { root, disk, storage } = setUp();
    const epoch = await newEpochOf(storage);
    disk.fail.open = "EMFILE";
    await expectFailure(epoch.commit([frames[0]!]), /EMFILE/);
    disk.fail = {};
    await epoch.commit([frames[1]!]);
    expect(segmentsOf(root, epoch)).toEqual(["00000000.zst"]);
    await expectRead(root, epoch, [texts[1]!]);
  });

  test("in syncing the folder behind a segment's opening leaves no file open", async () => {
    const root = newFolder();
    const disk = failingDisk();
    const away = join(root, "away");
    const openFile: Disk["openFile"] = async (path, flags) => {
      const file = await disk.openFile(path, flags);
      if (disk.opened.length === 1) renameSync(folderOf(root, epoch), away);
      return file;
    };
    const epoch = await newEpochOf(new FolderStorage(root, { openFile }));
    await expectFailure(epoch.commit([frames[0]!]), /ENOENT/);
    expect([disk.opened.length, disk.closed]).toEqual([1, 1]);
    renameSync(away, folderOf(root, epoch));
    await epoch.commit([frames[1]!]);
    await expectRead(root, epoch, [texts[1]!]);
  });

  test("in publishing rejects the batch: what nobody can see isn't acknowledged", async () => {
    const { root, storage } = setUp();
    const epoch = await newEpochOf(storage);
    await epoch.commit([frames[0]!]);
    const obstacle = join(folderOf(root, epoch), "committed.tmp");
    mkdirSync(obstacle);
    await expectFailure(epoch.commit([frames[1]!]), /EISDIR/);
    await expectFailure(epoch.commit([frames[1]!]), /EISDIR/);
    await expectRead(root, epoch, [texts[0]!]);
    rmdirSync(obstacle);
    await epoch.commit([frames[2]!]);
    await expectRead(root, epoch, [texts[0]!, texts[2]!]);
    expect(segmentsOf(root, epoch)).toEqual(["00000000.zst", "00000001.zst"]);
    await epoch.close();
  });

  test("in writing `#end` rejects the batch that came then; the old segment stays readable", async () => {
    const root = newFolder();
    const disk = failingDisk();
    let nowMs = Date.now();
    const options = { openFile: disk.openFile, nowMs: () => nowMs };
    const epoch = await newEpochOf(new FolderStorage(root, options));
    await epoch.commit([frames[0]!]);
    nowMs += limits.segmentAgeMsMax + 1;
    disk.fail.write = "ENOSPC";
    await expectFailure(epoch.commit([frames[1]!]), /ENOSPC/);
    disk.fail = {};
    await epoch.commit([frames[2]!]);
    await expectRead(root, epoch, [texts[0]!, texts[2]!]);
    disk.fail.write = "ENOSPC";
    await expectFailure(epoch.close(), /^Cannot close r1\/.*ENOSPC/);
    disk.fail = {};
    await expectRead(root, epoch, [texts[0]!, texts[2]!]);
    expect(disk.closed).toBe(disk.opened.length);
  });

  test("in cutting back as well loses nothing that was acknowledged", async () => {
    const { root, disk, storage } = setUp();
    const epoch = await newEpochOf(storage);
    await epoch.commit([frames[0]!]);
    disk.fail = { write: "EIO", truncate: "EIO" };
    await expectFailure(epoch.commit([frames[1]!]), /EIO/);
    disk.fail = {};
    const live = await readAll(root, epoch);
    expect([live.of(epoch), live.damage]).toEqual([[texts[0]!], []]);
    await epoch.commit([frames[2]!]);
    await epoch.close();
    const reader = await readAll(root, epoch);
    expect(reader.of(epoch)).toEqual([texts[0]!, texts[2]!]);
    expect(reader.damage).toEqual(["the frame is cut short"]);
  });

  test("to take all at once is asked again for the rest", async () => {
    const { root, disk, storage } = setUp();
    const epoch = await newEpochOf(storage);
    disk.writeBytesMax = 7;
    await epoch.commit(frames);
    await epoch.close();
    await expectRead(root, epoch, texts);
  });

  test("at random moments loses nothing that was acknowledged and shows nothing that wasn't", async () => {
    const random = seeded(7);
    for (let round = 0; round < 15; round++) {
      const root = newFolder();
      const disk = failingDisk();
      let nowMs = Date.now() - 1_000 * 86_400_000;
      const options = { openFile: disk.openFile, nowMs: () => nowMs };
      const epoch = await newEpochOf(new FolderStorage(root, options));
      const reader = new Reader(new FolderStorage(root));
      const acknowledged: string[] = [];
      for (let seq = 0; seq < 25; seq++) {
        const dice = random();
        disk.fail = {};
        if (dice < 0.15) disk.fail.write = "ENOSPC";
        else if (dice < 0.25) disk.fail.datasync = "EIO";
        else if (dice < 0.3) disk.fail.open = "EMFILE";
        if (random() < 0.1) nowMs += limits.segmentAgeMsMax + 1;
        const text = blockText("d1", seq, Math.floor(random() * 500));
        await epoch.commit([frameOf(text)]).then(() => acknowledged.push(text), () => {});
        if (random() < 0.3) await reader.readOn();
      }
      disk.fail = {};
      await epoch.close();
      await reader.readOn();
      expect(reader.of(epoch)).toEqual(acknowledged);
      await expectRead(root, epoch, acknowledged);
      const numbers = segmentsOf(root, epoch).map((file) => parseInt(file));
      expect(numbers).toEqual(numbers.map((_, i) => i));
      expect(disk.closed).toBe(disk.opened.length);
    }
  });
});

/** A file system of 256 KiB of its own, or why there is none. */
function tinyDisk(): { root: string } | { why: string } {
  if (process.platform !== "linux") return { why: "this isn't Linux" };
  const root = newFolder();
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", root]);
  if (mount.status === 0) return { root };
  return { why: mount.error?.message ?? mount.stderr.toString().trim() };
}

const tiny = tinyDisk();
if ("why" in tiny) console.log(`skipped: a disk that is really full (${tiny.why})`);

describe("a disk that is really full", () => {
  afterAll(() => {
    if ("root" in tiny) spawnSync("umount", [tiny.root]);
  });

  test.skipIf("why" in tiny)(
    "loses nothing that it acknowledged, and goes on with space again",
    async () => {
      const { root } = tiny as { root: string };
      const filler = join(root, "filler");
      writeFileSync(filler, Buffer.alloc(100 * 1024));
      const epoch = await newEpochOf(new FolderStorage(root));
      const random = seeded(9);
      // What doesn't compress, so that the disk is full soon and in the middle of a write.
      const nextText = (seq: number) =>
        blockText("d1", seq) +
        `6,0,0,-;${
          Array.from({ length: 15_000 }, () => String.fromCharCode(32 + random() * 90)).join("")
        }\n`;
      const acknowledged: string[] = [];
      let refused = 0;
      for (let seq = 0; seq < 20; seq++) {
        const text = nextText(seq);
        await epoch.commit([frameOf(text)]).then(
          () => acknowledged.push(text),
          (error: Error) => {
            expect(error.message).toMatch(/ENOSPC|No space/);
            refused++;
          },
        );
      }
      expect(acknowledged.length).toBeGreaterThan(3);
      expect(refused).toBeGreaterThan(3);
      expect((await readAll(root, epoch)).of(epoch)).toEqual(acknowledged);
      unlinkSync(filler);
      for (let seq = 20; seq < 23; seq++) {
        acknowledged.push(nextText(seq));
        await epoch.commit([frameOf(acknowledged.at(-1)!)]);
      }
      await epoch.close();
      const reader = await readAll(root, epoch);
      expect(reader.of(epoch)).toEqual(acknowledged);
      expect(reader.damage).toEqual([]);
      const numbers = segmentsOf(root, epoch).map((file) => parseInt(file));
      expect(numbers).toEqual(numbers.map((_, i) => i));
    },
  );
});

/** Commits for ever and prints the number of each acknowledged batch; its segments are short. */
const committer = `
import { writeSync } from "node:fs";
import { FolderStorage } from ${JSON.stringify(import.meta.resolve("./folder.ts"))};
import { blockText, frameOf } from "./frames.ts";
let nowMs = Date.now();
const storage = new FolderStorage(process.argv[2], { nowMs: () => nowMs });
const epoch = await storage.createEpoch("r1");
for (let n = 0;; n++) {
  if (n % 7 === 6) nowMs += ${limits.segmentAgeMsMax + 1};
  await epoch.commit([0, 1, 2].map((i) => frameOf(blockText("d1", n * 3 + i, n * 37 % 20000))));
  writeSync(1, n + "\\n");
}
`;

/** Without `bun:test`, which only a test may import. */
const framesModule = `
import { Buffer } from "node:buffer";
import { compressFrame } from ${JSON.stringify(import.meta.resolve("../zstd.ts"))};
export ${blockText.toString()}
export const frameOf = (text) => compressFrame(Buffer.from(text, "latin1"));
`;

test("kill -9 at any moment loses nothing that was acknowledged", async () => {
  const scripts = newFolder();
  writeFileSync(join(scripts, "committer.ts"), committer);
  writeFileSync(join(scripts, "frames.ts"), framesModule);
  const random = seeded(11);
  for (let round = 0; round < 10; round++) {
    const root = newFolder();
    const child = spawn(process.execPath, [join(scripts, "committer.ts"), root], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let printed = "";
    const killAfter = 1 + Math.floor(random() * 60);
    child.stdout.on("data", (bytes: Buffer) => {
      printed += bytes;
      // So many acknowledgements later, and then at whatever instruction it is.
      if (printed.split("\n").length > killAfter) child.kill("SIGKILL");
    });
    await new Promise((resolve) => child.on("close", resolve));
    const acknowledged = printed.split("\n").slice(0, -1).length * 3;
    expect(acknowledged).toBeGreaterThan(0);
    const [epoch] = readdirSync(join(root, "segments", "r1"));
    const name = { receiver: "r1", epoch: epoch! };
    for (const laterMs of [0, silentMs]) {
      const reader = await readAll(root, name, laterMs);
      const seqs = reader.of(name).map((text) => Number(/ (\d+) 1\n/.exec(text)![1]));
      // All of it, in order, once, and not much more: the batch that was being acknowledged.
      expect(seqs).toEqual(seqs.map((_, i) => i));
      expect(seqs.length).toBeGreaterThanOrEqual(acknowledged);
      expect(reader.damage.length).toBeLessThanOrEqual(laterMs === 0 ? 0 : 1);
    }
    // Started again at the same place, it goes on under a new epoch.
    const again = await newEpochOf(new FolderStorage(root));
    await again.commit([frameOf(blockText("d2", 1))]);
    await again.close();
    expect(existsSync(join(folderOf(root, again), "00000000.zst"))).toBe(true);
  }
}, 60_000);
