import { describe, expect, test } from "bun:test";
import { parseLevel } from "./level.ts";

describe("a level", () => {
  test("is a number or a name, in short or in full", () => {
    expect(["3", "err", "ERROR", "warn", "debug", "0"].map(parseLevel)).toEqual([3, 3, 3, 4, 7, 0]);
  });

  test("is nothing else", () => {
    for (const bad of ["8", "-1", "", "loud", "33"]) {
      expect(() => parseLevel(bad)).toThrow(/must be 0 to 7 or one of emerg, .*: it is/);
    }
  });
});
