import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { openSync, readdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { block, lines, noonUs, syncLine } from "../fixtures.ts";
import { RandomStore } from "../reading/reading_fixtures.ts";
import { FrameTexts } from "./frame_texts.ts";
import { Grep, type GrepOptions } from "./grep.ts";
import { HotReads } from "./hot_reads.ts";
import type { Line } from "./line.ts";
import { Search } from "./search.ts";
import { lineName, slowGrep, type SlowOptions } from "./slow_grep.ts";
import { HotTasks } from "./tasks.ts";

const always = { sinceUs: 0, untilUs: Infinity };
type Asked = Partial<Omit<SlowOptions, "regex">> & {
  threads?: number;
  range?: GrepOptions["range"];
};

/** What the search shows, in its order. */
async function grepAll(
  storage: FolderStorage,
  source: string,
  { threads = 0, before = 0, after = 0, devices, from, level, range }: Asked = {},
  warn: (text: string) => void = (text) => {
    throw new Error(text);
  },
): Promise<Line[]> {
  const around = before + after > 0 ? { before, after } : undefined;
  // The random store's devices are silent for longer than anybody waits.
  const grep = new Grep({ range, level, around, holdMs: Infinity, texts: new FrameTexts(storage) });
  const wanted = {
    source,
    ignoreCase: false,
    devices,
    from,
    level,
    clocks: true,
    allBlocks: !!around,
  };
  await using search = new Search({ wanted, threads, warn });
  const shown: Line[] = [];
  const tasks = new HotTasks(await HotReads.open(storage, new Map(), always), warn);
  for await (const searched of search.of(tasks)) shown.push(...(await grep.take(searched)).flat());
  return [...shown, ...grep.end().flat()];
}

const namesOf = (shown: readonly Line[]) => shown.map(lineName).sort();

/** Frames of blocks, each committed on its own, in the folder. */
async function stored(folder: TemporaryFolder, ...frames: string[]): Promise<FolderStorage> {
  const storage = new FolderStorage(folder.path);
  const epoch = await storage.createEpoch("r1");
  for (const text of frames) await epoch.commit([compressFrame(Buffer.from(text, "latin1"))]);
  await epoch.close();
  return storage;
}

describe("grep", () => {
  for (let seed = 1; seed <= 6; seed++) {
    test(`finds what its slow twin finds, with what is around it: seed ${seed}`, async () => {
      const random = seededRandom(seed);
      await using store = new RandomStore(random);
      await store.commits(120);
      const { storage } = store;
      const two = { before: Math.floor(random() * 4), after: Math.floor(random() * 4) };
      const asked: Array<[string, Asked]> = [
        ["kmsg 1", {}],
        ["app:x [0-9]*7$", {}],
        ["^raw line \\d*3|kmsg 12", two],
        ["kmsg \\d*[05]$", { ...two, devices: new Set(["d1", "d3"]) }],
        ["\\d9|another", { before: 1, after: 2, level: 6, from: "app:x" }],
        ["nowhere to be found", two],
      ];
      let found = 0;
      for (const [source, options] of asked) {
        const slow = { regex: new RegExp(source), before: 0, after: 0, ...options };
        const expected = await slowGrep(storage, slow);
        expect(namesOf(await grepAll(storage, source, options))).toEqual(expected);
        found += expected.length;
      }
      expect(found).toBeGreaterThan(50);
    });
  }

  test("finds the same in the same order with other threads", async () => {
    await using store = new RandomStore(seededRandom(9));
    await store.commits(150);
    const alone = await grepAll(store.storage, "kmsg \\d*2", { before: 1, after: 1 });
    const shared = await grepAll(store.storage, "kmsg \\d*2", { before: 1, after: 1, threads: 2 });
    expect(alone.length).toBeGreaterThan(20);
    expect(shared).toEqual(alone);
  });

  test("shows a match before what comes later has been read", async () => {
    using folder = new TemporaryFolder();
    const storage = await stored(folder, block(lines(0, 2, "the needle")), block(lines(3, 5)));
    const wanted = { source: "needle", ignoreCase: false, clocks: true, allBlocks: false };
    const grep = new Grep({ texts: new FrameTexts(storage) });
    await using search = new Search({ wanted, threads: 0, warn: () => {} });
    const tasks = new HotTasks(await HotReads.open(storage, new Map(), always), () => {});
    for await (const searched of search.of(tasks)) {
      expect((await grep.take(searched)).flat().map(({ record }) => record.seq)).toEqual([0, 1, 2]);
      break;
    }
  });

  test("shows what is around a match in its stream, across frames and other devices' blocks", async () => {
    using folder = new TemporaryFolder();
    const storage = await stored(
      folder,
      block(lines(0, 3)),
      block(lines(0, 9, "not of this device"), { device: "d2" }),
      block(lines(4, 4, "the needle")),
      block(lines(0, 3), { source: "app:x", stream: "s1" }),
      block(lines(5, 8)),
    );
    const shown = await grepAll(storage, "needle", { before: 2, after: 3 });
    expect(shown.map(({ kind, header, record }) => `${kind} ${header.device} ${record.seq}`))
      .toEqual([
        "context d1 2",
        "context d1 3",
        "match d1 4",
        "context d1 5",
        "context d1 6",
        "context d1 7",
      ]);
  });

  test("shows matches that are near each other once, in one group", async () => {
    using folder = new TemporaryFolder();
    // The one in between comes last: it makes one group of two.
    const storage = await stored(
      folder,
      block(lines(0, 1) + lines(2, 2, "needle")),
      block(lines(6, 6, "needle") + lines(7, 9)),
      block(lines(3, 3) + lines(4, 4, "needle") + lines(5, 5)),
    );
    const shown = await grepAll(storage, "needle", { before: 1, after: 1 });
    expect(shown.map(({ kind, record }) => `${kind} ${record.seq}`)).toEqual([
      "context 1",
      "match 2",
      "context 3",
      "match 4",
      "context 5",
      "match 6",
      "context 7",
    ]);
  });

  test("dates records by their boot's clock, and takes those of the range that is asked for", async () => {
    using folder = new TemporaryFolder();
    const bootUs = noonUs - 100e6;
    const sync = syncLine(0, 1e6, bootUs + 1e6);
    const storage = await stored(
      folder,
      block(sync + lines(0, 9, "the needle"), { recvUs: noonUs - 99e6 }),
    );
    const range = { sinceUs: bootUs + 3e6 - 50_000, untilUs: bootUs + 6e6 - 50_000 };
    const shown = await grepAll(storage, "needle", { range });
    // None was written after it was received, 1 s after the boot.
    expect(shown.map(({ record }) => record.seq)).toEqual([]);
    const [first] = await grepAll(storage, "needle");
    expect(first!.time.wallUs).toBe(bootUs);
  });

  test("steps over damage, says so, and finds what is behind it", async () => {
    using folder = new TemporaryFolder();
    const frames = Array.from(
      { length: 9 },
      (_, i) => block(lines(10 * i, 10 * i + 9, "the needle")),
    );
    // Raw lines have no seq: they would be shown twice if what comes again weren't forgotten.
    const raw = block("the needle as it came\n", { source: "raw", first: 0, last: 0, count: 0 });
    const storage = await stored(folder, ...frames, raw);
    const epoch = join(
      folder.path,
      "segments/r1",
      readdirSync(join(folder.path, "segments/r1"))[0]!,
    );
    const offset = 4 * compressFrame(Buffer.from(frames[0]!, "latin1")).length + 40;
    writeSync(openSync(join(epoch, "00000000.zst"), "r+"), Buffer.from("damage"), 0, 6, offset);
    for (const threads of [0, 1]) {
      const said: string[] = [];
      const shown = await grepAll(storage, "needle", { threads }, (text) => said.push(text));
      expect(shown.length).toBe(81);
      expect(said.join()).toMatch(/segments\/r1\/.*00000000\.zst at \d+: \d+ bytes can't be read/);
    }
  });
});
