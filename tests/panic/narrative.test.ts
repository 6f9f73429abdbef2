import { expect, test } from "bun:test";
import type { EventLine } from "../verify/events.ts";
import { narrative } from "./narrative.ts";
import type { TimelineBoot, TimelineLine } from "./timeline.ts";

const startUs = Date.UTC(2026, 10, 23, 2, 52) * 1000;

function line(seq: number, text: string, recovered = false): TimelineLine {
  return { seq, usec: seq, wallUs: startUs + seq, errorUs: 0, text, recovered };
}

const panicked: TimelineBoot = {
  boot: "b1",
  lines: [
    ...Array.from({ length: 20 }, (_, i) => line(i, `line ${i}`)),
    line(20, "player: user 1 requested video 7", true),
    line(21, "Kernel panic - not syncing: sysrq triggered crash", true),
    ...Array.from({ length: 5 }, (_, i) => line(22 + i, `after ${i}`, true)),
  ],
  gaps: [],
  twice: 0,
};

test("a narrative shows how a boot began and what came before its panic", () => {
  expect(narrative("tv", [panicked], []).split("\n")).toEqual([
    "tv, boot b1",
    "  02:52:00.000000    line 0",
    "  02:52:00.000001    line 1",
    "                     ... 8 lines",
    ...[10, 11, 12, 13, 14, 15, 16, 17, 18, 19].map((n) => `  02:52:00.0000${n}    line ${n}`),
    "  02:52:00.000020  > player: user 1 requested video 7",
    "  02:52:00.000021  > Kernel panic - not syncing: sysrq triggered crash",
    "  02:52:00.000022  > after 0",
    "  02:52:00.000023  > after 1",
    "                     ... 3 lines",
    "  > 7 lines came out of the dead kernel's memory",
    "",
  ]);
});

test("a narrative says why a boot began, what is missing of it, and only how it ends if it lives", () => {
  const reboot = { rule: "reboot", boot: "b2", time: "2026-11-23T02:53:00.000000Z", text: "again" };
  const lines = panicked.lines.slice(0, 9);
  const gaps = [{ first: 9, last: "?", count: 0, cause: "lost" } as const];
  const boots = [{ ...panicked, boot: "b2", lines }, { ...panicked, boot: "b3", lines, gaps }];
  const told = narrative("tv", boots, [reboot as unknown as EventLine]).split("\n\n");
  expect(told[0]!.split("\n")).toEqual([
    "tv, boot b2",
    "  02:53:00.000000  * again",
    "  02:52:00.000000    line 0",
    "  02:52:00.000001    line 1",
    "                     ... 4 lines",
    ...[6, 7, 8].map((n) => `  02:52:00.00000${n}    line ${n}`),
  ]);
  expect(told[1]).toEndWith(
    "line 8\n  ! an unknown number of lines are missing after seq 8: lost\n",
  );
});
