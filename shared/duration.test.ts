import { describe, expect, test } from "bun:test";
import { formatDuration, parseDurationMs } from "./duration.ts";
import { UsageError } from "./options.ts";

describe("a duration", () => {
  test("is a number with its unit", () => {
    const given = ["60d", "12h", "30m", "90s", "500ms", "0.5d", "0s"];
    expect(given.map((text) => parseDurationMs("--keep", text))).toEqual(
      [5_184_000_000, 43_200_000, 1_800_000, 90_000, 500, 43_200_000, 0],
    );
  });

  test("without a unit, or with anything else beside it, is refused with what it must be", () => {
    for (const text of ["", "60", "d", "-1d", "60 d", "60d ", "1e3s", "60days", "1d12h", "∞d"]) {
      expect(() => parseDurationMs("--keep", text)).toThrow(UsageError);
    }
    expect(() => parseDurationMs("--keep", "60")).toThrow(
      "Cannot read --keep because it must be like 60d, 12h or 30m: it is 60",
    );
  });

  test("is said in the largest unit that says enough", () => {
    const ms = [0, 1_999, 2_000, 119_999, 120_000, 47 * 3_600_000, 7 * 86_400_000];
    expect(ms.map(formatDuration)).toEqual([
      "0 ms",
      "1999 ms",
      "2 s",
      "120 s",
      "2 m",
      "47 h",
      "7 d",
    ]);
  });
});
