import { expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { gapRecord, type LogRecord } from "../shared/record.ts";
import { ordinary } from "../tests/fixtures.ts";
import { QueueReader } from "./queue_reader.ts";

const start = { segment: 0, offset: 0 };

/** A reader of entries whose places are numbered from 1; each is given alone, or so many at a time. */
function setUp(entries: Array<{ stream?: string; records: LogRecord[] }>, atATime = 1) {
  let next = 0;
  const settled: number[] = [];
  const reader: QueueReader = new QueueReader({
    next(reader) {
      const some = entries.slice(next, next + atATime).map(({ stream = "s1", records }) => ({
        names: { boot: "b1", source: "kmsg", stream },
        records,
        end: { segment: 0, offset: ++next },
      }));
      reader.place = some.at(-1)?.end ?? reader.place;
      return Promise.resolve(some);
    },
    settle() {
      settled.push(reader.settled.offset);
      return Promise.resolve();
    },
  }, start);
  return { reader, settled };
}

test("a reader gives a stream's records together, and another's apart", async () => {
  const { reader } = setUp([
    { records: [ordinary(0)] },
    { records: [ordinary(1), ordinary(2)] },
    { stream: "s2", records: [ordinary(0)] },
  ], 5);
  expect((await reader.read())!.records.map(({ seq }) => seq)).toEqual([0, 1, 2]);
  expect((await reader.names())!.stream).toBe("s2");
  expect((await reader.read())!.records.map(({ seq }) => seq)).toEqual([0]);
  expect([await reader.names(), await reader.read()]).toEqual([undefined, undefined]);
});

test("what was read is acknowledged up to the last entry that is durable as a whole", async () => {
  const { reader, settled } = setUp([0, 2, 4].map((seq) => ({
    records: [ordinary(seq), ordinary(seq + 1)],
  })));
  while (await reader.read());
  for (const seq of [0, 1, 2, 4]) await reader.acknowledged(seq);
  expect(settled).toEqual([1, 2]);
  await reader.settleAll();
  expect(settled).toEqual([1, 2, 3]);
});

test("a gap at an entry's end is acknowledged with the record that it stands before", async () => {
  const gap = gapRecord(5, 1, { first: 1, last: 4, count: 4, cause: "overrun" });
  const { reader, settled } = setUp([
    { records: [ordinary(0), gap] },
    { records: [ordinary(5)] },
  ]);
  while (await reader.read());
  await reader.acknowledged(0);
  expect(settled).toEqual([]);
  await reader.acknowledged(5);
  expect(settled).toEqual([2]);
});

test("more places than are remembered are acknowledged more coarsely, the last one exactly", async () => {
  const count = limits.diskSpoolPlacesMax + 1;
  const entries = Array.from({ length: count }, (_, seq) => ({ records: [ordinary(seq)] }));
  const { reader, settled } = setUp(entries);
  while (await reader.read());
  for (let seq = 0; seq < count; seq++) await reader.acknowledged(seq);
  expect(settled.length).toBe(Math.ceil(count / 2));
  expect(settled.at(-1)).toBe(count);
});
