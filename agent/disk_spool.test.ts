import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { FakeNetwork } from "../tests/fake_network.ts";
import { settle, TemporaryFolder } from "../tests/fixtures.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { Pipeline } from "./pipeline.ts";
import { bytesMax, minute, Rig, seqs, shipLeftovers, shown, text } from "./spool_rig.ts";
import { SpoolQueue } from "./spool_queue.ts";

const kib = 1024;

describe("a disk spool", () => {
  test("passes records through, and writes nothing, while all is well", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    const first = rig.spool.read();
    rig.give(3);
    expect((await first)!.map(shown)).toEqual([0]);
    expect(await rig.taken()).toEqual([1, 2]);
    await rig.spool.acknowledged(2);
    expect(rig.files).toEqual([]);
  });

  test("reads and writes nothing in an outage of less than a minute", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.give(3);
    for (const offlineMs of [1, 30_000, minute]) {
      expect(rig.spool.safe(offlineMs)).toBe(true);
      rig.inner.isSafe = false;
      expect(rig.spool.safe(offlineMs)).toBe(false);
      rig.inner.isSafe = true;
    }
    await rig.idle();
    expect([rig.inner.unread, rig.files]).toEqual([3, []]);
  });

  test("takes to the disk in a long outage what memory can't, and says that it is safe", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.inner.isSafe = false;
    rig.give(20);
    expect(rig.spool.safe(minute + 1)).toBe(true);
    await rig.spooled();
    expect(rig.queue.bytes).toBeGreaterThan(20 * text.length);
    expect(rig.spool.safe(minute + 1)).toBe(true);
  });

  test("gives all of it in order, and once, when there is room again", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.give(2);
    expect(await rig.taken()).toEqual([0, 1]);
    rig.give(50);
    await rig.spooled();
    rig.give(5);
    expect(await rig.taken()).toEqual(seqs(2, 57));
    // Nothing more goes to the disk.
    const { bytes } = rig.queue;
    rig.give(5);
    expect(await rig.taken()).toEqual(seqs(57, 62));
    expect(rig.queue.bytes).toBe(bytes);
    await rig.spool.acknowledged(61);
    expect(rig.queue.bytes).toBe(0);
  });

  test("gathers lines for a while: each append wears flash", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.spool.safe(2 * minute);
    for (let n = 0; n < 10; n++) {
      rig.give(1, "short");
      await rig.clock.advance(limits.offlineFlushMs / 10 - 1);
    }
    expect(rig.files).toEqual([]);
    await rig.idle();
    const written = readFileSync(join(folder.path, rig.files[0]!), "latin1");
    expect(written.match(/^@/gm)!.length).toBe(1);
    expect(written.match(/short/g)!.length).toBe(10);
  });

  test("that is spooling goes on while its queue is read, until that is at its end", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.give(100);
    await rig.spooled();
    const some = (await rig.spool.read())!.map(shown);
    rig.give(10);
    await rig.idle();
    expect(rig.inner.unread).toBe(0);
    expect([...some, ...await rig.taken()]).toEqual(seqs(0, 110));
  });

  test("gives what is on its way to the disk before it reads on", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    const { append } = rig.queue;
    const disk = Promise.withResolvers<void>();
    rig.queue.append = (entry) => disk.promise.then(() => append(entry));
    rig.give(2);
    rig.spool.safe(2 * minute);
    await rig.clock.advance(limits.offlineFlushMs);
    const read = rig.spool.read();
    await settle();
    rig.give(1);
    await settle();
    disk.resolve();
    expect((await read)!.map(shown)).toEqual([0, 1]);
    expect(await rig.taken()).toEqual([2]);
  });

  test("gives all in order where the pipeline and the outage take turns", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    for (let round = 0; round < 30; round++) {
      const from = rig.nextSeq;
      rig.give(1 + round % 20);
      rig.spool.safe(2 * minute);
      for (let turn = 0; turn < round; turn++) await new Promise((next) => setImmediate(next));
      expect(await rig.taken()).toEqual(seqs(from, rig.nextSeq));
      await rig.spool.acknowledged(rig.nextSeq - 1);
    }
  });

  test("that is closed gives all that was read and queued, and ends", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.give(40);
    await rig.spooled();
    rig.give(3);
    rig.spool.close();
    await rig.idle();
    expect(rig.inner.closed).toBe(true);
    // All of it is on disk: memory needn't make room for it.
    rig.inner.isSafe = false;
    expect(rig.spool.safe(2 * minute)).toBe(true);
    expect(await rig.taken()).toEqual(seqs(0, 43));
    expect(await rig.spool.read()).toBeUndefined();
  });

  test("fails as its source does, behind all that came before", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.give(3);
    rig.inner.give(new Error("the ring is gone"));
    await rig.spooled();
    expect((await rig.spool.read())!.map(shown)).toEqual([0, 1, 2]);
    const error = await rig.spool.read().catch((error) => error);
    expect(error.message).toBe("the ring is gone");
  });

  test("has the names of the one within", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    const { boot, source, stream, over } = rig.spool;
    expect({ boot, source, stream, over })
      .toEqual({ boot: "b1", source: "app:a", stream: "s1", over: false });
  });
});

describe("a full disk spool", () => {
  test("leaves exactly one gap, and that says exactly what is missing", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.give(700);
    await rig.spooled();
    expect(rig.queue.bytes).toBeLessThanOrEqual(bytesMax);
    const all = await rig.taken();
    const gaps = all.filter((item) => typeof item === "string");
    expect(gaps.length).toBe(1);
    const [, first, last] = /^evicted (\d+)-(\d+)$/.exec(gaps[0]!)!.map(Number);
    expect(all).toEqual([...seqs(0, first!), gaps[0]!, ...seqs(last! + 1, 700)]);
    expect(rig.reports.length).toBe(1);
  });

  test("has that gap after a kill, too", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.give(400);
    await rig.spooled();
    const all = await rig.taken();
    await using queue = await SpoolQueue.open(folder.path, { bytesMax });
    const [left] = await shipLeftovers(queue);
    expect(left!.filter((item) => `${item}`.startsWith("evicted")).length).toBe(1);
    expect(left!.slice(1)).toEqual(all);
    expect(queue.bytes).toBe(0);
  });

  test("of which nothing can go takes no more: its source's own word counts", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.give(240);
    await rig.spooled();
    expect((await rig.taken()).length).toBe(240);
    expect(rig.spool.safe(minute)).toBe(true);
    rig.inner.isSafe = false;
    rig.give(41);
    await rig.spooled();
    expect(rig.spool.safe(2 * minute)).toBe(false);
    expect(rig.reports.length).toBe(1);
    expect(rig.reports[0]).toMatch(/^app:a: the disk spool stands still: Cannot queue more/);
    await rig.spool.acknowledged(239);
    await rig.clock.advance(limits.diskSpoolRetryMs);
    expect(rig.spool.safe(2 * minute)).toBe(true);
    await rig.idle();
    expect(rig.reports.at(-1)).toBe("app:a: the disk spool goes on");
    expect(await rig.taken()).toEqual(seqs(240, 281));
  });
});

describe("a disk spool whose disk fails", () => {
  test("goes on in memory, says so once, and tries again later", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    const inTheWay = join(folder.path, "00000001.queue");
    mkdirSync(inTheWay);
    rig.inner.isSafe = false;
    rig.give(20);
    expect(rig.spool.safe(2 * minute)).toBe(true);
    await rig.idle();
    expect(rig.spool.safe(2 * minute)).toBe(false);
    const some = (await rig.spool.read())!.map(shown);
    while (some.length < 20) some.push(...(await rig.spool.read())!.map(shown));
    expect(some).toEqual(seqs(0, 20));
    for (let n = 0; n < 3; n++) {
      await rig.clock.advance(limits.diskSpoolRetryMs);
      rig.give(1);
      expect(rig.spool.safe(2 * minute)).toBe(true);
      await rig.idle();
      expect(rig.spool.safe(2 * minute)).toBe(false);
      expect((await rig.spool.read())!.map(shown)).toEqual([20 + n]);
    }
    expect(rig.reports.length).toBe(1);
    rmdirSync(inTheWay);
    await rig.clock.advance(limits.diskSpoolRetryMs);
    rig.give(5);
    await rig.spooled();
    expect(rig.files).toEqual(["00000001.queue"]);
    expect(rig.reports.length).toBe(2);
    expect(await rig.taken()).toEqual(seqs(23, 28));
  });

  test("gives what is queued before what it holds", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.give(20);
    await rig.spooled();
    for (let n = rig.files.length + 1; n < 9; n++) {
      mkdirSync(join(folder.path, `0000000${n}.queue`));
    }
    rig.give(40);
    await rig.idle();
    expect(rig.inner.unread).toBeGreaterThan(0);
    expect(await rig.taken()).toEqual(seqs(0, 60));
  });

  test("shows what a damaged entry has swallowed as a gap, in the same run", async () => {
    using folder = new TemporaryFolder();
    await using rig = await Rig.open(folder);
    rig.give(16 * 3);
    await rig.spooled();
    const path = join(folder.path, rig.files.sort()[1]!);
    const bytes = readFileSync(path);
    bytes[100]! ^= 1;
    writeFileSync(path, bytes);
    const all = await rig.taken();
    const at = all.findIndex((item) => typeof item === "string");
    const [, first, last] = /^lost (\d+)-(\d+)$/.exec(all[at] as string)!.map(Number);
    expect(all).toEqual([...seqs(0, first!), all[at]!, ...seqs(last! + 1, 48)]);
    expect(rig.queue.damagedBytes).toBeGreaterThan((last! - first!) * text.length);
  });
});

test("records through a pipeline, an outage of hours and back are all stored, in order", async () => {
  using folder = new TemporaryFolder();
  await using rig = await Rig.open(folder, 64 * bytesMax);
  const random = seededRandom(3);
  let online = true;
  const network = new FakeNetwork((post) => online ? post.accept() : post.fail("no network"));
  const pipeline = new Pipeline({
    source: rig.spool,
    acked: ({ range }) => {
      if (range) void rig.spool.acknowledged(range.last);
    },
    spoolBytes: 8 * limits.flushBytes,
    receivers: ["http://one"],
    token: () => Promise.resolve("token"),
    kernelUs: () => 1_000,
    wallSynced: () => true,
    report: () => {},
    clock: rig.clock,
    random: () => 0.5,
    fetch: network.fetch,
  });
  const run = pipeline.run();
  rig.inner.isSafe = false;
  const noise = () =>
    Array.from({ length: 4 * kib }, () => (random() * 36 | 0).toString(36)).join("");
  const live = async (minutes: number, each: number) => {
    for (let n = 0; n < minutes; n++) {
      for (let one = 0; one < each; one++) rig.give(1, noise());
      await rig.clock.advance(minute);
      await rig.quiet();
    }
  };
  await live(3, 1);
  expect(rig.files).toEqual([]);
  online = false;
  await live(120, 5);
  expect(rig.queue.bytes).toBeGreaterThan(100 * kib);
  online = true;
  await live(10, 1);
  await rig.clock.until(() => rig.queue.bytes === 0, 10 * minute);
  rig.spool.close();
  await rig.clock.until(() => pipeline.outbox.ended, minute);
  await rig.clock.advance(minute);
  await run;
  const stored = network.posts.flatMap((post) => post.seqs);
  expect([...new Set(stored)]).toEqual(seqs(0, rig.nextSeq));
  const gaps = network.posts.flatMap(({ records }) => records.filter(({ flag }) => flag === "g"));
  expect(gaps).toEqual([]);
});
