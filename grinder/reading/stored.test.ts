import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { readNew } from "../../shared/segment_reader.ts";
import { type Cursor, epochKey } from "../../shared/storage/storage.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { noonUs } from "../fixtures.ts";
import { IndexFile, indexPath } from "../index/index_file.ts";
import { indexAll } from "../index/index_fixtures.ts";
import type { FoundFrame, FrameSource, Selection } from "./frame_source.ts";
import { HotFrames } from "./hot_frames.ts";
import { plainScan, RandomStore, throughStored } from "./reading_fixtures.ts";
import { Stored } from "./stored.ts";

const always = { sinceUs: 0, untilUs: 2 * noonUs };
const none = (text: string) => {
  throw new Error(`warned: ${text}`);
};

/** What an archive does: all before the cursors, each record once, in an order of its own. */
class FakeArchive implements FrameSource {
  constructor(private readonly texts: readonly string[]) {}

  async *frames(): AsyncGenerator<FoundFrame> {
    for (const [i, text] of this.texts.toReversed().entries()) {
      yield { segment: "archive/1", offset: i, fromUs: 0, text };
    }
  }
}

/** The first segments of each epoch: their texts, and where the hot ones begin. */
async function archiveOf(store: RandomStore, random: () => number) {
  const from = new Map<string, Cursor>();
  const texts: string[] = [];
  const until = new Map<string, number>();
  for await (const read of readNew(store.storage, new Map())) {
    const key = epochKey(read);
    if (!until.has(key)) until.set(key, Math.floor(random() * 10_000));
    until.set(key, until.get(key)! - read.length);
    if (read.text === undefined || until.get(key)! < 0) continue;
    texts.push(read.text);
    from.set(key, read.next);
  }
  return { from, archive: new FakeArchive(texts) };
}

describe("what is chosen by index, archive and hot segments", () => {
  for (let seed = 1; seed <= 12; seed++) {
    test(`equals what a plain scan chooses, each record once: seed ${seed}`, async () => {
      const random = seededRandom(seed);
      await using store = new RandomStore(random);
      await store.commits(60);
      // What comes after the index was made is found as well, and so is what lies before and between.
      await indexAll(store, { most: Math.floor(random() * 70), skips: () => random() < 0.2 });
      await store.commits(10);
      using index = IndexFile.read(indexPath(join(store.path, "out")));
      const { from, archive } = await archiveOf(store, random);
      const { storage } = store;
      const hot = new Stored([new HotFrames({ storage, index, warn: none })]);
      const all = new Stored([archive, new HotFrames({ storage, index, from, warn: none })]);
      for (const devices of [["d1"], ["d0", "d3"], ["d0", "d1", "d2", "d3", "d4", "d9"]]) {
        const chosen = { ...always, devices: new Set(devices) };
        const expected = await plainScan(storage, chosen);
        expect(expected.length).toBeGreaterThan(10);
        expect(await throughStored(hot, chosen)).toEqual(expected);
        expect(await throughStored(all, chosen)).toEqual(expected);
      }
      expect(await throughStored(all, always)).toEqual(await plainScan(storage, always));
      const sinceUs = noonUs + Math.floor(random() * 30) * 60e6;
      const part = { sinceUs, untilUs: sinceUs + 15 * 60e6, devices: new Set(["d1", "d2"]) };
      expect(await throughStored(hot, part)).toEqual(await plainScan(storage, part));
    });
  }

  test("comes with a time before which nothing comes any more", async () => {
    await using store = new RandomStore(seededRandom(4));
    await store.commits(200);
    await indexAll(store, { most: 150 });
    using index = IndexFile.read(indexPath(join(store.path, "out")));
    const stored = new Stored([new HotFrames({ storage: store.storage, index, warn: none })]);
    const selection: Selection = { ...always, devices: new Set(["d1"]) };
    let [fromUs, blocks] = [0, 0];
    for await (const found of stored.blocks(selection)) {
      for (const { header } of found.blocks) {
        expect(header.recvUs).toBeGreaterThanOrEqual(fromUs);
        blocks++;
      }
      fromUs = Math.max(fromUs, found.fromUs);
    }
    expect(blocks).toBeGreaterThan(50);
    expect(fromUs).toBeGreaterThan(noonUs + 60 * 60e6);
  });
});
