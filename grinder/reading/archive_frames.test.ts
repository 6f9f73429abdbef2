import { expect, test } from "bun:test";
import { join } from "node:path";
import { seededRandom } from "../../tests/fleet/random.ts";
import { Archiver } from "../archive/archiver.ts";
import { FolderPlace } from "../archive/place_folder.ts";
import { noonUs } from "../fixtures.ts";
import { indexAll } from "../index/index_fixtures.ts";
import { openStored } from "./open_stored.ts";
import { plainScan, RandomStore, throughStored } from "./reading_fixtures.ts";

const always = { sinceUs: 0, untilUs: 2 * noonUs };
const none = (text: string) => {
  throw new Error(`warned: ${text}`);
};

/** Archives the segments that are closed, as far as they fit one run. */
async function archive(store: RandomStore, random: () => number): Promise<void> {
  const archiver = new Archiver({
    storage: store.storage,
    place: new FolderPlace(store.path),
    scratch: join(store.path, "scratch"),
    partitions: 2,
    memoryBytes: 256e6,
    nowMs: () => store.nowUs / 1000,
    random,
    report: none,
  });
  expect((await archiver.run())?.rows).toBeGreaterThan(50);
}

test.each([1, 2, 3])(
  "what an archive, an index and hot segments have together is each record once: seed %d",
  async (seed) => {
    const random = seededRandom(seed);
    await using store = new RandomStore(random);
    await store.commits(60);
    await indexAll(store, { skips: () => random() < 0.1 });
    await archive(store, random);
    await store.commits(30);
    const place = { data: store.path, out: join(store.path, "out") };
    const { stored } = await openStored(place, none);
    for (const devices of [["d1"], ["d0", "d3", "d4"]]) {
      const chosen = { ...always, devices: new Set(devices) };
      expect(await throughStored(stored, chosen)).toEqual(await plainScan(store.storage, chosen));
    }
    expect(await throughStored(stored, always)).toEqual(await plainScan(store.storage, always));
  },
);

test("of one device an archive gives what it has in the order of receiving", async () => {
  const random = seededRandom(5);
  await using store = new RandomStore(random);
  await store.commits(120);
  await archive(store, random);
  const { stored } = await openStored({ data: store.path }, none);
  let [fromUs, blocks] = [0, 0];
  for await (const found of stored.blocks({ ...always, devices: new Set(["d1"]) })) {
    for (const { header } of found.blocks) {
      expect(header.recvUs).toBeGreaterThanOrEqual(fromUs);
      blocks++;
    }
    fromUs = Math.max(fromUs, found.fromUs);
  }
  expect(blocks).toBeGreaterThan(20);
});
