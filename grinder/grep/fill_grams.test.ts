import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { openSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { epochKey, type Extent, segmentPath, type Storage } from "../../shared/storage/storage.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { block, lines, noonUs, syncLine } from "../fixtures.ts";
import { IndexFile, indexPath } from "../index/index_file.ts";
import { RandomStore } from "../reading/reading_fixtures.ts";
import { fillGrams } from "./fill_grams.ts";
import { FrameTexts } from "./frame_texts.ts";
import { Grep } from "./grep.ts";
import { GramFilter } from "./gram_filter.ts";
import { GramQuery } from "./gram_query.ts";
import { HotReads } from "./hot_reads.ts";
import { Search, skippedFound } from "./search.ts";
import { lineName, slowGrep } from "./slow_grep.ts";
import { HotTasks } from "./tasks.ts";

const always = { sinceUs: 0, untilUs: Infinity };
const never = (text: string) => {
  throw new Error(`said: ${text}`);
};

/** Random commits of several receivers, all closed. */
async function closedStore(seed: number, commits = 60): Promise<RandomStore> {
  const store = new RandomStore(seededRandom(seed));
  await store.commits(commits);
  return store;
}

const outOf = (store: { path: string }) => join(store.path, "out");

async function fill(store: { storage: Storage; path: string }, threads = 0, warn = never) {
  using file = IndexFile.write(indexPath(outOf(store)), 0, never);
  return await fillGrams({ storage: store.storage, grams: file.grams, threads, warn });
}

/** What grep shows with the index as it is now; of which segments it searched frames; what it said. */
async function grepWith(
  store: { storage: Storage; path: string },
  source: string,
  { ignoreCase = false, isFiltered = true } = {},
) {
  using index = IndexFile.read(indexPath(outOf(store)));
  const query = GramQuery.of({ source, ignoreCase });
  const said: string[] = [];
  const warn = (text: string) => void said.push(text);
  const { storage } = store;
  const filter = isFiltered && index && query
    ? new GramFilter({ grams: index.grams, query, clocks: true, warn })
    : undefined;
  const grep = new Grep({ texts: new FrameTexts(storage) });
  const wanted = { source, ignoreCase, clocks: true, allBlocks: false };
  await using search = new Search({ wanted, threads: 0, warn });
  const reads = await HotReads.open(storage, new Map(), always, filter);
  const tasks = new HotTasks(reads, warn, skippedFound);
  const lines: string[] = [];
  const times = new Map<string, number>();
  const searchedIn: string[] = [];
  let storedBytes = 0;
  for await (const searched of search.of(tasks)) {
    const { task } = searched;
    storedBytes += task.storedBytes;
    if (task.frame) searchedIn.push(task.segment);
    for (const line of (await grep.take(searched)).flat()) {
      lines.push(lineName(line));
      times.set(lineName(line), line.time.wallUs);
    }
  }
  expect(storedBytes).toBe(reads.storedBytesTotal);
  return { lines: lines.sort(), times, searchedIn, said };
}

function edit(store: RandomStore, sql: string): void {
  const db = new DatabaseSync(indexPath(outOf(store)));
  db.exec(sql);
  db.close();
}

/** Regexes of which some are common, some rare, some nowhere, and some have no literal at all. */
const asked = [
  "kmsg 1",
  "kmsg \\d*23$",
  "app:x 1[0-9]7$",
  "^raw line \\d*3",
  "raw line 1|app:x 22",
  "nowhere to be found",
  "\\d9",
];

describe("grep that leaves out what can't match", () => {
  for (let seed = 1; seed <= 6; seed++) {
    test(`finds what its slow twin finds, at the same times: seed ${seed}`, async () => {
      await using store = await closedStore(seed);
      await fill(store);
      for (const source of asked) {
        const expected = await slowGrep(store.storage, {
          regex: new RegExp(source),
          before: 0,
          after: 0,
        });
        const found = await grepWith(store, source);
        expect([found.lines, found.said]).toEqual([expected, []]);
        const all = await grepWith(store, source, { isFiltered: false });
        expect(found.times).toEqual(all.times);
      }
    });
  }

  test("dates what it finds by clock records in frames that it doesn't read", async () => {
    using folder = new TemporaryFolder();
    const storage = new FolderStorage(folder.path);
    const epoch = await storage.createEpoch("r1");
    const bootUs = noonUs - 3600e6;
    const frames = [1, 2, 3, 4].map((at) => {
      const usec = at * 60e6;
      const sync = syncLine(at, usec, bootUs + usec);
      const records = at === 4 ? lines(150, 153, "the needle") : sync + lines(10 * at, 10 * at + 3);
      // Received a while after it was written: only clock records say when.
      return block(records, { recvUs: bootUs + usec + 1e6 });
    });
    // Each too large to be noted together with another.
    const filler = block(lines(0, 4_000, "nothing of note ".repeat(12)), { device: "d2" });
    for (const text of frames) {
      await epoch.commit([compressFrame(Buffer.from(text + filler, "latin1"))]);
    }
    await epoch.close();
    const store = { storage, path: folder.path };
    await fill(store);
    const [found, all] = [
      await grepWith(store, "needle"),
      await grepWith(store, "needle", { isFiltered: false }),
    ];
    // The one with the needle, with the segment's end.
    expect([found.searchedIn.length, all.searchedIn.length]).toEqual([2, 5]);
    expect(found.times.size).toBe(4);
    expect(found.times).toEqual(all.times);
    expect([...found.times.values()]).toEqual([150, 151, 152, 153].map((s) => bootUs + s * 1e6));
  });

  test("finds any part of any record, whatever the case that is asked for", async () => {
    const random = seededRandom(77);
    await using store = await closedStore(7);
    await fill(store);
    const all = (await grepWith(store, "")).lines;
    for (let i = 0; i < 60; i++) {
      const words = all[Math.floor(random() * all.length)]!.split(" ");
      // Behind the record's name.
      const text = words.slice(words[2] === "raw" ? 4 : 5).join(" ");
      const start = Math.floor(random() * Math.max(1, text.length - 6));
      const part = text.slice(start, start + 5 + Math.floor(random() * 9));
      const source = part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
      const ignoreCase = random() < 0.3;
      const { lines } = await grepWith(store, source, { ignoreCase });
      expect(lines).toEqual(
        (await grepWith(store, source, { ignoreCase, isFiltered: false })).lines,
      );
      expect(lines.length).toBeGreaterThan(0);
    }
  });

  test("reads next to nothing for what is nowhere, and all of what isn't noted yet", async () => {
    await using store = await closedStore(8);
    const nameOf = (one: Extent) => `${epochKey(one)}/${String(one.segment).padStart(8, "0")}`;
    const extents = await store.storage.list(new Map());
    const open = extents.filter(({ final }) => !final).map(nameOf);
    const before = await grepWith(store, "nowhere to be found");
    expect(new Set(before.searchedIn)).toEqual(new Set(extents.map(nameOf)));
    await fill(store);
    const after = await grepWith(store, "nowhere to be found");
    expect(new Set(after.searchedIn)).toEqual(new Set(open));
    expect(open.length).toBeLessThan(extents.length / 2);
    const epoch = await store.storage.createEpoch("r9");
    const text = block(lines(0, 9, "nowhere to be found"), { device: "late", recvUs: noonUs });
    await epoch.commit([compressFrame(Buffer.from(text, "latin1"))]);
    expect((await grepWith(store, "nowhere to be found")).lines.length).toBe(10);
    await epoch.close();
    expect((await fill(store)).textBytes).toBeLessThan(text.length + 10);
    expect((await grepWith(store, "nowhere to be found")).lines.length).toBe(10);
  });

  test("notes the same with other threads", async () => {
    await using store = await closedStore(9);
    const rows = () => {
      const db = new DatabaseSync(indexPath(outOf(store)));
      const all = db.prepare("SELECT * FROM grams ORDER BY epoch, segment, from_offset").all();
      db.close();
      return all.map(({ id: _, ...row }) => row);
    };
    await fill(store);
    const alone = rows();
    edit(store, "DELETE FROM grams");
    await fill(store, 1);
    expect(alone.length).toBeGreaterThan(0);
    expect(rows()).toEqual(alone);
  });

  for (
    const [what, sql] of [
      ["bits were cleared", "UPDATE grams SET bits = zeroblob(length(bits))"],
      ["bits were cut off", "UPDATE grams SET bits = substr(bits, 1, length(bits) / 2)"],
      ["bits are another stretch's", "UPDATE grams SET to_offset = to_offset + 1"],
      [
        "bits are another segment's",
        "UPDATE grams SET segment = segment + 1000; UPDATE grams SET segment = 1000 + segment % 1000",
      ],
      ["clock records were cut off", "UPDATE grams SET clocks = substr(clocks, 2)"],
      ["checksums were changed", "UPDATE grams SET sum = sum + 1"],
    ] as const
  ) {
    test(`finds all of it where ${what}`, async () => {
      await using store = await closedStore(10);
      await fill(store);
      const { lines: expected } = await grepWith(store, "kmsg 1", { isFiltered: false });
      edit(store, sql);
      const { lines, said } = await grepWith(store, "kmsg 1");
      expect(lines).toEqual(expected);
      expect(expected.length).toBeGreaterThan(0);
      const nowhere = await grepWith(store, "nowhere to be found");
      expect(nowhere.lines).toEqual([]);
      // Of a segment that isn't there nobody asks.
      if (what.includes("segment")) return;
      expect(nowhere.said.length).toBe(1);
      expect(nowhere.said[0] ?? said[0]).toContain("the index of grams can't be used");
    });
  }

  test("notes nothing of a segment with damage, says what is damaged, and finds the rest", async () => {
    await using store = await closedStore(11);
    const [extent] = await store.storage.list(new Map());
    const path = join(store.path, segmentPath(extent!));
    writeSync(openSync(path, "r+"), Buffer.from("damage"), 0, 6, statSync(path).size >> 1);
    await fill(store);
    using index = IndexFile.read(indexPath(outOf(store)))!;
    expect(index.grams.segments(epochKey(extent!)).has(extent!.segment)).toBe(false);
    const found = await grepWith(store, "kmsg 1");
    expect(found.said.length).toBeGreaterThan(0);
    const all = await grepWith(store, "kmsg 1", { isFiltered: false });
    expect([found.lines, found.said]).toEqual([all.lines, all.said]);
  });

  test("forgets what isn't stored any more, and reads an index that was never told of grams", async () => {
    await using store = await closedStore(12);
    await fill(store);
    const [extent] = await store.storage.list(new Map());
    rmSync(join(store.path, segmentPath(extent!)));
    await fill(store);
    using index = IndexFile.read(indexPath(outOf(store)))!;
    expect(index.grams.segments(epochKey(extent!)).has(extent!.segment)).toBe(false);
    edit(store, "DROP TABLE grams");
    const all = await grepWith(store, "kmsg 1", { isFiltered: false });
    const found = await grepWith(store, "kmsg 1");
    expect([found.lines, found.said]).toEqual([all.lines, []]);
  });
});
