import { expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { blockText, lines, noonUs, Store } from "./fixtures.ts";
import { planMerges } from "./merge.ts";
import { archiveAll } from "./rounds.ts";
import { hotFrom } from "./manifest.ts";

const hourUs = 3600e6;
const hourMs = 3_600_000;

/** A run for each ten minutes from noon on. */
async function runs(count: number): Promise<Store> {
  const store = new Store();
  const archiver = store.archiver();
  for (let i = 0; i < count; i++) {
    const recvUs = noonUs + i * hourUs / 6;
    const raw = { source: "raw", boot: "-", stream: "-" };
    const blocks = ["d1", "d2", "d3"].map((device) =>
      blockText(lines(10 * i, 10 * i + 9), { device, recvUs }) +
      blockText(`raw ${i}\n`, { ...raw, device, recvUs })
    );
    await store.receive([blocks.join("")]);
    await archiver.run();
  }
  return store;
}

const slots = async (store: Store) =>
  (await store.manifest()).files.map(({ slot, partition }) => `${slot} ${partition}`).sort();

test("merges wait for the end of the hour, then make one file of it for each partition", async () => {
  using store = await runs(7);
  const rows = (await store.archived()).sort();
  store.nowMs = noonUs / 1000 + hourMs;
  expect(await store.archiver().merge()).toBe(false);
  store.nowMs += limits.archiveMergeAfterMs;
  expect(await store.archiver().merge()).toBe(true);
  expect(await store.archiver().merge()).toBe(true);
  expect(await store.archiver().merge()).toBe(false);
  expect(await slots(store)).toEqual(
    ["2026-11-22T12 0", "2026-11-22T12 1", "2026-11-22T13 0", "2026-11-22T13 1"],
  );
  expect((await store.archived()).sort()).toEqual(rows);
});

test("merges make a day's file when the day is over, of hours' files and others alike", async () => {
  using store = await runs(8);
  const rows = (await store.archived()).sort();
  store.nowMs = noonUs / 1000 + hourMs + limits.archiveMergeAfterMs;
  while (await store.archiver().merge());
  store.nowMs = noonUs / 1000 + 12 * hourMs + limits.archiveMergeAfterMs;
  while (await store.archiver().merge());
  expect(await slots(store)).toEqual(["2026-11-22 0", "2026-11-22 1"]);
  expect((await store.archived()).sort()).toEqual(rows);
  // Late in the day a receiver's dead segment comes: the day is merged anew.
  await store.receive([blockText(lines(500, 509), { recvUs: noonUs })]);
  await store.archiver().run();
  expect((await slots(store)).length).toBe(3);
  while (await store.archiver().merge());
  expect((await slots(store)).length).toBe(2);
  expect((await store.archived()).length).toBe(rows.length + 10);
});

test("merges that fail leave the files as they were", async () => {
  using store = await runs(3);
  const rows = (await store.archived()).sort();
  store.nowMs = noonUs / 1000 + 2 * hourMs;
  for (const step of ["sorted", "put", "checked"] as const) {
    const failing = store.archiver({
      at: (at) => {
        if (at === step) throw new Error("told so");
      },
    });
    await expect(failing.merge()).rejects.toThrow("told so");
    expect((await store.manifest()).version).toBe(3);
    expect((await store.archived()).sort()).toEqual(rows);
  }
});

test("merges that don't come to the same rows change nothing", async () => {
  using store = await runs(2);
  const { store: manifests } = store.archiver();
  const manifest = await store.manifest();
  const files = manifest.files.map((file) => ({
    ...file,
    hash: file.hash.replaceAll(/[0-7]/g, "8"),
  }));
  await manifests.publish({ ...manifest, version: manifest.version + 1, files });
  store.nowMs = noonUs / 1000 + 2 * hourMs;
  await expect(store.archiver().merge()).rejects.toThrow("the merged one must hold the same");
  expect((await store.manifest()).version).toBe(manifest.version + 1);
});

test("merges keep what they replaced for an hour, for readers that began before", async () => {
  using store = await runs(3);
  const reader = await store.reader();
  const before = (await store.manifest()).files.map(({ path }) => path);
  store.nowMs = noonUs / 1000 + 12 * hourMs;
  const round = () =>
    archiveAll({
      archiver: store.archiver(),
      ...{ storage: store.storage, place: store.place, partitions: 2, deleteHot: false },
      stop: new AbortController().signal,
      nowMs: () => store.nowMs,
      report: () => {},
    });
  expect((await round()).merges).toBe(2);
  let text = "";
  for await (const read of reader.reads()) text += read.text;
  expect(text.split("raw 2\n").length - 1).toBe(3);
  store.nowMs += limits.archiveGraceMs + 1;
  await round();
  const there = (await store.place.list("archive")).map(({ path }) => path);
  for (const path of before) expect(there).not.toContain(path);
});

test("merges take no more than a file may have", async () => {
  using store = await runs(2);
  const manifest = await store.manifest();
  const large = manifest.files.map((file) => ({ ...file, bytes: limits.archiveFileBytesMax }));
  expect(planMerges({ ...manifest, files: large }, Infinity)).toEqual([]);
  expect(planMerges(manifest, Infinity).length).toBe(2);
});

test("hot segments go an hour after the manifest that has them, not before, and only once they are read", async () => {
  using store = await runs(3);
  let noted = new Map<string, { segment: number; offset: number }>();
  const round = () =>
    archiveAll({
      archiver: store.archiver(),
      ...{ storage: store.storage, place: store.place, partitions: 2, deleteHot: true },
      notes: {
        all: () => {
          const lines = [...noted].map(([key, { segment, offset }]) =>
            `${key} ${segment} ${offset}\n`
          );
          const note = `${new Date(store.nowMs).toISOString()}\n${lines.join("")}`;
          return Promise.resolve(new Map([["grinder", note]]));
        },
      },
      stop: new AbortController().signal,
      nowMs: () => store.nowMs,
      report: () => {},
    });
  noted = new Map(hotFrom(await store.manifest()));
  expect((await round()).hot).toMatchObject({ deletedSegments: 0, heldBack: 0 });
  store.nowMs += limits.archiveGraceMs;
  const [first] = [...noted.keys()].sort();
  noted.delete(first!);
  expect((await round()).hot).toMatchObject({ deletedSegments: 2, heldBack: 1 });
  noted = new Map(hotFrom(await store.manifest()));
  expect((await round()).hot).toMatchObject({ deletedSegments: 1, heldBack: 0 });
  expect(await store.hot()).toEqual([]);
  expect((await store.archived()).length).toBe(3 * 3 * 11);
  expect(await store.archiver().run()).toBeUndefined();
});
