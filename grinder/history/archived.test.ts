import { expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { deleteHot } from "../archive/sweep.ts";
import { FilledStore, type Ground } from "./archived_fixtures.ts";

/** What is ground of both must be the same, and something of each kind. */
function expectEqual(ground: Ground, expected: Ground): void {
  expect(ground.events).toEqual(expected.events);
  expect(ground.aggregates).toEqual(expected.aggregates);
  expect([ground.warnings, expected.warnings]).toEqual([[], []]);
}

test("grinding history from hot segments says something of each kind", async () => {
  using store = new FilledStore();
  await store.fill(180);
  const { events } = await store.grind("hot");
  const counts = Map.groupBy(events, (event) => JSON.parse(event).rule);
  expect([...counts.keys()].sort()).toEqual(
    ["device_back", "device_silent", "gap", "link", "reboot", "took"],
  );
  expect(events.filter((event) => event.includes('"source":"raw"')).length).toBeGreaterThan(10);
  expect(events.filter((event) => event.includes('"source":"pstore"')).length).toBe(1);
});

test("grinding history gives the same from an archive, also where devices go on over row groups", async () => {
  using store = new FilledStore();
  await store.fill(200);
  const hot = await store.grind("hot");
  await store.archive();
  expectEqual(await store.grind("archive"), hot);
  await store.cut(2048);
  const cut = await store.grind("cut");
  expectEqual(cut, hot);
  expect(cut.progress.length).toBeGreaterThan(5);
  expect(cut.progress.at(-1)).toMatchObject({ share: 1 });
  expect(cut.progress.at(-1)!.storedBytes).toBe(cut.progress.at(-1)!.storedBytesTotal);
});

test("grinding history reads archive and hot segments as one, while both hold some of it", async () => {
  using store = new FilledStore();
  await store.fill(100);
  await store.archive();
  await store.fill(100);
  const hot = await hotOnly(store);
  const half = await store.grind("half");
  expectEqual(half, hot);
  expect(half.progress.at(-1)).toMatchObject({ share: 1 });
});

test("grinding history keeps to one manifest, whatever is merged, archived and deleted meanwhile", async () => {
  using store = new FilledStore();
  await store.fill(40);
  await store.archive();
  await store.fill(60);
  await store.archive();
  await store.fill(60);
  const hot = await hotOnly(store);
  const manifest = await store.manifest();
  store.nowMs += 2 * limits.archiveMergeAfterMs + limits.archiveGraceMs;
  const { nowMs } = store;
  await deleteHot(store.storage, store.place, manifest, { nowMs, readers: [] });
  let merges = 0;
  const meanwhile = async () => {
    while (await store.archiver().merge()) merges++;
    await store.archive();
  };
  const ground = await store.grind("out", { meanwhile, after: 2 });
  expect(merges).toBeGreaterThan(0);
  expect((await store.manifest()).version).toBeGreaterThan(manifest.version);
  expect(withoutEnd(ground.events)).toEqual(withoutEnd(hot.events));
});

test("grinding history goes on where it was killed, from the archive as it was then", async () => {
  using store = new FilledStore();
  await store.fill(100);
  await store.archive();
  await store.cut(2048);
  await store.fill(60);
  const hot = await hotOnly(store);
  for (const stopAfter of [1, 2, 4]) {
    await store.grind(`killed-${stopAfter}`, { stopAfter });
  }
  await store.archive();
  while (await store.archiver().merge());
  for (const stopAfter of [1, 2, 4]) {
    const again = await store.grind(`killed-${stopAfter}`);
    expect(kept(again.events)).toEqual(kept(hot.events));
  }
});

test("grinding history of two receivers gives the same events, as far as times don't hang on who is read first", async () => {
  using store = new FilledStore(["r1", "r2"]);
  await store.fill(160);
  const hot = await store.grind("hot");
  await store.archive();
  const archive = await store.grind("archive");
  const untimed = ({ events }: Ground) =>
    kept(events).map((event) => event.replace(/"time".*?"device"/, '"device"')).sort();
  expect(untimed(archive)).toEqual(untimed(hot));
});

test("grinding history passes over an archive file that can't be read, and says so", async () => {
  using store = new FilledStore();
  await store.fill(60);
  await store.archive();
  const [file] = (await store.manifest()).files;
  await store.place.remove(file!.path);
  const { events, warnings } = await store.grind("out");
  expect(warnings.join()).toContain(file!.path);
  expect(events.length).toBeGreaterThan(50);
});

/** As if nothing were archived. */
async function hotOnly(store: FilledStore): Promise<Ground> {
  const { place } = store;
  Object.assign(store, { place: { list: () => Promise.resolve([]) } });
  const ground = await store.grind("hot");
  Object.assign(store, { place });
  return ground;
}

/** What a later end of the run makes of devices that haven't been heard since. */
function withoutEnd(events: readonly string[]): string[] {
  return events.filter((event) => JSON.parse(event).rule !== "device_silent");
}

/** Those of records. */
function kept(events: readonly string[]): string[] {
  return events.filter((event) => JSON.parse(event).seq !== 0 || event.includes('"rule":"link"'));
}
