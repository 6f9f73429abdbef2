import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { openSync, readdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { type EpochWriter, type Storage, StorageError } from "../../shared/storage/storage.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { block, lines, linkRule, noonUs } from "../fixtures.ts";
import { follow, type Followed, type FollowOptions } from "./follow.ts";
import { startCursors } from "./start_cursors.ts";

/** A storage whose clock the test moves, and somebody who follows it step by step. */
class Followers extends TemporaryFolder {
  nowMs = noonUs / 1000;
  readonly storage = new FolderStorage(this.path, { nowMs: () => this.nowMs });
  readonly reports: string[] = [];

  commit(epoch: EpochWriter, ...blocks: string[]): Promise<void> {
    return epoch.commit([compressFrame(Buffer.from(blocks.join(""), "latin1"))]);
  }

  async start(options: Partial<FollowOptions> & { since?: number } = {}) {
    const storage = options.storage ?? this.storage;
    const cursors = await startCursors(this.storage, options.since);
    const all = follow({
      storage,
      cursors,
      sinceUs: options.since ?? 0,
      stop: new AbortController().signal,
      report: (text) => this.reports.push(text),
      sleep: () => Promise.resolve(),
      ...options,
    });
    // All that is there now. Frames without anything that is asked for are empty, too: so some in a row.
    return async (): Promise<string[]> => {
      const names: string[] = [];
      for (let empty = 0; empty < 4;) {
        const { value } = await all.next() as { value: Followed[] };
        empty = value.length === 0 ? empty + 1 : 0;
        names.push(...value.map(({ header, record }) => `${header.device} ${record.seq}`));
      }
      return names;
    };
  }
}

describe("tail", () => {
  test("begins at now, or at what came since then, and gives each record once", async () => {
    using folder = new Followers();
    const epoch = await folder.storage.createEpoch("r1");
    await folder.commit(epoch, block(lines(0, 1), { recvUs: noonUs - 9e6 }));
    await folder.commit(epoch, block(lines(2, 3), { recvUs: noonUs }));
    const fromNow = await folder.start();
    const since = await folder.start({ since: noonUs - 1e6 });
    expect(await fromNow()).toEqual([]);
    expect(await since()).toEqual(["d1 2", "d1 3"]);
    await folder.commit(epoch, block(lines(3, 4)), block(lines(4, 5)));
    expect(await fromNow()).toEqual(["d1 3", "d1 4", "d1 5"]);
    expect(await since()).toEqual(["d1 4", "d1 5"]);
    await epoch.close();
  });

  test("goes on over epochs that begin and end, and segments that roll over", async () => {
    using folder = new Followers();
    const first = await folder.storage.createEpoch("r1");
    await folder.commit(first, block(lines(0, 0)));
    const next = await folder.start();
    await folder.commit(first, block(lines(1, 1)));
    folder.nowMs += 11 * 60_000;
    await folder.commit(first, block(lines(2, 2)));
    await folder.commit(first, block(lines(3, 3)));
    const second = await folder.storage.createEpoch("r2");
    await folder.commit(second, block(lines(4, 4)));
    expect(await next()).toEqual(["d1 1", "d1 2", "d1 3", "d1 4"]);
    await first.close();
    const third = await folder.storage.createEpoch("r1");
    await folder.commit(third, block(lines(5, 5)));
    await folder.commit(second, block(lines(6, 6)));
    expect((await next()).sort()).toEqual(["d1 5", "d1 6"]);
    await second.close();
    await third.close();
    const segments = readdirSync(join(folder.path, "segments/r1"), { recursive: true }) as string[];
    expect(segments.filter((name) => name.endsWith("00000001.zst")).length).toBeGreaterThan(0);
  });

  test("says what is damaged, and goes on behind it", async () => {
    using folder = new Followers();
    const epoch = await folder.storage.createEpoch("r1");
    await folder.commit(epoch, block(lines(0, 9)));
    const next = await folder.start();
    await folder.commit(epoch, block(lines(10, 19)));
    await folder.commit(epoch, block(lines(20, 20)));
    const path = join(folder.path, "segments/r1", epoch.epoch, "00000000.zst");
    const offset = compressFrame(Buffer.from(block(lines(0, 9)), "latin1")).length;
    writeSync(openSync(path, "r+"), Buffer.from("damage"), 0, 6, offset + 30);
    expect(await next()).toEqual(["d1 20"]);
    expect(folder.reports.join()).toMatch(/00000000\.zst at \d+: \d+ bytes can't be read/);
    await epoch.close();
  });

  test("waits while the storage can't be read, and says that once, and once that it can again", async () => {
    using folder = new Followers();
    const epoch = await folder.storage.createEpoch("r1");
    let fails = 3;
    const storage: Storage = {
      createEpoch: folder.storage.createEpoch.bind(folder.storage),
      read: folder.storage.read.bind(folder.storage),
      watch: folder.storage.watch.bind(folder.storage),
      list: (after) =>
        fails-- > 0 ? Promise.reject(new StorageError("it is gone")) : folder.storage.list(after),
    };
    const next = await folder.start({ storage });
    await folder.commit(epoch, block(lines(0, 0)));
    // The first look at it is an empty one three times.
    expect(await next()).toEqual(["d1 0"]);
    expect(folder.reports).toEqual(["it is gone", "the storage can be read again"]);
    await epoch.close();
  });

  test("gives what is asked for: of devices, of levels, of a rule", async () => {
    using folder = new Followers();
    const epoch = await folder.storage.createEpoch("r1");
    const of = await folder.start({ devices: new Set(["d2"]) });
    const severe = await folder.start({ level: 3 });
    const events = follow({
      storage: folder.storage,
      cursors: new Map(),
      sinceUs: 0,
      rule: linkRule,
      stop: new AbortController().signal,
      report: () => {},
      sleep: () => Promise.resolve(),
    });
    const error = lines(8, 8, "it failed").replace("6,8", "3,8");
    await folder.commit(
      epoch,
      block(lines(0, 0, "nothing") + error),
      block(lines(1, 1), { device: "d2" }),
    );
    expect(await of()).toEqual(["d2 1"]);
    expect(await severe()).toEqual(["d1 8"]);
    const { value } = await events.next();
    expect((value as Followed[]).map(({ record, extracted }) => [record.seq, extracted?.labels]))
      .toEqual([[1, { way: "up" }]]);
    await epoch.close();
  });
});
