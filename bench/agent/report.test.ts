import { expect, test } from "bun:test";
import { median, type Run, table } from "./report.ts";

const run = (of: Partial<Run>): Run => ({
  seconds: 10,
  textBytes: 0,
  cpuMs: 0,
  cpuTicksMs: 0,
  wakeUps: 0,
  preempted: 0,
  diskBytes: 0,
  rssMB: 0,
  ownDirtyMB: 0,
  ownCleanMB: 0,
  sharedMB: 0,
  upBytes: 0,
  downBytes: 0,
  upReads: 0,
  downReads: 0,
  ...of,
});

test("median is the value in the middle, or the mean of the two there", () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([9, 1, 5, 6])).toBe(5.5);
});

test("table takes medians of CPU time, and means of bytes", () => {
  const runs = [
    run({ cpuMs: 100, upBytes: 0, textBytes: 1000 }),
    run({ cpuMs: 200, upBytes: 0, textBytes: 1000 }),
    run({ cpuMs: 900, upBytes: 1500, textBytes: 1000 }),
  ];
  const row = table([{ load: "idle", program: "agent", runs }]).split("\n").at(-1)!;
  expect(row.split("|").map((cell) => cell.trim()).slice(1, 4)).toEqual(["idle", "agent", "2.00"]);
  // 1,500 bytes in 30 s are 4.32 MB a day, and half of the text.
  expect(row).toContain("| 4.32 | 0.00 | 0.50 |");
});
