import { expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { blockText, lines, noonUs, Store } from "./fixtures.ts";
import { hotFrom } from "./manifest.ts";
import { deleteHot, sweepArchive } from "./sweep.ts";

const dayMs = 86_400_000;

async function twoDays(): Promise<Store> {
  const store = new Store();
  await store.receive([blockText(lines(0, 9))]);
  await store.receive([blockText(lines(10, 19), { recvUs: noonUs + dayMs * 1000 })]);
  await store.archiver().run();
  return store;
}

test("the archive's files go when nothing in them was received for so long, and none before", async () => {
  using store = await twoDays();
  const archiver = store.archiver();
  store.nowMs = noonUs / 1000 + 60 * dayMs;
  expect(await archiver.expire(60 * dayMs)).toBe(0);
  store.nowMs++;
  expect(await archiver.expire(60 * dayMs)).toBe(1);
  const seqs = (await store.archived()).map((row) => Number(row.split(",")[1]));
  expect(seqs.toSorted((a, b) => a - b)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  expect(await archiver.expire(60 * dayMs)).toBe(0);
});

test("the archive's old files aren't archived again from the segments that still hold them", async () => {
  using store = await twoDays();
  store.nowMs = noonUs / 1000 + 62 * dayMs;
  expect(await store.archiver().expire(60 * dayMs)).toBe(2);
  expect(await store.archiver().run()).toBeUndefined();
  expect(await store.hot(hotFrom(await store.manifest()))).toEqual([]);
});

test("the archive's old files stay for an hour for readers that began with them", async () => {
  using store = await twoDays();
  const archiver = store.archiver();
  const reader = await store.reader((bad) => {
    throw new Error(bad.why);
  });
  const paths = reader.manifest.files.map(({ path }) => path);
  store.nowMs = noonUs / 1000 + 62 * dayMs;
  await archiver.expire(60 * dayMs);
  const sweep = async () =>
    sweepArchive(store.place, archiver.store, await store.manifest(), store.nowMs);
  await sweep();
  let rows = 0;
  for await (const { text } of reader.reads()) rows += text!.split("\n").length - 2;
  expect(rows).toBe(20);
  store.nowMs += limits.archiveGraceMs;
  await sweep();
  const left = (await store.place.list("archive")).map(({ path }) => path);
  expect(left.filter((path) => paths.includes(path))).toEqual([]);
});

test("hot segments are kept as long as is asked for, however often the archiver ran since", async () => {
  using store = new Store();
  await store.receive([blockText(lines(0, 9))]);
  await store.archiver().run();
  const archivedMs = store.nowMs;
  const keepHotMs = 5 * 60 * 60_000;
  const deleted = async () => {
    const manifest = await store.manifest();
    const options = { nowMs: store.nowMs, readers: [], keepHotMs };
    return (await deleteHot(store.storage, store.place, manifest, options)).deletedSegments;
  };
  // Each quarter of an hour there is something new.
  for (let i = 1; store.nowMs < archivedMs + keepHotMs - 60_000; i++) {
    expect(await deleted()).toBe(0);
    store.nowMs = archivedMs + i * 15 * 60_000 - 2_000;
    const recvUs = store.nowMs * 1000;
    await store.receive([blockText(lines(10 * i, 10 * i + 9), { recvUs })]);
    await store.archiver().run();
  }
  const { swaps } = await store.manifest();
  expect(swaps.length).toBeLessThan(16);
  // At most one slot of half an hour late.
  store.nowMs = archivedMs + keepHotMs + limits.archiveSwapMs;
  expect(await deleted()).toBeGreaterThan(0);
});
