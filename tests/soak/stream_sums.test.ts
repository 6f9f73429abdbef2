import { describe, expect, test } from "bun:test";
import { header } from "../../grinder/fixtures.ts";
import { ordinary } from "../fixtures.ts";
import { difference, StreamSums } from "./stream_sums.ts";

function sumsOf(...seqs: number[]): StreamSums {
  const sums = new StreamSums();
  for (const seq of seqs) sums.add(header(), ordinary(seq));
  return sums;
}

describe("StreamSums", () => {
  test("are the same in whatever order records come, and come back from their text", () => {
    const [a, b] = [sumsOf(0, 1, 2, 5), sumsOf(5, 2, 1, 0)];
    expect(difference(a, b)).toBe("");
    expect(difference(a, StreamSums.parse(b.format()))).toBe("");
    expect(a.records).toBe(4);
  });

  test("count a record that comes again, and don't add it up again", () => {
    const sums = sumsOf(0, 1, 1, 1);
    expect([sums.records, sums.twice]).toEqual([2, 2]);
    expect(difference(sums, sumsOf(0, 1))).toBe("");
  });

  test("tell what is missing, what is too many, and what says something else", () => {
    expect(difference(sumsOf(0, 4), sumsOf(0, 1, 2))).toBe(
      "d1 kmsg b1: 1-2 missing\nd1 kmsg b1: 4 too many",
    );
    expect(difference(new StreamSums(), sumsOf(7))).toBe("d1 kmsg b1: 7 missing");
    const other = sumsOf(0);
    other.add(header(), ordinary(1, "another text"));
    expect(difference(other, sumsOf(0, 1))).toBe("d1 kmsg b1: other texts");
  });
});
