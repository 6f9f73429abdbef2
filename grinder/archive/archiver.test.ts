import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { afterAll, expect, test } from "bun:test";
import { compressFrame } from "../../shared/zstd.ts";
import { limits } from "../../shared/limits.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { bunPath } from "../../tests/programs.ts";
import type { Step } from "./archiver.ts";
import { blockText, lines, noonUs, Store } from "./fixtures.ts";
import { hotFrom, manifestPath } from "./manifest.ts";
import { ManifestRaceError } from "./manifest_store.ts";
import type { ArchivePlace } from "./place.ts";
import { sweepArchive } from "./sweep.ts";

const steps: Step[] = ["spooled", "sorted", "put", "checked", "seen", "published"];

/** Every row that a reader gets who begins now: of the archive, and of what is hot beside it. */
async function all(store: Store): Promise<string[]> {
  const manifest = await store.manifest();
  return [...await store.archived(), ...await store.hot(hotFrom(manifest))].sort();
}

async function twoDevices(): Promise<Store> {
  const store = new Store();
  await store.receive([blockText(lines(0, 9)), blockText(lines(0, 9), { device: "d2" })]);
  return store;
}

test.each(steps)(
  "a run that fails after %s leaves each record once, and the next run ends it",
  async (step) => {
    using store = await twoDevices();
    const before = await all(store);
    const failing = store.archiver({
      at: (at) => {
        if (at === step) throw new Error("told so");
      },
    });
    await expect(failing.run()).rejects.toThrow("told so");
    expect(await all(store)).toEqual(before);
    expect((await store.manifest()).version).toBe(step === "published" ? 1 : 0);
    await store.archiver().run();
    expect(await all(store)).toEqual(before);
    expect((await store.archived()).length).toBe(before.length);
    expect(readdirSync(join(store.folder, "scratch"))).toEqual([]);
  },
);

test.each(steps)("a run that is killed after %s leaves each record once", async (step) => {
  using store = await twoDevices();
  const before = await all(store);
  const child = spawn(bunPath, [
    join(import.meta.dirname, "killed_run.ts"),
    ...[store.data, join(store.folder, "scratch"), step, String(store.nowMs)],
  ], { stdio: ["ignore", "inherit", "inherit"] });
  expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
  const scratch = join(store.folder, "scratch");
  expect(readdirSync(scratch).length).toBe(1);
  expect(await all(store)).toEqual(before);
  await store.archiver().run();
  expect(await all(store)).toEqual(before);
  expect((await store.archived()).length).toBe(before.length);
  // It may be another's, as long as it is young.
  expect(readdirSync(scratch).length).toBe(1);
  await store.archiver({ nowMs: () => Date.now() + limits.archiveGarbageMs + 60_000 }).merge();
  expect(readdirSync(scratch)).toEqual([]);
});

test("what a dead run left is swept away when it is old, and nothing else is", async () => {
  using store = await twoDevices();
  const failing = store.archiver({
    at: (at) => {
      if (at === "seen") throw new Error("told so");
    },
  });
  await expect(failing.run()).rejects.toThrow("told so");
  await store.place.put(
    "archive/day=2026-11-22/part=0000/foreign.parquet",
    localFile(store, "other"),
  );
  const archiver = store.archiver();
  await archiver.run();
  const rows = await all(store);
  const sweep = async () =>
    sweepArchive(store.place, archiver.store, await store.manifest(), store.nowMs);
  expect(await sweep()).toBe(0);
  store.nowMs += limits.archiveGarbageMs;
  // Of the partition that came first, its file and what is seen of it.
  expect(await sweep()).toBe(2);
  expect(await all(store)).toEqual(rows);
  const left = (await store.place.list("archive")).map(({ path }) => path);
  expect(left).toContain("archive/day=2026-11-22/part=0000/foreign.parquet");
  expect(left.length).toBe(1 + 4 + 1);
});

test("two archivers don't both archive a segment: the later one fails and changes nothing", async () => {
  using store = await twoDevices();
  const before = await all(store);
  const other = store.archiver();
  let raced = false;
  const late = store.archiver({
    at: (step) => {
      // In the middle of it the other one is faster.
      if (step === "seen") raced = true;
    },
    place: {
      ...methodsOf(store.place),
      putNew: async (path, text) => {
        if (raced) await other.run();
        return store.place.putNew(path, text);
      },
    },
  });
  await expect(late.run()).rejects.toBeInstanceOf(ManifestRaceError);
  expect(await all(store)).toEqual(before);
  expect((await store.manifest()).version).toBe(1);
  expect(await late.run()).toBeUndefined();
});

test("a manifest that was put by an answer that got lost is taken as put", async () => {
  using store = await twoDevices();
  const place = {
    ...methodsOf(store.place),
    putNew: async (path: string, text: string) => {
      await store.place.putNew(path, text);
      return false;
    },
  };
  expect((await store.archiver({ place }).run())!.version).toBe(1);
});

test.each(["put", "putNew"] as const)(
  "a disk that is full at %s changes nothing, and the next run goes on",
  async (verb) => {
    using store = await twoDevices();
    const before = await all(store);
    let left = 1;
    const full = () =>
      Promise.reject(Object.assign(new Error("ENOSPC: told so"), { code: "ENOSPC" }));
    const methods = methodsOf(store.place);
    const place: ArchivePlace = {
      ...methods,
      put: (path, file) => verb === "put" && left-- <= 0 ? full() : methods.put(path, file),
      putNew: (path, text) => verb === "putNew" ? full() : methods.putNew(path, text),
    };
    await expect(store.archiver({ place }).run()).rejects.toThrow("ENOSPC");
    expect(await all(store)).toEqual(before);
    await store.archiver().run();
    expect(await all(store)).toEqual(before);
  },
);

test("a file that isn't what went in stops the run, and nothing is published", async () => {
  using store = await twoDevices();
  const before = await all(store);
  const other = new Store();
  await other.receive([blockText(lines(0, 9, "lime")), blockText(lines(0, 9), { device: "d2" })]);
  await other.archiver().run();
  const files = (await other.manifest()).files;
  const place: ArchivePlace = {
    ...methodsOf(store.place),
    // As if DuckDB or the disk had changed a letter.
    put: async (path, file) => {
      const part = files.find(({ partition }) => path.includes(`part=000${partition}/`));
      if (path.endsWith(".parquet")) file = localFile(store, await readAll(other, part!.path));
      await store.place.put(path, file);
    },
  };
  await expect(store.archiver({ place }).run()).rejects.toThrow(
    "must hold the 10 rows that were stored",
  );
  expect(await all(store)).toEqual(before);
  other[Symbol.dispose]();
});

test("a segment with damage is archived as far as it can be read, and is named", async () => {
  using store = new Store();
  const epoch = await store.storage.createEpoch("r1");
  const good = [blockText(lines(0, 4)), blockText(lines(5, 9))];
  for (const text of good) await epoch.commit([compressFrame(new TextEncoder().encode(text))]);
  await epoch.close();
  const path = `segments/r1/${epoch.epoch}/00000000.zst`;
  const bytes = readFileSync(join(store.data, path));
  bytes[20]! ^= 0xff;
  writeFileSync(join(store.data, path), bytes);
  const report = await store.archiver().run();
  expect([report!.rows, report!.damagedSegments]).toEqual([5, 1]);
  expect((await store.manifest()).damaged).toEqual([path]);
});

test("a segment that is still written isn't archived, until it has been silent for an hour", async () => {
  using store = new Store();
  // By its own clock it is time to close nothing.
  const receiver = new FolderStorage(store.data, { nowMs: () => noonUs / 1000 });
  const epoch = await receiver.createEpoch("r1");
  await epoch.commit([compressFrame(new TextEncoder().encode(blockText(lines(0, 4))))]);
  expect(await store.archiver().run()).toBeUndefined();
  store.nowMs += limits.archiveDeadMs + 60_000;
  expect((await store.archiver().run())!.rows).toBe(5);
  // Should it come to life all the same, nothing of it is lost, or there twice.
  await epoch.commit([compressFrame(new TextEncoder().encode(blockText(lines(5, 9))))]);
  expect((await all(store)).length).toBe(10);
  await epoch.close();
  expect((await store.archiver().run())!.rows).toBe(5);
  expect((await all(store)).length).toBe(10);
});

test("a run takes so many bytes of segments, and the next one goes on behind them", async () => {
  using store = new Store();
  for (let i = 0; i < 3; i++) await store.receive([blockText(lines(10 * i, 10 * i + 9))]);
  const archiver = store.archiver({ runBytes: 1 });
  const more: boolean[] = [];
  for (let run; (run = await archiver.run());) more.push(run.more);
  expect(more).toEqual([true, true, false]);
  expect((await store.archived()).length).toBe(30);
});

test("a run that took too long doesn't publish what may be swept away", async () => {
  using store = await twoDevices();
  const slow = store.archiver({
    at: (step) => {
      if (step === "seen") store.nowMs += limits.archiveRunMsMax + 1;
    },
  });
  await expect(slow.run()).rejects.toThrow("it must be done in 180 minutes");
  expect((await store.manifest()).version).toBe(0);
});

test("a manifest that can't be read stops the archiver: it would archive everything again", async () => {
  using store = await twoDevices();
  await store.archiver().run();
  truncateSync(join(store.data, manifestPath(1)), 100);
  await expect(store.archiver().run()).rejects.toThrow(
    "Cannot read archive/manifests/00000001.json",
  );
});

const small = mkdtempSync(join(tmpdir(), "logmill-small-"));
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", small]).status === 0;
if (!mounted) console.error("skipped: no disk can be filled up here: mount needs root");
afterAll(() => {
  if (mounted) spawnSync("umount", ["--lazy", small]);
  rmSync(small, { recursive: true, force: true });
});

test.skipIf(!mounted)(
  "a disk that really is full in the middle changes nothing, and is left as it was",
  async () => {
    using store = new Store();
    const random = () => randomBytes(3000).toString("hex");
    const records = Array.from({ length: 500 }, (_, i) => `6,${i},${i},-;${random()}\n`);
    for (let i = 0; i < 500; i += 100) {
      await store.receive([
        blockText(records.slice(i, i + 100).join("")),
      ]);
    }
    const before = await all(store);
    // The first stops while rows are sorted out, the other where they are sorted: one device needs little.
    await expect(store.archiver({ scratch: small }).run()).rejects.toThrow("must have room");
    await expect(store.archiver({ scratch: small, runBytes: 1 }).run()).rejects.toThrow(
      /space|ENOSPC/i,
    );
    expect(readdirSync(small)).toEqual([]);
    expect(await all(store)).toEqual(before);
    expect((await store.manifest()).version).toBe(0);
  },
);

function methodsOf(place: ArchivePlace): ArchivePlace {
  return {
    put: (path, file) => place.put(path, file),
    putNew: (path, text) => place.putNew(path, text),
    read: (path, offset, length) => place.read(path, offset, length),
    list: (folder) => place.list(folder),
    remove: (path) => place.remove(path),
  };
}

function localFile(store: Store, content: string | Uint8Array): string {
  const path = join(store.folder, "local");
  writeFileSync(path, content);
  return path;
}

function readAll(store: Store, path: string): Promise<Uint8Array> {
  return store.place.read(path, 0, 1e6);
}
