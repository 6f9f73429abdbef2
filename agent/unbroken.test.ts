import { expect, test } from "bun:test";
import { type Gap, gapRecord, type LogRecord, parseGap } from "../shared/record.ts";
import { ordinary } from "../tests/fixtures.ts";
import { Unbroken } from "./unbroken.ts";

const gap = (first: number, last: number | "?", seq = Number(last) + 1): LogRecord => {
  const count = typeof last === "number" ? last - first + 1 : 1;
  return gapRecord(seq, 1, { first, last, count, cause: "overrun" } as Gap);
};

/** What is passed, a gap as `cause first-last`. */
function passed(...batches: LogRecord[][]): Array<number | string> {
  const unbroken = new Unbroken();
  return batches.flatMap((batch) => unbroken.pass(batch)).map((record) => {
    const said = record.flag === "g" ? parseGap(record) : undefined;
    return said ? `${said.cause} ${said.first}-${said.last}` : record.seq;
  });
}

test("records without a hole between them pass as they are, from any seq on", () => {
  expect(passed([ordinary(7), ordinary(8)], [ordinary(9)])).toEqual([7, 8, 9]);
});

test("seqs that are missing leave a gap, within a batch and between two", () => {
  expect(passed([ordinary(0), ordinary(2)], [ordinary(6)]))
    .toEqual([0, "lost 1-1", 2, "lost 3-5", 6]);
});

test("seqs that a gap accounts for aren't missing once more", () => {
  expect(passed([ordinary(0), gap(1, 4), ordinary(5)])).toEqual([0, "overrun 1-4", 5]);
  expect(passed([ordinary(0), gap(1, "?", 5), ordinary(5)])).toEqual([0, "overrun 1-?", 5]);
  expect(passed([ordinary(0), gap(1, 9), gap(3, 4), ordinary(10)]))
    .toEqual([0, "overrun 1-9", "overrun 3-4", 10]);
});

test("seqs that are missing before a gap leave one of their own", () => {
  expect(passed([ordinary(0), gap(3, 4), ordinary(5)])).toEqual([0, "lost 1-2", "overrun 3-4", 5]);
});

test("seqs that come again, and gaps without any, pass as they are", () => {
  const unnumbered = gapRecord(1, 1, { count: 3, cause: "lost" });
  expect(passed([ordinary(0), unnumbered, ordinary(1)], [ordinary(0), ordinary(2)]))
    .toEqual([0, "lost undefined-undefined", 1, 0, 2]);
});
