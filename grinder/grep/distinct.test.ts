import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { header } from "../fixtures.ts";
import { Distinct } from "./distinct.ts";

describe("records that match", () => {
  test("are new once for each stream, and raw lines always", () => {
    const distinct = new Distinct();
    const given = [
      header(),
      header({ device: "d2" }),
      header(),
      header({ source: "raw" }),
      header({ source: "raw" }),
    ];
    expect(given.map((one) => distinct.isNew(one, 7))).toEqual([true, true, false, true, true]);
  });

  test("are forgotten from the oldest on where there are too many of a stream, and none comes twice", () => {
    const distinct = new Distinct();
    const seqs = Array.from({ length: limits.intervalsMax + 100 }, (_, i) => 2 * i);
    expect(seqs.every((seq) => distinct.isNew(header(), seq))).toBe(true);
    expect(seqs.some((seq) => distinct.isNew(header(), seq))).toBe(false);
    // Between the oldest ones nothing is taken for new any more, between the newest it is.
    expect(distinct.isNew(header(), 1)).toBe(false);
    expect(distinct.isNew(header(), seqs.at(-1)! - 1)).toBe(true);
  });
});
