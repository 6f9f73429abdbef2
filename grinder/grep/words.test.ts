import { describe, expect, test } from "bun:test";
import { inFull } from "./words.ts";

describe("options of one letter", () => {
  test("are the long ones, with their number behind a space or at once", () => {
    expect(inFull(["-c", "-A", "3", "-B2", "panic", "--json"]))
      .toEqual(["--count", "--after", "3", "--before", "2", "panic", "--json"]);
  });

  test("are none behind --", () => {
    expect(inFull(["-i", "--", "-c"])).toEqual(["--ignore-case", "--", "-c"]);
  });
});
