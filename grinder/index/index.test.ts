import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { seededRandom } from "../../tests/fleet/random.ts";
import { Engine } from "../engine/engine.ts";
import { noonUs } from "../fixtures.ts";
import type { BootStretch } from "../reading/frame_source.ts";
import { HotFrames } from "../reading/hot_frames.ts";
import { nameHash } from "../reading/name_hash.ts";
import { plainScan, RandomStore, throughStored } from "../reading/reading_fixtures.ts";
import { Stored } from "../reading/stored.ts";
import { fillIndex } from "./fill.ts";
import { IndexFile, indexPath } from "./index_file.ts";
import { indexAll } from "./index_fixtures.ts";
import { IndexWriter } from "./index_writer.ts";

const chosen = { sinceUs: 0, untilUs: 2 * noonUs, devices: new Set(["d1"]) };

async function filledStore(seed = 1): Promise<RandomStore> {
  const store = new RandomStore(seededRandom(seed));
  await store.commits(80);
  return store;
}

const outOf = (store: RandomStore) => join(store.path, "out");
const pathOf = (store: RandomStore) => indexPath(outOf(store));

/** What is read with the index as it is now, and what was said about it. */
async function read(store: RandomStore) {
  const warnings: string[] = [];
  const warn = (text: string) => warnings.push(text);
  using index = IndexFile.read(pathOf(store));
  let bytes = 0;
  const { storage } = store;
  const counted = {
    ...{ list: storage.list.bind(storage), watch: storage.watch.bind(storage) },
    createEpoch: storage.createEpoch.bind(storage),
    read: (...args: Parameters<typeof storage.read>) => {
      bytes += args[2];
      return storage.read(...args);
    },
  };
  const stored = new Stored([new HotFrames({ storage: counted, index, warn })]);
  return { records: await throughStored(stored, chosen), warnings, bytes };
}

/** Changes the index as nobody should. */
function edit(store: RandomStore, sql: string): void {
  const db = new DatabaseSync(pathOf(store));
  db.exec(sql);
  db.close();
}

async function fill(store: RandomStore, report: (text: string) => void = () => {}): Promise<void> {
  using file = IndexFile.write(pathOf(store), 0, report);
  const writer = new IndexWriter(file, { nowMs: () => 0, report });
  await using engine = new Engine({ rules: [], rulesPath: "-", threads: 0, warn: report });
  const digests: Parameters<typeof fillIndex>[0]["digests"] = (...of) => engine.digests(...of);
  await fillIndex({ storage: store.storage, file, writer, digests });
}

describe("an index", () => {
  test("leaves out what has nothing of a device", async () => {
    await using store = new RandomStore(seededRandom(2));
    await store.commits(150);
    const whole = await read(store);
    await indexAll(store);
    const indexed = await read(store);
    expect(indexed.records).toEqual(whole.records);
    expect(indexed.warnings).toEqual([]);
    expect(indexed.bytes).toBeLessThan(whole.bytes);
  });

  test("knows all devices that were ever met", async () => {
    await using store = await filledStore();
    await indexAll(store);
    using index = IndexFile.read(pathOf(store))!;
    expect(index.devices()).toEqual(["d0", "d1", "d2", "d3", "d4"]);
  });

  test("is made of the data alone, as it was made by the grinder", async () => {
    await using store = await filledStore();
    const expected = await plainScan(store.storage, chosen);
    await fill(store);
    const { records, warnings } = await read(store);
    expect({ records, warnings }).toEqual({ records: expected, warnings: [] });
    using index = IndexFile.read(pathOf(store))!;
    const epochs = Map.groupBy(index.parts(), ({ epoch }) => epoch);
    expect([...epochs.values()].every((parts) => parts.length === 1)).toBe(true);
  });

  test("is completed where parts of it are missing, and only there", async () => {
    await using store = await filledStore();
    const random = seededRandom(3);
    await indexAll(store, { most: 60, skips: () => random() < 0.2 });
    const idsOf = () => {
      using index = IndexFile.read(pathOf(store))!;
      return index.parts().map(({ id }) => id);
    };
    const before = idsOf();
    await fill(store);
    const after = idsOf();
    expect(before.length).toBeGreaterThan(3);
    expect(after.length).toBeGreaterThan(before.length);
    expect(before.every((id) => after.includes(id))).toBe(true);
    await fill(store);
    expect(idsOf()).toEqual(after);
    expect((await read(store)).records).toEqual(await plainScan(store.storage, chosen));
  });

  test("is no grinder's business when it can't be written", async () => {
    await using store = await filledStore();
    await indexAll(store, { most: 10 });
    edit(store, "DROP TABLE texts; CREATE TABLE texts(id INTEGER PRIMARY KEY, other TEXT) STRICT");
    const reports: string[] = [];
    const options = { nowMs: () => 0, report: (text: string) => reports.push(text) };
    using writer = IndexWriter.open(outOf(store), options);
    const at = { receiver: "r1", epoch: "e", segment: 0 };
    for (const offset of [0, 10, 20]) {
      const next = { segment: 0, offset: offset + 10 };
      writer.take({ ...at, offset, length: 10, next, text: "" });
      writer.block({ device: "d1", boot: "b1", clockKey: "d1 b1" }, noonUs, 0);
      writer.flush();
    }
    expect(reports).toHaveLength(1);
    expect(reports[0]).toContain("Cannot add to");
  });
});

test("an index lets what was written after a time go unread, where that is known", async () => {
  await using store = await filledStore();
  await indexAll(store, { skips: () => false });
  const asked: string[] = [];
  using index = IndexFile.read(pathOf(store));
  const { storage } = store;
  const stored = new Stored([new HotFrames({ storage, index, warn: console.error })]);
  const skips = ({ device, boot, firstUsec }: BootStretch) => {
    asked.push(`${device} ${boot === nameHash("b1") ? "b1" : "other"} ${firstUsec}`);
    return boot === nameHash("b1");
  };
  const found = await throughStored(stored, { ...chosen, skips });
  expect(new Set(asked)).toEqual(new Set(["d1 b1 0", "d1 other 0"]));
  expect(found.length).toBeLessThan((await plainScan(storage, chosen)).length);
});

describe("an index that lies is noticed, and nothing is read otherwise for it:", () => {
  const lies: Array<[what: string, change: string, said: string]> = [
    [
      "it names other places",
      "UPDATE parts SET from_offset = from_offset + 1",
      "isn't what was written",
    ],
    ["it names other times", "UPDATE parts SET max_recv_us = 1", "isn't what was written"],
    ["a bucket is missing", "DELETE FROM texts WHERE id % 1048576 > 0", "a text is missing"],
    ["its frames are missing", "DELETE FROM texts WHERE id % 1048576 = 0", "a text is missing"],
    [
      "buckets are of other parts",
      "UPDATE texts SET packed = (SELECT packed FROM texts WHERE id = 1048577) WHERE id % 1048576 = 1",
      "its checksum doesn't hold",
    ],
    [
      "a bucket is torn",
      "UPDATE texts SET packed = substr(packed, 1, 9)",
      "its checksum doesn't hold",
    ],
  ];
  for (const [what, change, said] of lies) {
    test(what, async () => {
      await using store = await filledStore();
      const random = seededRandom(3);
      await indexAll(store, { skips: () => random() < 0.1 });
      edit(store, change);
      const { records, warnings } = await read(store);
      expect(records).toEqual(await plainScan(store.storage, chosen));
      expect(warnings.length).toBeGreaterThan(0);
      for (const warning of warnings) expect(warning).toContain("--rebuild");
      expect(warnings[0]).toContain(said);
    });
  }

  test("it says of a frame what isn't so", async () => {
    const lies: Array<Parameters<typeof indexAll>[1]> = [
      // Besides what is so: each frame with d3 is said to have d1.
      { lie: ({ device, recvUs }) => ({ device: device === "d3" ? "d1" : device, recvUs }) },
      { lie: ({ device, recvUs }) => ({ device, recvUs: recvUs + 1 }) },
    ];
    for (const lie of lies) {
      await using store = await filledStore();
      await indexAll(store, lie);
      const { records, warnings } = await read(store);
      expect(records).toEqual(await plainScan(store.storage, chosen));
      expect(warnings[0]).toContain("the index is wrong about");
    }
  });

  test("it is of other data under the same names", async () => {
    await using store = await filledStore();
    await indexAll(store);
    const [extent] = await store.storage.list(new Map());
    const { receiver, epoch } = extent!;
    const path = join(store.path, "segments", receiver, epoch, "00000000.zst");
    const bytes = readFileSync(path);
    // The second frame stands first now.
    const at = bytes.indexOf(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), 4);
    const end = bytes.indexOf(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), at + 4);
    const frames = [bytes.subarray(at, end), bytes.subarray(0, at), bytes.subarray(end)];
    writeFileSync(path, Buffer.concat(frames));
    const { records, warnings } = await read(store);
    expect(records).toEqual(await plainScan(store.storage, chosen));
    expect(warnings[0]).toContain("the index is wrong about");
  });

  test("it is of other storage", async () => {
    await using store = await filledStore(1);
    await using other = await filledStore(2);
    await indexAll(other);
    await indexAll(store, { most: 1 });
    writeFileSync(pathOf(store), readFileSync(pathOf(other)));
    const { records } = await read(store);
    expect(records).toEqual(await plainScan(store.storage, chosen));
  });

  test("segments of it have been deleted, which is no lie", async () => {
    await using store = await filledStore();
    await indexAll(store);
    const [extent] = await store.storage.list(new Map());
    rmSync(join(store.path, "segments", extent!.receiver, extent!.epoch), { recursive: true });
    const { records, warnings } = await read(store);
    expect({ records, warnings }).toEqual({
      records: await plainScan(store.storage, chosen),
      warnings: [],
    });
    await fill(store);
    using index = IndexFile.read(pathOf(store))!;
    expect(index.parts().some(({ epoch }) => epoch.endsWith(extent!.epoch))).toBe(false);
  });

  test("what isn't an index is refused to read, and set aside to write", async () => {
    await using store = await filledStore();
    await indexAll(store, { most: 1 });
    for (const junk of ["not a database at all, but a text that is long enough", ""]) {
      writeFileSync(pathOf(store), junk);
      for (const end of ["-wal", "-shm"]) writeFileSync(pathOf(store) + end, "");
      expect(() => IndexFile.read(pathOf(store))).toThrow("as an index");
    }
    writeFileSync(pathOf(store), "not a database at all, but a text that is long enough");
    const reports: string[] = [];
    await fill(store, (text) => reports.push(text));
    expect(reports[0]).toContain("It is made anew; set aside as");
    expect((await read(store)).records).toEqual(await plainScan(store.storage, chosen));
  });
});
