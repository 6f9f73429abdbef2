import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { gapRecord } from "../shared/record.ts";
import { ordinary, TemporaryFolder } from "../tests/fixtures.ts";
import { bunPath, root } from "../tests/programs.ts";
import { DiskQueue, QueueError } from "./disk_queue.ts";
import type { Entry } from "./queue_entry.ts";
import { QueuedStreams } from "./queue_source.ts";

const names = { boot: "b1", source: "app:a", stream: "s1" };
const entry = (seq: number, text?: string, stream = "s1"): Entry => ({
  names: { ...names, stream },
  records: [ordinary(seq, text)],
});
const start = { segment: 0, offset: 0 };

async function seqs(queue: DiskQueue): Promise<number[]> {
  const found: number[] = [];
  let at = queue.start;
  for (let some = await queue.read(at); some.length > 0; some = await queue.read(at)) {
    at = some.at(-1)!.end;
    found.push(...some.flatMap(({ records }) => records.map(({ seq }) => seq)));
  }
  return found;
}

const segments = (folder: TemporaryFolder) =>
  readdirSync(folder.path).filter((name) => name.endsWith(".queue")).sort();

describe("a disk queue", () => {
  test("gives back what was appended, in order, with names and every field", async () => {
    using folder = new TemporaryFolder();
    await using queue = await DiskQueue.open(folder.path);
    const records = [
      { ...ordinary(4, "a\\x0a@b"), fields: "caller=T1", more: ["KEY=value"] },
      gapRecord(5, 9, { count: 3, cause: "overrun" }),
    ];
    await queue.append([{ names, records }, entry(5)]);
    const read = await queue.read(queue.start);
    expect(read.map(({ names, records }) => ({ names, records }))).toEqual([
      { names, records },
      entry(5),
    ]);
  });

  test("is text that anyone can read", async () => {
    using folder = new TemporaryFolder();
    await using queue = await DiskQueue.open(folder.path);
    await queue.append([entry(7, "hello")]);
    expect(readFileSync(join(folder.path, "00000001.queue"), "latin1"))
      .toBe("@661c54a5 17 b1 app:a s1\n6,7,7000,-;hello\n");
  });

  test("has what was durable after a restart, and goes on in a new segment", async () => {
    using folder = new TemporaryFolder();
    for (const seq of [0, 1, 2]) {
      await using queue = await DiskQueue.open(folder.path);
      await queue.append([entry(seq)]);
      expect(await seqs(queue)).toEqual(Array.from({ length: seq + 1 }, (_, n) => n));
    }
    expect(segments(folder).length).toBe(3);
  });

  test("deletes what is acknowledged, and never gives it again", async () => {
    using folder = new TemporaryFolder();
    await using queue = await DiskQueue.open(folder.path, { segmentBytes: 100 });
    for (let seq = 0; seq < 20; seq++) await queue.append([entry(seq)]);
    const files = segments(folder).length;
    const all = await queue.read(start, 1e6);
    await queue.acknowledge(all[9]!.end);
    expect(segments(folder).length).toBeLessThan(files - 2);
    expect(await seqs(queue)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    await using next = await DiskQueue.open(folder.path, { segmentBytes: 100 });
    expect(await seqs(next)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    expect(next.bytes).toBe(queue.bytes);
    await next.acknowledge(all[19]!.end);
    expect([next.bytes, await seqs(next)]).toEqual([0, []]);
    await next.append([entry(20)]);
    await using last = await DiskQueue.open(folder.path);
    expect(await seqs(last)).toEqual([20]);
  });

  test("takes no more than its limit, and more again when something is acknowledged", async () => {
    using folder = new TemporaryFolder();
    await using queue = await DiskQueue.open(folder.path, { bytesMax: 2_000, segmentBytes: 500 });
    let seq = 0;
    let error: unknown;
    while (!error) {
      await queue.append([entry(seq, "x".repeat(100))]).then(() => seq++, (e) => error = e);
    }
    expect(error).toBeInstanceOf(QueueError);
    expect((error as QueueError).code).toBe("queue_full");
    expect((error as QueueError).message).toMatch(/^Cannot queue more because at most 2000 bytes/);
    expect(await seqs(queue)).toEqual(Array.from({ length: seq }, (_, n) => n));
    await queue.acknowledge((await queue.read(queue.start, 1e6))[5]!.end);
    await queue.append([entry(seq)]);
    expect(queue.bytes).toBeLessThanOrEqual(2_000);
  });

  test("passes over damaged bytes anywhere, counts them, and loses no other entry", async () => {
    for (let at = 0; at < 400; at += 7) {
      using folder = new TemporaryFolder();
      await using queue = await DiskQueue.open(folder.path);
      await queue.append(Array.from({ length: 10 }, (_, seq) => entry(seq, "x".repeat(20))));
      await queue.append([entry(10)]);
      await queue.close();
      const path = join(folder.path, "00000001.queue");
      const bytes = readFileSync(path);
      bytes[at]! ^= 0x10;
      writeFileSync(path, bytes);
      const warnings: string[] = [];
      await using next = await DiskQueue.open(folder.path, { warn: (text) => warnings.push(text) });
      const read = await seqs(next);
      expect([at, read.length, read.at(-1)]).toEqual([at, 10, 10]);
      expect(next.damagedBytes).toBeGreaterThan(20);
      expect(warnings[0]).toMatch(/is damaged: \d+ bytes are passed over$/);
    }
  });

  test("that was cut off at any byte has all that is whole, and calls nothing damaged", async () => {
    using origin = new TemporaryFolder();
    await using queue = await DiskQueue.open(origin.path);
    for (const seq of [0, 1, 2]) await queue.append([entry(seq)]);
    const ends = (await queue.read(start)).map(({ end }) => end.offset);
    const whole = readFileSync(join(origin.path, "00000001.queue"));
    for (let length = 0; length <= whole.length; length++) {
      using folder = new TemporaryFolder();
      writeFileSync(join(folder.path, "00000001.queue"), whole.subarray(0, length));
      await using next = await DiskQueue.open(folder.path);
      await next.append([entry(9)]);
      const kept = ends.filter((end) => end <= length).length;
      expect([length, await seqs(next)]).toEqual([length, [...[0, 1, 2].slice(0, kept), 9]]);
      expect(next.damagedBytes).toBe(0);
    }
  });

  test("is durable for all who appended meanwhile with one sync", async () => {
    using folder = new TemporaryFolder();
    await using queue = await DiskQueue.open(folder.path);
    const order: number[] = [];
    await Promise.all(
      Array.from(
        { length: 1_000 },
        (_, seq) => queue.append([entry(seq)]).then(() => order.push(seq)),
      ),
    );
    expect(order).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
    expect(await seqs(queue)).toEqual(order);
  });

  test("that the disk fails says so to those who append, and goes on when it can", async () => {
    using folder = new TemporaryFolder();
    const warnings: string[] = [];
    await using queue = await DiskQueue.open(folder.path, { warn: (text) => warnings.push(text) });
    const inTheWay = join(folder.path, "00000001.queue");
    mkdirSync(inTheWay);
    for (let n = 0; n < 2; n++) {
      const error = await queue.append([entry(0)]).catch((error) => error);
      expect(error.code).toBe("queue_broken");
    }
    expect([warnings.length, queue.bytes]).toEqual([1, 0]);
    rmdirSync(inTheWay);
    await queue.append([entry(0)]);
    expect([await seqs(queue), warnings.length]).toEqual([[0], 2]);
  });

  test("gives up a segment where its room is wanted, and says what that was", async () => {
    using folder = new TemporaryFolder();
    await using queue = await DiskQueue.open(folder.path, { segmentBytes: 100 });
    for (let seq = 0; seq < 9; seq++) await queue.append([entry(seq)]);
    const [, second] = queue.closedSegments;
    const [lost] = await queue.drop(second!);
    expect(lost).toEqual({ names, first: lost!.first, last: lost!.last, count: lost!.count });
    expect(lost!.count).toBe(lost!.last - lost!.first + 1);
    const left = await seqs(queue);
    expect(left.length).toBe(9 - lost!.count);
    expect(left).not.toContain(lost!.first);
  });

  test("has all that it said is durable after a kill in the middle", async () => {
    using folder = new TemporaryFolder();
    const script = `
      const { DiskQueue } = await import("./agent/disk_queue.ts");
      await using queue = await DiskQueue.open(${
      JSON.stringify(folder.path)
    }, { segmentBytes: 3000 });
      const names = ${JSON.stringify(names)};
      for (let seq = 0;; seq++) {
        const record = { prio: 6, seq, usec: 1, flag: "-", fields: "", text: "x".repeat(seq % 300), more: [] };
        void queue.append([{ names, records: [record] }]).then(() => console.log(seq));
        if (seq % 5 === 0) await queue.changed();
      }`;
    const child = spawn(bunPath, ["-e", script], { cwd: root });
    let said = "";
    child.stdout.on("data", (text) => {
      said += text;
      if (said.length > 2_000) child.kill("SIGKILL");
    });
    await once(child, "close");
    const durable = said.split("\n").slice(0, -1).map(Number);
    await using queue = await DiskQueue.open(folder.path);
    const found = new Set(await seqs(queue));
    expect(durable.filter((seq) => !found.has(seq))).toEqual([]);
  });
});

describe("queued streams", () => {
  test("are given one after the other, what was acknowledged not again", async () => {
    using folder = new TemporaryFolder();
    await using queue = await DiskQueue.open(folder.path);
    await queue.append([entry(0), entry(1), entry(0, "b", "s2")]);
    const streams = new QueuedStreams(queue);
    const first = (await streams.next())!;
    expect(first.stream).toBe("s1");
    expect((await first.read())!.map(({ seq }) => seq)).toEqual([0, 1]);
    expect(await first.read()).toBeUndefined();
    await first.save({ seq: 0 });
    expect(await seqs(await DiskQueue.open(folder.path))).toEqual([1, 0]);
    await first.save({ seq: 1 });
    const second = (await streams.next())!;
    expect([second.stream, (await second.read())![0]!.text]).toEqual(["s2", "b"]);
    const waiting = second.read();
    await queue.append([entry(1, "c", "s2")]);
    expect((await waiting)![0]!.text).toBe("c");
    streams.finish();
    expect(await second.read()).toBeUndefined();
    expect(await streams.next()).toBeUndefined();
    expect(queue.bytes).toBe(0);
  });

  test("have a gap where an entry is damaged", async () => {
    using folder = new TemporaryFolder();
    await using queue = await DiskQueue.open(folder.path);
    await queue.append([entry(0), entry(1), entry(2), entry(3)]);
    await queue.close();
    const path = join(folder.path, "00000001.queue");
    const damaged = readFileSync(path, "latin1").replace("line 1", "lime 1").replace("line 2", "");
    writeFileSync(path, Buffer.from(damaged, "latin1"));
    const source = (await new QueuedStreams(await DiskQueue.open(folder.path)).next())!;
    expect((await source.read())!.map(({ flag, seq, fields }) => `${flag}${seq} ${fields}`))
      .toEqual(["-0 ", "g3 first=1,last=2,count=2,cause=lost", "-3 "]);
  });

  test("stay in the queue when they are closed", async () => {
    using folder = new TemporaryFolder();
    await using queue = await DiskQueue.open(folder.path);
    await queue.append([entry(0)]);
    const streams = new QueuedStreams(queue);
    const source = (await streams.next())!;
    await source.read();
    source.close();
    expect([await source.read(), await streams.next()]).toEqual([undefined, undefined]);
    expect(await seqs(queue)).toEqual([0]);
  });
});
