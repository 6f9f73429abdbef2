import { describe, expect, test } from "bun:test";
import { IntervalSet } from "../../shared/intervals.ts";
import { accountOf, addCounts, noCounts, type SeenStream } from "./account.ts";

function account(stored: string, gaps: SeenStream["gaps"] = [], explained = "") {
  const sets = { stored: IntervalSet.decode(stored), explained: IntervalSet.decode(explained) };
  return accountOf({ ...sets, gaps });
}

describe("accountOf", () => {
  test("explains nothing of a hole that no gap tells of", () => {
    expect(account("5-9,12,20-29")).toEqual({
      ...noCounts(),
      stored: 16,
      unexplained: 9,
      seqs: "5-9,12,20-29",
      unexplainedSeqs: "10-11,13-19",
      openGap: false,
    });
  });

  test("counts what a gap tells of under its cause, less what is stored after all", () => {
    const gaps = [{ first: 10, last: 19, count: 10, cause: "overrun" }];
    expect(account("0-9,15,20", gaps, "10-19")).toMatchObject({
      ...{ stored: 12, overrun: 9, unexplained: 0, unexplainedSeqs: "" },
    });
  });

  test("counts a seq that two gaps tell of once, for the one that came first", () => {
    const gaps = [
      { first: 3, last: 6, count: 4, cause: "evicted" },
      { first: 5, last: 9, count: 5, cause: "refused" },
    ];
    expect(account("0-2,10", gaps, "3-9")).toMatchObject({
      evicted: 4,
      refused: 3,
      unexplained: 0,
    });
  });

  test("looks for holes up to the last seq that a gap tells of", () => {
    const gaps = [{ first: 20, last: 29, count: 10, cause: "lost" }];
    expect(account("0-9", gaps, "20-29")).toMatchObject({ lost: 10, unexplainedSeqs: "10-19" });
  });

  test("takes a gap without an end to go to the highest seq that is stored", () => {
    const open = { first: 3, last: "?", count: 0, cause: "lost" } as const;
    expect(account("0-2,7-9", [open])).toMatchObject({ lost: 4, unexplained: 0, openGap: true });
    expect(account("0-2", [open])).toMatchObject({ lost: 1, unexplained: 0, openGap: true });
  });

  test("adds up what never had a seq", () => {
    const gaps = [{ count: 7, cause: "ratelimit" }, { count: 5, cause: "ratelimit" }];
    expect(account("0-2", gaps)).toMatchObject({ ratelimit: 12, stored: 3, unexplained: 0 });
  });

  test("knows what was explained by gap records that are forgotten, and causes that it doesn't know", () => {
    const later = { first: 3, last: 4, count: 2, cause: "eaten" };
    expect(account("0-2,9", [later], "3-8")).toMatchObject({ other: 6, unexplained: 0 });
  });

  test("says nothing of a stream without seqs", () => {
    expect(account("")).toMatchObject({ ...noCounts(), seqs: "", unexplainedSeqs: "" });
  });
});

test("addCounts adds every count", () => {
  const sum = noCounts();
  const more = Object.fromEntries(Object.keys(sum).map((name, i) => [name, i + 1]));
  addCounts(sum, { ...sum, ...more });
  addCounts(sum, { ...sum, ...more });
  expect(Object.values(sum)).toEqual([2, 4, 6, 8, 10, 12, 14, 16]);
});
