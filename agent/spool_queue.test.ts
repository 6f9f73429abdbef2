import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { gapRecord, type LogRecord, parseGap } from "../shared/record.ts";
import { ordinary, TemporaryFolder } from "../tests/fixtures.ts";
import type { QueueReader } from "./queue_reader.ts";
import { SpoolQueue, type SpoolQueueOptions } from "./spool_queue.ts";

const kib = 1024;
const bytesMax = limits.diskSpoolBytesMin;
const names = { boot: "b1", source: "app:a", stream: "s1" };
/** Sixteen of them fill a segment of the smallest queue. */
const text = "x".repeat(4 * kib - 100);

const open = (folder: TemporaryFolder, options: SpoolQueueOptions = {}) =>
  SpoolQueue.open(folder.path, { bytesMax, ...options });

/** Appends the records `from` to `to`, some at a time. */
async function append(queue: SpoolQueue, from: number, to: number, stream = "s1"): Promise<void> {
  for (let seq = from; seq <= to; seq += 5) {
    const count = Math.min(5, to - seq + 1);
    const records = Array.from({ length: count }, (_, n) => ordinary(seq + n, text));
    await queue.append({ names: { ...names, stream }, records });
  }
}

const shown = (record: LogRecord): number | string => {
  if (record.flag !== "g") return record.seq;
  const { first, last, count, cause } = parseGap(record)!;
  expect([record.seq, count]).toEqual([Number(last) + 1, Number(last) - first! + 1]);
  return `${cause} ${first}-${last}`;
};

/** What a reader has: runs of seqs as `first-last`, gaps with their cause. */
async function contents(reader: QueueReader, batchesMax = Infinity): Promise<string[]> {
  const runs: Array<{ stream: string; first: number; last: number } | string> = [];
  for (let n = 0; n < batchesMax; n++) {
    const entry = await reader.read();
    if (!entry) break;
    const { stream } = entry.names;
    for (const item of entry.records.map(shown)) {
      const run = runs.at(-1);
      if (typeof item === "string") runs.push(`${stream} ${item}`);
      else if (typeof run === "object" && run.stream === stream && run.last + 1 === item) {
        run.last++;
      } else runs.push({ stream, first: item, last: item });
    }
  }
  return runs.map((run) =>
    typeof run === "string" ? run : `${run.stream} ${run.first}-${run.last}`
  );
}

/** All of a stream up to this seq, one range behind the other. */
function expectWhole(kept: string[], last: number): void {
  let next = 0;
  for (const item of kept) {
    const [, from, to] = /(\d+)-(\d+)$/.exec(item)!.map(Number);
    expect(from).toBe(next);
    next = to! + 1;
  }
  expect(next).toBe(last + 1);
}

describe("a full spool queue", () => {
  test("keeps its beginning and the newest; the middle goes, and leaves one gap", async () => {
    using folder = new TemporaryFolder();
    const warnings: string[] = [];
    await using queue = await open(folder, { warn: (text) => warnings.push(text) });
    await append(queue, 0, 599);
    expect(queue.bytes).toBeLessThanOrEqual(bytesMax);
    const kept = await contents(queue.appended);
    expect(kept.length).toBe(3);
    const [, first, last] = /^s1 evicted (\d+)-(\d+)$/.exec(kept[1]!)!.map(Number);
    expect(kept).toEqual([
      `s1 0-${first! - 1}`,
      `s1 evicted ${first}-${last}`,
      `s1 ${last! + 1}-599`,
    ]);
    expect(first! * 4 * kib).toBeGreaterThan(bytesMax * 0.4);
    expect((599 - last!) * 4 * kib).toBeGreaterThan(bytesMax * 0.4);
    expect(warnings).toEqual([`${folder.path} is full: records are evicted from its middle`]);
  });

  test("has the same gap after a kill, and goes on with it", async () => {
    using folder = new TemporaryFolder();
    await using before = await open(folder);
    await append(before, 0, 499);
    await using queue = await open(folder);
    await append(queue, 500, 699);
    const kept = await contents(queue.leftovers);
    kept.push(...await contents(queue.appended));
    const gaps = kept.filter((item) => item.includes("evicted"));
    expect(gaps.length).toBe(1);
    const [, first, last] = /(\d+)-(\d+)$/.exec(gaps[0]!)!.map(Number);
    expect(kept[0]).toBe(`s1 0-${first! - 1}`);
    expect(kept.at(-1)).toMatch(/-699$/);
    expect(kept.slice(2)[0]).toStartWith(`s1 ${last! + 1}-`);
  });

  test("has a gap for each stream, each read once", async () => {
    using folder = new TemporaryFolder();
    await using first = await open(folder);
    await append(first, 0, 149, "s1");
    await append(first, 0, 49, "s2");
    await using queue = await open(folder);
    await append(queue, 0, 299, "s3");
    const left = await contents(queue.leftovers);
    expect(left.map((item) => item.replace(/\d+-\d+/, "-"))).toEqual([
      "s1 -",
      "s1 evicted -",
      "s2 evicted -",
    ]);
    expect(left[2]).toBe("s2 evicted 0-49");
    const own = await contents(queue.appended);
    expect(own.map((item) => item.replace(/\d+-\d+/, "-"))).toEqual([
      "s3 evicted -",
      "s3 -",
    ]);
    expect([await queue.leftovers.read(), await queue.appended.read()]).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("keeps what is read: that may be all of it, and then nothing is taken", async () => {
    using folder = new TemporaryFolder();
    await using queue = await open(folder);
    await append(queue, 0, 239);
    expect(await contents(queue.appended)).toEqual(["s1 0-239"]);
    const error = await append(queue, 240, 299).catch((error) => error);
    expect(error.code).toBe("queue_full");
    await queue.appended.acknowledged(120);
    await append(queue, 300, 350);
    expect((await contents(queue.appended)).at(-1)).toBe("s1 300-350");
  });

  test("makes another gap where the first is read", async () => {
    using folder = new TemporaryFolder();
    await using queue = await open(folder);
    await append(queue, 0, 399);
    const kept = await contents(queue.appended, 8);
    const gap = kept.findIndex((item) => item.includes("evicted"));
    expect(gap).toBe(1);
    await append(queue, 400, 699);
    kept.push(...await contents(queue.appended));
    const gaps = kept.filter((item) => item.includes("evicted"));
    expect(gaps.length).toBe(2);
    expectWhole(kept, 699);
  });

  test("makes another gap where something is kept in between, and forgets what is acknowledged", async () => {
    using folder = new TemporaryFolder();
    await using queue = await open(folder);
    const holes = () => JSON.parse(readFileSync(join(folder.path, "evicted.json"), "utf8")).length;
    await append(queue, 0, 399);
    const kept = await contents(queue.appended, 4);
    await queue.appended.acknowledged(79);
    await append(queue, 400, 599);
    expect(holes()).toBe(2);
    kept.push(...await contents(queue.appended, 6));
    await queue.appended.settleAll();
    await append(queue, 600, 999);
    // The second and a third.
    expect(holes()).toBe(2);
    kept.push(...await contents(queue.appended));
    expectWhole(kept, 999);
  });

  test("is read in order while its middle goes, each record once or in a gap", async () => {
    using folder = new TemporaryFolder();
    await using queue = await open(folder);
    const kept: string[] = [];
    for (let seq = 0; seq < 1_500; seq += 60) {
      const [, some] = await Promise.all([
        append(queue, seq, seq + 59),
        seq < 240 ? [] : contents(queue.appended, 1),
      ]);
      kept.push(...some);
      await queue.appended.settleAll();
    }
    kept.push(...await contents(queue.appended));
    expectWhole(kept, 1_499);
    expect(kept.filter((item) => item.includes("evicted")).length).toBeGreaterThan(0);
  });

  test("says again the gaps that were evicted, in their places", async () => {
    using folder = new TemporaryFolder();
    await using queue = await open(folder);
    for (let seq = 0; seq < 1_000; seq += 2) {
      const gap = gapRecord(seq, 1, {
        first: seq - 1,
        last: seq - 1,
        count: 1,
        cause: "ratelimit",
      });
      const records = seq === 0 ? [] : [gap];
      await queue.append({ names, records: [...records, ordinary(seq, text)] });
    }
    const records: LogRecord[] = [];
    for (let entry = await queue.appended.read(); entry; entry = await queue.appended.read()) {
      records.push(...entry.records);
    }
    const at = records.findIndex((record) => parseGap(record)?.cause === "evicted");
    const { first, last, count } = parseGap(records[at]!)!;
    expect(count).toBe((Number(last) - first!) / 2 + 1);
    // The one right before the hole, where it begins with a gap; then those within, a bounded number.
    expect(parseGap(records[at - 1]!)).toMatchObject({ last: first! - 1, cause: "ratelimit" });
    const behind = records.slice(at + 1).findIndex(({ flag }) => flag === "-");
    expect(behind).toBeGreaterThan(50);
    expect(behind).toBeLessThan(110);
  });

  test("evicts nothing that it can't explain on disk", async () => {
    using folder = new TemporaryFolder();
    const warnings: string[] = [];
    await using queue = await open(folder, { warn: (text) => warnings.push(text) });
    const inTheWay = join(folder.path, "evicted.json.tmp");
    mkdirSync(inTheWay);
    const error = await append(queue, 0, 299).catch((error) => error);
    expect(error.code).toBe("queue_full");
    expect(warnings[0]).toMatch(/^Cannot save .*Nothing is evicted: the spool stays full\.$/);
    rmdirSync(inTheWay);
    await append(queue, 300, 310);
    const kept = await contents(queue.appended);
    expect(kept[0]).toStartWith("s1 0-");
    expect(kept.filter((item) => item.includes("evicted")).length).toBe(1);
  });

  test("reads on where the list of its gaps is torn", async () => {
    using folder = new TemporaryFolder();
    await using before = await open(folder);
    await append(before, 0, 299);
    const path = join(folder.path, "evicted.json");
    for (
      const torn of [readFileSync(path, "utf8").slice(0, 40), `[{"to":-1}]`, `[{"to":1}]`, "{}"]
    ) {
      writeFileSync(path, torn);
      const warnings: string[] = [];
      await using queue = await open(folder, { warn: (text) => warnings.push(text) });
      expect([torn, warnings.length]).toEqual([torn, 1]);
      expect((await contents(queue.leftovers)).length).toBe(2);
    }
  });
});

describe("a spool queue in two parts", () => {
  test("acknowledges what it appended only when what was left is acknowledged", async () => {
    using folder = new TemporaryFolder();
    await using before = await open(folder);
    await append(before, 0, 9);
    await using queue = await open(folder);
    await append(queue, 10, 19);
    await contents(queue.appended);
    await queue.appended.acknowledged(19);
    await using killed = await open(folder);
    expect(await contents(killed.leftovers)).toEqual(["s1 0-19"]);
    await contents(queue.leftovers);
    await queue.leftovers.acknowledged(4);
    await queue.leftovers.settleAll();
    await queue.leftovers.finish();
    expect(queue.bytes).toBe(0);
    await using next = await open(folder);
    expect(next.leftovers.finished).toBe(true);
  });
});

test("a spool queue must have some room", async () => {
  using folder = new TemporaryFolder();
  for (const bytesMax of [NaN, 0, limits.diskSpoolBytesMin - 1]) {
    const error = await SpoolQueue.open(folder.path, { bytesMax }).catch((error) => error);
    expect(error.message).toContain(`current value is ${bytesMax}`);
  }
});
