import { Buffer } from "node:buffer";
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { limits } from "../limits.ts";
import { blockText, closeEpochs, frameOf, newEpochOf, Reader, seeded } from "./contract.ts";
import { FolderStorage } from "./folder.ts";
import { epochFolder } from "./folder_files.ts";
import {
  committedOf,
  type Disk,
  failingDisk,
  newFolder,
  readAll,
  removeFolders,
  segmentsOf,
  silentMs,
} from "./folder_fixtures.ts";
import { usualReserve } from "./folder_room.ts";
import type { EpochName } from "./storage.ts";

afterEach(closeEpochs);
afterAll(removeFolders);

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
      expect(statSync(join(epochFolder(root, epoch), "00000000.zst")).size).toBe(frames[0]!.length);
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
      if (disk.opened.length === 1) renameSync(epochFolder(root, epoch), away);
      return file;
    };
    const epoch = await newEpochOf(new FolderStorage(root, { openFile }));
    await expectFailure(epoch.commit([frames[0]!]), /ENOENT/);
    expect([disk.opened.length, disk.closed]).toEqual([1, 1]);
    renameSync(away, epochFolder(root, epoch));
    await epoch.commit([frames[1]!]);
    await expectRead(root, epoch, [texts[1]!]);
  });

  test("in publishing rejects the batch: what nobody can see isn't acknowledged", async () => {
    const { root, storage } = setUp();
    const epoch = await newEpochOf(storage);
    await epoch.commit([frames[0]!]);
    const committed = join(epochFolder(root, epoch), "committed");
    const before = committedOf(root, epoch);
    unlinkSync(committed);
    mkdirSync(committed);
    await expectFailure(epoch.commit([frames[1]!]), /EISDIR/);
    await expectFailure(epoch.commit([frames[1]!]), /EISDIR/);
    rmdirSync(committed);
    writeFileSync(committed, before);
    await expectRead(root, epoch, [texts[0]!]);
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

describe("a disk that fails for a while", () => {
  const texts = [1, 2, 3].map((seq) => blockText("d1", seq, 2_000));
  const frames = texts.map(frameOf);

  const failures = ["ENOSPC", "EDQUOT", "EIO", "EROFS", "EMFILE"].flatMap((code) =>
    (["open", "write", "datasync"] as const).map((operation) => [code, operation] as const)
  );
  test.each(failures)(
    "with %s in %s refuses what comes, and then goes on by itself",
    async (code, operation) => {
      const root = newFolder();
      const disk = failingDisk();
      let nowMs = Date.now();
      const epoch = await newEpochOf(
        new FolderStorage(root, { openFile: disk.openFile, nowMs: () => nowMs }),
      );
      const reader = new Reader(new FolderStorage(root));
      await epoch.commit([frames[0]!]);
      // An open segment needs no opening.
      if (operation === "open") {
        nowMs += limits.segmentAgeMsMax + 1;
        await epoch.commit([]);
      }
      disk.fail[operation] = code;
      await expectFailure(epoch.commit([frames[1]!]), new RegExp(`^Cannot write .*${code}`));
      await reader.readOn();
      for (let turn = 0; turn < 3; turn++) {
        await expectFailure(epoch.probe(), new RegExp(`^Cannot write in .*${code}`));
      }
      await reader.readOn();
      expect([reader.of(epoch), reader.damage]).toEqual([[texts[0]!], []]);
      disk.fail = {};
      await epoch.probe();
      expect(readdirSync(epochFolder(root, epoch)).sort()).toEqual(["00000000.zst", "committed"]);
      await epoch.commit([frames[2]!]);
      await reader.readOn();
      expect([reader.of(epoch), reader.damage]).toEqual([[texts[0]!, texts[2]!], []]);
      await epoch.close();
      expect(disk.closed).toBe(disk.opened.length);
    },
  );
});

describe("an epoch whose files are deleted under it", () => {
  const texts = [1, 2, 3, 4].map((seq) => blockText("d1", seq, 2_000));
  const frames = texts.map(frameOf);

  async function begun() {
    const root = newFolder();
    const epoch = await newEpochOf(new FolderStorage(root));
    await epoch.commit([frames[0]!]);
    return { root, epoch, folder: epochFolder(root, epoch) };
  }

  test("acknowledges nothing into a file that has no name any more", async () => {
    const { root, epoch, folder } = await begun();
    unlinkSync(join(folder, "00000000.zst"));
    await expectFailure(epoch.commit([frames[1]!]), /must have \d+ bytes: it has been deleted/);
    await epoch.commit([frames[2]!]);
    expect(segmentsOf(root, epoch)).toEqual(["00000001.zst"]);
    expect((await readAll(root, epoch)).of(epoch)).toEqual([texts[2]!]);
  });

  test("acknowledges nothing into a file that is shorter than it must be", async () => {
    const { root, epoch, folder } = await begun();
    const path = join(folder, "00000000.zst");
    renameSync(path, `${path}.moved`);
    writeFileSync(path, "");
    await expectFailure(epoch.commit([frames[1]!]), /must have \d+ bytes: it has 0/);
    unlinkSync(path);
    await epoch.commit([frames[2]!]);
    expect(segmentsOf(root, epoch)).toEqual(["00000001.zst"]);
  });

  for (const what of ["epoch", "receiver"] as const) {
    test(`goes on in a folder that it makes anew, where its ${what}'s was deleted`, async () => {
      const { root, epoch, folder } = await begun();
      rmSync(what === "epoch" ? folder : join(root, "segments", "r1"), { recursive: true });
      await expectFailure(epoch.commit([frames[1]!]), /it has been deleted/);
      await epoch.probe();
      await epoch.commit([frames[2]!]);
      await epoch.commit([frames[3]!]);
      await epoch.close();
      const reader = await readAll(root, epoch);
      expect(reader.of(epoch)).toEqual([texts[2]!, texts[3]!]);
      expect(reader.damage).toEqual([]);
    });
  }

  test("waits where the whole storage is gone: its disk may not be mounted", async () => {
    const { root, epoch } = await begun();
    renameSync(join(root, "segments"), join(root, "away"));
    await expectFailure(epoch.commit([frames[1]!]), /it has been deleted/);
    await expectFailure(epoch.commit([frames[1]!]), /segments must be there: is its disk mounted/);
    await expectFailure(epoch.probe(), /is its disk mounted/);
    expect(readdirSync(root)).toEqual(["away"]);
    renameSync(join(root, "away"), join(root, "segments"));
    await epoch.probe();
    await epoch.commit([frames[2]!]);
    expect((await readAll(root, epoch)).of(epoch)).toEqual([texts[0]!, texts[2]!]);
  });

  test("that is idle closes without a word, and leaves nothing", async () => {
    const root = newFolder();
    const epoch = await newEpochOf(new FolderStorage(root));
    rmSync(epochFolder(root, epoch), { recursive: true });
    await epoch.close();
    expect(readdirSync(join(root, "segments", "r1"))).toEqual([]);
  });
});

describe("the reserve", () => {
  const MiB = 1024 * 1024;
  const frame = frameOf(blockText("d1", 1));
  const next = frameOf(blockText("d1", 2));

  async function begun(reserveBytes?: number) {
    const root = newFolder();
    let nowMs = Date.now() - 86_400_000;
    const space = { freeBytes: 1024 * MiB, totalBytes: 100 * 1024 * MiB };
    const options = { nowMs: () => nowMs, spaceOf: () => space };
    const reserve = reserveBytes === undefined ? {} : { reserveBytes };
    const epoch = await newEpochOf(new FolderStorage(root, { ...options, ...reserve }));
    return { root, epoch, space, advanceMs: (ms: number) => void (nowMs += ms) };
  }

  test("is 256 MiB, or a twentieth of a small disk", () => {
    expect(usualReserve({ freeBytes: 0, totalBytes: 1024 * 1024 * MiB })).toBe(256 * MiB);
    expect(usualReserve({ freeBytes: 0, totalBytes: 1000 * MiB })).toBe(50 * MiB);
  });

  test("is never written into; the segment stays open meanwhile", async () => {
    const { root, epoch, space } = await begun();
    await epoch.commit([frame]);
    space.freeBytes = 256 * MiB + next.length - 1;
    await expectFailure(
      epoch.commit([next]),
      /^Cannot write in .*: 256.0 MiB of its disk must stay free: free are 256.0 MiB of 102400.0 MiB/,
    );
    expect((await readAll(root, epoch)).of(epoch)).toEqual([blockText("d1", 1)]);
    space.freeBytes += 1;
    await epoch.commit([next]);
    expect(segmentsOf(root, epoch)).toEqual(["00000000.zst"]);
    expect((await readAll(root, epoch)).of(epoch)).toHaveLength(2);
  });

  test("is as large as it was told", async () => {
    const { epoch, space } = await begun(10 * MiB);
    space.freeBytes = 10 * MiB;
    await expectFailure(epoch.commit([frame]), /10.0 MiB of its disk must stay free/);
    space.freeBytes = 11 * MiB;
    await epoch.commit([frame]);
  });

  test("doesn't keep an old segment from being closed: only closed ones can be deleted", async () => {
    const { root, epoch, space, advanceMs } = await begun();
    await epoch.commit([frame]);
    space.freeBytes = 0;
    advanceMs(limits.segmentAgeMsMax + 1);
    await epoch.commit([]);
    const { size } = statSync(join(epochFolder(root, epoch), "00000000.zst"));
    expect(size).toBe(frame.length + 18);
    await expectFailure(epoch.commit([next]), /must stay free/);
    space.freeBytes = 1024 * MiB;
    await epoch.commit([next]);
    expect(segmentsOf(root, epoch)).toEqual(["00000000.zst", "00000001.zst"]);
  });

  test("must be exceeded by some before a disk that was full counts as free again", async () => {
    const { epoch, space } = await begun();
    space.freeBytes = 288 * MiB;
    await expectFailure(epoch.probe(), /must stay free.* 32.1 MiB more are wanted/);
    space.freeBytes += limits.probeBytes;
    await epoch.probe();
  });

  test("must leave room for what was refused, but for no more than it is itself", async () => {
    const { epoch, space } = await begun(10 * MiB);
    for (const [batchBytes, wantedBytes] of [[5 * MiB, 5 * MiB], [500 * MiB, 10 * MiB]] as const) {
      space.freeBytes = 10 * MiB;
      await expectFailure(epoch.commit([new Uint8Array(batchBytes)]), /must stay free/);
      space.freeBytes += wantedBytes + limits.probeBytes - 1;
      await expectFailure(epoch.probe(), /must stay free/);
      space.freeBytes += 1;
      await epoch.probe();
    }
    // Once something could be written that is forgotten.
    await epoch.commit([frame]);
    space.freeBytes = 12 * MiB;
    await epoch.probe();
  });

  test("isn't known where the disk can't be asked: that is a storage error", async () => {
    const root = newFolder();
    let broken = false;
    const spaceOf = () => {
      if (broken) throw new Error("EIO: told so");
      return { freeBytes: 1024 * MiB, totalBytes: 1024 * MiB };
    };
    const epoch = await newEpochOf(new FolderStorage(root, { spaceOf }));
    broken = true;
    await expectFailure(epoch.commit([frame]), /^Cannot write in .*EIO/);
    broken = false;
    await epoch.commit([frame]);
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

/** So that the disk itself is what says no. */
const limitless = () => ({ freeBytes: Infinity, totalBytes: Infinity });

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
      const epoch = await newEpochOf(
        new FolderStorage(root, { reserveBytes: 0, spaceOf: limitless }),
      );
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
    const again = await newEpochOf(
      new FolderStorage(root, { reserveBytes: 0, spaceOf: limitless }),
    );
    await again.commit([frameOf(blockText("d2", 1))]);
    await again.close();
    expect(existsSync(join(epochFolder(root, again), "00000000.zst"))).toBe(true);
  }
}, 60_000);
