import process from "node:process";
import { expect, test } from "bun:test";
import { UsageError } from "../../shared/options.ts";
import { parseRange } from "./time_range.ts";

const nowMs = Date.UTC(2026, 10, 22, 12);
const us = (...time: Parameters<typeof Date.UTC>) => Date.UTC(...time) * 1000;

test("a range takes times, with a zone or in UTC, and how long ago", () => {
  const starts: Array<[since: string, sinceUs: number]> = [
    ["2026-11-21", us(2026, 10, 21)],
    ["2026-11-21T20:15", us(2026, 10, 21, 20, 15)],
    ["2026-11-21T20:15Z", us(2026, 10, 21, 20, 15)],
    ["2026-11-21T20:15:30.250", us(2026, 10, 21, 20, 15, 30, 250)],
    ["2026-11-21T20:15:30+02:00", us(2026, 10, 21, 18, 15, 30)],
    ["7d", nowMs * 1000 - 7 * 86_400e6],
    ["90s", nowMs * 1000 - 90e6],
  ];
  for (const [since, sinceUs] of starts) {
    expect([since, parseRange({ since }, nowMs)]).toEqual([since, {
      sinceUs,
      untilUs: nowMs * 1000,
    }]);
  }
  expect(parseRange({ until: "1h" }, nowMs)).toEqual({ sinceUs: 0, untilUs: us(2026, 10, 22, 11) });
});

test("a time without a zone is UTC, wherever the machine is", () => {
  const zone = process.env["TZ"];
  process.env["TZ"] = "America/New_York";
  try {
    const { sinceUs } = parseRange({ since: "2026-11-21T20:15" }, nowMs);
    expect(sinceUs).toBe(us(2026, 10, 21, 20, 15));
    expect(parseRange({ since: "2026-11-21" }, nowMs).sinceUs).toBe(us(2026, 10, 21));
  } finally {
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  }
});

test("a range refuses what is no time, and an end that isn't after the beginning", () => {
  for (const since of ["yesterday", "2026-13-40", "2026-11-21 20:15", "7 d", "7", "", "7w"]) {
    expect(() => parseRange({ since }, nowMs)).toThrow(UsageError);
    expect(() => parseRange({ since }, nowMs)).toThrow("Cannot read --since because it must be");
  }
  expect(() => parseRange({ until: "soon" }, nowMs)).toThrow("Cannot read --until");
  expect(() => parseRange({ since: "1h", until: "2h" }, nowMs)).toThrow(
    "Cannot use --since 1h because it must be before --until: " +
      "it is 2026-11-22T11:00:00.000Z, and that is 2026-11-22T10:00:00.000Z",
  );
  expect(() => parseRange({ since: "1h", until: "1h" }, nowMs)).toThrow(UsageError);
});
