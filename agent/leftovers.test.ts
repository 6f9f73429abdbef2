import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { leftovers } from "./leftovers.ts";
import { bytesMax, minute, Rig, seqs, shipLeftovers, text } from "./spool_rig.ts";
import { SpoolQueue } from "./spool_queue.ts";

describe("leftovers", () => {
  test("are all that was appended, after a kill at any moment", async () => {
    for (let turns = 0; turns < 60; turns += 3) {
      using folder = new TemporaryFolder();
      using image = new TemporaryFolder();
      await using rig = await Rig.open(folder);
      let appended = 0;
      const append = rig.queue.append.bind(rig.queue);
      rig.queue.append = async (entry) => {
        await append(entry);
        appended = entry.records.at(-1)!.seq + 1;
      };
      rig.give(100);
      rig.spool.safe(2 * minute);
      for (let turn = 0; turn < turns; turn++) await new Promise((next) => setImmediate(next));
      const durable = appended;
      cpSync(folder.path, image.path, { recursive: true });
      await using queue = await SpoolQueue.open(image.path, { bytesMax });
      const left = (await shipLeftovers(queue))[0]?.slice(1) ?? [];
      expect(left).toEqual(seqs(0, left.length));
      expect(left.length).toBeGreaterThanOrEqual(durable);
      expect(queue.bytes).toBe(0);
      await rig.spooled();
    }
  });

  test("are given stream by stream, and not what was acknowledged", async () => {
    using folder = new TemporaryFolder();
    for (const stream of ["s1", "s2"]) {
      await using rig = await Rig.open(folder);
      rig.inner.stream = stream;
      rig.give(40);
      await rig.spooled();
      if (stream === "s2") break;
      await rig.taken();
      await rig.spool.acknowledged(20);
    }
    await using queue = await SpoolQueue.open(folder.path, { bytesMax });
    const left = await shipLeftovers(queue);
    expect(left.map(([names]) => names)).toEqual(["app:a s1", "app:a s2"]);
    expect(left[0]!.at(-1)).toBe(39);
    expect([left[0]!.length < 40, left[1]!.slice(1)]).toEqual([true, seqs(0, 40)]);
    await using next = await SpoolQueue.open(folder.path, { bytesMax });
    expect(await shipLeftovers(next)).toEqual([]);
  });

  test("pass over a damaged entry, count it, and have a gap there", async () => {
    using folder = new TemporaryFolder();
    {
      await using rig = await Rig.open(folder);
      rig.give(64);
      await rig.spooled();
    }
    const path = join(folder.path, readdirSync(folder.path).sort()[1]!);
    const bytes = readFileSync(path);
    bytes[5_000]! ^= 1;
    writeFileSync(path, bytes);
    await using queue = await SpoolQueue.open(folder.path, { bytesMax });
    const [left] = await shipLeftovers(queue);
    const gaps = left!.filter((item) => `${item}`.startsWith("lost"));
    expect(gaps.length).toBe(1);
    const [, first, last] = /^lost (\d+)-(\d+)$/.exec(gaps[0] as string)!.map(Number);
    expect(left!.slice(1)).toEqual([...seqs(0, first!), gaps[0]!, ...seqs(last! + 1, 64)]);
    expect(queue.damagedBytes).toBeGreaterThan((last! - first!) * text.length);
  });

  test("stay where they are when they are closed, and don't hold up what is new", async () => {
    using folder = new TemporaryFolder();
    {
      await using rig = await Rig.open(folder);
      rig.give(100);
      await rig.spooled();
    }
    await using rig = await Rig.open(folder);
    for await (const source of leftovers(rig.queue, "b1")) {
      expect(source.over).toBe(false);
      await source.read();
      source.close();
      expect(await source.read()).toBeUndefined();
      break;
    }
    rig.inner.stream = "s2";
    rig.give(20);
    await rig.spooled();
    expect(await rig.taken()).toEqual(seqs(0, 20));
    await rig.spool.acknowledged(19);
    await using next = await SpoolQueue.open(folder.path, { bytesMax });
    const left = await shipLeftovers(next);
    expect(left.map((one) => one.length)).toEqual([101, 21]);
  });
});
