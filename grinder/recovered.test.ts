import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { readNew } from "../shared/segment_reader.ts";
import { StorageError } from "../shared/storage/storage.ts";
import { block, line, lines, Mill, seqsOf } from "./fixtures.ts";

const pstore = { source: "pstore", stream: "pstore-1" };
/** Lines of a dump: `[USEC, TEXT]...`, numbered from 0. */
const words = (all: Array<[number, string]>, first = 0) =>
  all.map(([usec, text], i) => `6,${first + i},${usec},p;${text}\n`).join("");
const up = (ports: string[]) =>
  ports.map((port, i): [number, string] => [i * 1e6, `link up on ${port}`]);
const kmsg = (all: Array<[number, string]>, first = 0) =>
  all.map(([usec, text], i) => line(first + i, text, usec)).join("");

/** The ports of all events, in order of time and text. */
const ports = (mill: Mill) =>
  mill.events().filter(({ rule }) => rule === "link")
    .map(({ source, text }) => `${source} ${text.split(" on ")[1]}`).sort();

describe("last words that are stored as kmsg records already", () => {
  test("are dropped: all, some or none, and said in the counters", async () => {
    for (const stored of [0, 2, 4]) {
      await using mill = new Mill();
      const receiver = await mill.receiver();
      const all = up(["a", "b", "c", "d"]);
      if (stored > 0) await receiver.store(block(kmsg(all.slice(0, stored), 70)));
      await receiver.store(block(words(all), pstore));
      await mill.grindAll();
      expect(ports(mill)).toEqual(
        all.map(([, text], i) => `${i < stored ? "kmsg" : "pstore"} ${text.split(" on ")[1]}`),
      );
      expect(mill.counters()).toEqual({
        records: 4,
        ...(stored > 0 ? { recovered_stored_records: stored } : {}),
      });
      expect(mill.stream("d1 pstore pstore-1").stored.encode()).toBe("0-3");
    }
  });

  test("are dropped as often as they are stored: twice in the dump and once in kmsg is one more", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const same: [number, string] = [5e6, "link up on a"];
    await receiver.store(block(kmsg([same], 9)));
    await receiver.store(block(words([same, same]), pstore));
    await mill.grindAll();
    expect(ports(mill)).toEqual(["kmsg a", "pstore a"]);
  });

  test("are dropped in every split over frames, batches and restarts", async () => {
    const all = up(["a", "b", "b", "c", "d", "e"]);
    all[2] = all[1]!;
    for (let split = 1; split < all.length; split++) {
      for (const pause of ["none", "commit", "reopen"]) {
        await using mill = new Mill();
        const receiver = await mill.receiver();
        const next = async () => {
          if (pause !== "none") await mill.grindAll("batch");
          if (pause === "reopen") mill.reopen();
        };
        await receiver.store(block(kmsg(all.slice(0, 2), 0)));
        await next();
        await receiver.store(block(kmsg(all.slice(2, 4), 2)));
        await next();
        await receiver.store(block(words(all.slice(0, split)), pstore));
        await next();
        await receiver.store(block(words(all.slice(split), split), pstore));
        await mill.grindAll();
        expect([split, pause, ports(mill)]).toEqual([
          split,
          pause,
          ["kmsg a", "kmsg b", "kmsg b", "kmsg c", "pstore d", "pstore e"],
        ]);
      }
    }
  });

  test("are dropped in one frame with them, whichever comes first", async () => {
    const [stored, dumped] = [
      block(kmsg(up(["a", "b"]))),
      block(words(up(["a", "b", "c"])), pstore),
    ];
    for (const blocks of [[stored, dumped], [dumped, stored]]) {
      await using mill = new Mill();
      const receiver = await mill.receiver();
      await receiver.store(...blocks);
      await mill.grindAll();
      expect(ports(mill).map((text) => text.split(" ")[1])).toEqual(["a", "b", "c"]);
    }
  });

  test("are known line by line where a record has several, and escaped bytes as what they are", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const record = "6,3,5000000,-;cut here\\x0alink up on a\\x0acaf\\xc3\\xa9\n";
    await receiver.store(block(record));
    const dumped: Array<[number, string]> = ["cut here", "link up on a", "caf\\xc3\\xa9", "more"]
      .map((text) => [5e6, text]);
    await receiver.store(block(words(dumped), pstore));
    await mill.grindAll();
    expect(mill.counters()).toEqual({ records: 2, recovered_stored_records: 3 });
    const whole = "6,0,5000000,p;cut here\\x0alink up on a\n";
    await receiver.store(block(whole, { source: "kmsg", stream: "ring-1" }));
    await mill.grindAll();
    expect(mill.counters()).toMatchObject({ records: 2, recovered_stored_records: 4 });
  });

  test("are another boot's or device's where only those have the same", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(
      block(kmsg(up(["a"])), { boot: "b2", stream: "b2" }),
      block(kmsg(up(["a"])), { device: "d2" }),
    );
    await receiver.store(block(words(up(["a"])), pstore));
    await mill.grindAll();
    expect(ports(mill)).toEqual(["kmsg a", "kmsg a", "pstore a"]);
  });
});

describe("kmsg records that come after the last words", () => {
  test("were counted then, and aren't again, over restarts too", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const all = up(["a", "b", "c"]);
    await receiver.store(block(words(all.slice(1)), pstore));
    await mill.grindAll("batch");
    mill.reopen();
    // As from a spool on the disk, or from another receiver's epoch.
    await receiver.store(block(kmsg(all, 40)));
    await mill.grindAll("batch");
    mill.reopen();
    await receiver.store(block(words(all), { source: "pstore", stream: "pstore-2" }));
    await mill.grindAll();
    expect(ports(mill)).toEqual(["kmsg a", "pstore b", "pstore c"]);
    expect(mill.counters()).toEqual({
      records: 3,
      stored_recovered_records: 2,
      recovered_stored_records: 3,
    });
  });

  test("make a line known once: the second of it is new", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const same: [number, string] = [5e6, "link up on a"];
    await receiver.store(block(words([same]), pstore));
    await receiver.store(block(kmsg([same, same], 3)));
    await mill.grindAll();
    expect(ports(mill)).toEqual(["kmsg a", "pstore a"]);
  });
});

describe("last words", () => {
  test("that are sent again are dropped by their seqs", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const sent = block(words(up(["a", "b"])), pstore);
    await receiver.store(sent, sent);
    await mill.grindAll();
    await receiver.store(sent);
    await mill.grindAll();
    expect(ports(mill)).toEqual(["pstore a", "pstore b"]);
    expect(mill.counters()).toEqual({ records: 2, resent_records: 4 });
  });

  test("that come in a second stream with more of them give what is new", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const all = up(["a", "b", "c"]);
    await receiver.store(block(words(all.slice(1)), pstore));
    await receiver.store(block(words(all), { source: "pstore", stream: "pstore-2" }));
    await mill.grindAll();
    expect(ports(mill)).toEqual(["pstore a", "pstore b", "pstore c"]);
  });

  test("are an ordinary kmsg record's flag to a client of another kind", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(words(up(["a"]))));
    await mill.grindAll();
    expect(ports(mill)).toEqual(["kmsg a"]);
  });

  test("are all new where the segments of their boot are deleted by now", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(kmsg(up(["a"]))));
    await mill.grindAll("batch");
    await receiver.store(block(words(up(["a"])), pstore));
    const deleted = {
      read: () => Promise.reject(new StorageError("it isn't there")),
      list: () => Promise.resolve([]),
    };
    for await (const read of readNew(mill.storage, mill.grind.cursors)) {
      mill.grind.take(read, await mill.grind.tails.storedLines(read, deleted));
    }
    await mill.grindAll();
    expect(ports(mill)).toEqual(["kmsg a", "pstore a"]);
  });

  test("change nothing when the storage can't be read for them, and are taken the next time", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(kmsg(up(["a"]))));
    await mill.grindAll("batch");
    await receiver.store(block(words(up(["a"])), pstore));
    const broken = {
      read: () => Promise.reject(new StorageError("broken")),
      list: () => Promise.reject(new StorageError("broken")),
    };
    for await (const read of readNew(mill.storage, mill.grind.cursors)) {
      const failing = mill.grind.tails.storedLines(read, broken);
      expect(await failing.catch((error) => (error as Error).message)).toBe("broken");
    }
    await mill.grindAll();
    expect(ports(mill)).toEqual(["kmsg a"]);
  });

  test("never cost more than some frames of their boot's end", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    for (let seq = 0; seq < 100; seq++) await receiver.store(block(lines(seq, seq)));
    await mill.grindAll("batch");
    mill.reopen();
    await receiver.store(block(words([[0, "x"], [99e6, "link up on eth0"]]), pstore));
    let reads = 0;
    for await (const read of readNew(mill.storage, mill.grind.cursors)) {
      const counted = {
        list: mill.storage.list.bind(mill.storage),
        read: (...at: Parameters<typeof mill.storage.read>) => {
          reads++;
          return mill.storage.read(...at);
        },
      };
      mill.grind.take(read, await mill.grind.tails.storedLines(read, counted));
    }
    expect(reads).toBe(limits.tailFramesMax);
    await mill.grindAll();
    expect(seqsOf(mill.events()).length).toBe(100);
  });
});

test("what is remembered of a boot's end is bounded, and its last words forgotten after a month", async () => {
  await using mill = new Mill();
  const receiver = await mill.receiver();
  for (let seq = 0; seq < limits.tailFramesMax + 5; seq++) {
    await receiver.store(block(lines(seq, seq)));
    await mill.grindAll("batch");
  }
  await receiver.store(block(words(up(["x"])), { ...pstore, boot: "b0" }));
  await mill.grindAll("batch");
  expect(mill.stream("d1 kmsg b1").places.size).toBe(limits.tailFramesMax);
  expect(mill.state.recovered.boots()).toEqual(["d1 b0"]);
  mill.state.transaction(() => mill.state.recovered.forgetBefore(Number.MAX_SAFE_INTEGER));
  expect(mill.state.recovered.boots()).toEqual([]);
});
