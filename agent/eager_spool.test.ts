import { mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { ordinary, settle, TemporaryFolder } from "../tests/fixtures.ts";
import { leftovers, readBefore } from "./leftovers.ts";
import { bytesMax, Rig, seqs, shipLeftovers, shown } from "./spool_rig.ts";
import { SpoolQueue } from "./spool_queue.ts";

const names = { boot: "b1", source: "app:a", stream: "s1" };
const open = (folder: TemporaryFolder) => Rig.open(folder, bytesMax, true);

/** What a machine would find that was reset now. */
async function leftAfterReset(folder: TemporaryFolder) {
  await using queue = await SpoolQueue.open(folder.path, { bytesMax, eager: true });
  return await shipLeftovers(queue);
}

describe("an eager spool", () => {
  test("has each record on disk, at once, before it gives it", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    for (let seq = 0; seq < 5; seq++) {
      rig.give(1, "short");
      expect((await rig.spool.read())!.map(shown)).toEqual([seq]);
      const written = readFileSync(join(folder.path, rig.files[0]!), "latin1");
      expect(written.match(/short/g)!.length).toBe(seq + 1);
    }
    expect(rig.clock.monotonicMs()).toBe(0);
  });

  test("waits for what comes next, and asks its queue nothing meanwhile", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    const read = rig.spool.read();
    await settle();
    let asked = 0;
    const { next } = rig.queue;
    rig.queue.next = (reader) => {
      asked++;
      return next.call(rig.queue, reader);
    };
    await settle();
    expect(asked).toBe(0);
    rig.give(1);
    expect((await read)!.map(shown)).toEqual([0]);
  });

  test("leaves what isn't acknowledged to the run after a reset, and nothing else", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    for (let n = 0; n < 20; n++) {
      rig.give(1, "short");
      await rig.spool.read();
    }
    await rig.spool.acknowledged(12);
    // One that was read of the source while memory is full.
    rig.spool.safe(0);
    rig.give(1, "short");
    await rig.quiet();
    expect(await leftAfterReset(folder)).toEqual([["app:a s1", ...seqs(13, 21)]]);
    expect(await leftAfterReset(folder)).toEqual([]);
  });

  test("takes no room for what is acknowledged", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    for (let round = 0; round < 40; round++) {
      rig.give(20);
      expect((await rig.taken()).length).toBe(20);
      await rig.spool.acknowledged(rig.nextSeq - 1);
    }
    // 3 MiB went over it; a segment has 64 KiB.
    expect([rig.queue.bytes, rig.reports]).toEqual([0, []]);
    expect(readdirSync(folder.path).filter((name) => name.endsWith(".queue")).length)
      .toBeLessThanOrEqual(1);
  });

  test("gives all of it in order, and its end, to a pipeline that is slow", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    rig.give(50);
    const some = (await rig.spool.read())!.map(shown);
    rig.spool.safe(0);
    await rig.idle();
    expect(rig.inner.unread).toBe(0);
    rig.give(20);
    rig.spool.close();
    some.push(...await rig.taken());
    expect(some).toEqual(seqs(0, 70));
    expect(await rig.spool.read()).toBeUndefined();
    expect(rig.spool.safe(0)).toBe(true);
  });

  test("fails as its source does, behind all that came before", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    rig.give(2);
    rig.inner.give(new Error("unplugged"));
    expect((await rig.spool.read())!.map(shown)).toEqual([0]);
    expect((await rig.spool.read())!.map(shown)).toEqual([1]);
    await expect(rig.spool.read()).rejects.toThrow("unplugged");
  });

  test("whose disk fails goes on in memory, and over the disk again when that takes it", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    const inTheWay = join(folder.path, "00000001.queue");
    mkdirSync(inTheWay);
    rig.give(20);
    expect(await rig.taken()).toEqual(seqs(0, 20));
    expect(rig.reports.length).toBe(1);
    rmdirSync(inTheWay);
    await rig.clock.advance(limits.diskSpoolRetryMs);
    rig.give(5);
    expect(await rig.taken()).toEqual(seqs(20, 25));
    expect(await leftAfterReset(folder)).toEqual([["app:a s1", ...seqs(20, 25)]]);
  });
});

describe("a full eager spool", () => {
  test("lets go of what memory has, too, and says so only after a reset", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    rig.give(600);
    // Memory takes it all: nothing is missing.
    expect(await rig.taken()).toEqual(seqs(0, 600));
    expect(rig.queue.bytes).toBeLessThanOrEqual(bytesMax);
    const [[, gap, ...kept] = []] = await leftAfterReset(folder);
    const [, last] = /^evicted 0-(\d+)$/.exec(gap as string)!.map(Number);
    expect(kept).toEqual(seqs(last! + 1, 600));
    expect(kept.length).toBeGreaterThan(200);
  });

  test("evicts its middle where memory is full as well, and leaves exactly one gap", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    rig.give(100);
    const some = await rig.taken();
    expect(rig.spool.safe(1)).toBe(true);
    rig.give(500);
    while (rig.inner.unread > 0) await rig.idle();

    some.push(...await rig.taken());
    const at = some.findIndex((item) => typeof item === "string");
    const [, first, last] = /^evicted (\d+)-(\d+)$/.exec(some[at] as string)!.map(Number);
    expect(some).toEqual([...seqs(0, first!), some[at]!, ...seqs(last! + 1, 600)]);
    expect(first).toBeGreaterThan(100);
  });
});

describe("after a reset", () => {
  test("records that the checkpoint knows to be acknowledged are left out", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    rig.give(10, "short");
    await rig.taken();
    const position = { boot: "b1", stream: "s1", seq: 6, hash: "h" };
    await using queue = await SpoolQueue.open(folder.path, { bytesMax });
    const left: Array<number | string> = [];
    for await (const source of leftovers(queue, "b2", position)) {
      for (let some = await source.read(); some; some = await source.read()) {
        left.push(...some.map(shown));
      }
    }
    expect(left).toEqual([7, 8, 9]);
  });

  test("a stream that goes on is read from behind what the spool has of it", async () => {
    using folder = new TemporaryFolder();
    await using rig = await open(folder);
    rig.give(10, "short");
    await rig.taken();
    await using queue = await SpoolQueue.open(folder.path, { bytesMax });
    // What this run has appended isn't from before.
    await queue.append({ names, records: [ordinary(50)] });
    const at = (seq: number, stream = "s1") => ({ boot: "b1", stream, seq, hash: "h" });
    const seqOf = async (acked?: ReturnType<typeof at>, stream = "s1") =>
      (await readBefore(queue, { ...names, stream }, acked))?.seq;
    expect([await seqOf(), await seqOf(at(4)), await seqOf(at(12))]).toEqual([9, 9, 12]);
    expect(await seqOf(at(12, "of another boot"))).toBe(9);
    expect([await seqOf(undefined, "s2"), await seqOf(at(3, "s2"), "s2")]).toEqual([undefined, 3]);
    // Looking at it has taken nothing from it.
    expect(await shipLeftovers(queue)).toEqual([["app:a s1", ...seqs(0, 10)]]);
  });
});
