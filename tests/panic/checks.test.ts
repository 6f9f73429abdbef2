import { describe, expect, test } from "bun:test";
import type { EventLine } from "../verify/events.ts";
import { emptyTotals } from "../verify/verdict.ts";
import { check } from "./checks.ts";
import type { Outcome } from "./run.ts";
import type { TimelineLine } from "./timeline.ts";
import type { End } from "./variants.ts";

const bootMs = 1_795_400_000_000;
const texts = [
  "Linux version 6.1.0",
  ...Array.from({ length: 9 }, (_, i) => `dhcpd: sending ACK, line ${i + 1}`),
  "Kernel panic - not syncing: sysrq triggered crash",
];

const note = (n: number) => `boot 1 wrote dhcpd ${n} at ${bootMs / 1000 + n}.0\n`;

/** One boot as it was said and as it is stored; a test changes what it is about. */
function outcome(): Outcome {
  const lines: TimelineLine[] = texts.map((text, i) => ({
    seq: i,
    usec: i * 1e6,
    wallUs: (bootMs + i * 1_000) * 1000,
    errorUs: 0,
    text,
    recovered: i > 5,
  }));
  const console = lines.map(({ usec, text }) =>
    `[${String(usec / 1e6).padStart(5)}.000000] ${text}`
  );
  const panic = { rule: "kernel_panic", boot: "b1", labels: { reason: "sysrq triggered crash" } };
  return {
    logs: {
      console: `${console.join("\n")}\n[   11.000000] CPU: 0\n`,
      script: [1, 2, 3, 4, 5, 6, 7, 8, 9].map(note).join(""),
    },
    boots: [{ boot: "b1", lines, gaps: [], twice: 0 }],
    events: [panic as unknown as EventLine],
    verdict: { ok: true, totals: emptyTotals(), streams: [], examples: [] },
  };
}

/** What is found to be wrong. */
function wrong(end: End, change: (outcome: Outcome, lines: TimelineLine[]) => void = () => {}) {
  const changed = outcome();
  change(changed, changed.boots[0]!.lines);
  const variant = { name: "", story: "", boots: [], ends: [end] };
  return check(variant, changed).filter(({ ok }) => !ok).map(({ text }) => text);
}

const openGap = { first: 6, last: "?", count: 0, cause: "lost" } as const;

describe("a boot that panicked", () => {
  test("is right where all that the console saw is stored", () => {
    expect(wrong("panic")).toEqual([]);
  });

  test("is wrong where a line is lost, stored twice, out of order or another", () => {
    expect(wrong("panic", (_, lines) => lines.splice(4, 1))[0]).toContain(
      "at 5: said 4000000 dhcpd",
    );
    expect(wrong("panic", (_, lines) => lines.splice(4, 0, lines[3]!)).length).toBe(2);
    expect(wrong("panic", (_, lines) => lines.splice(4, 2, lines[5]!, lines[4]!)).length).toBe(2);
    expect(wrong("panic", (_, lines) => lines[0]!.text += "?").length).toBe(1);
  });

  test("is wrong where a program's last line isn't in the kernel's log", () => {
    const found = wrong("panic", (o) => o.logs.script += note(10) + note(11).replace("1", "2"));
    expect(found).toEqual([expect.stringContaining("1 more on their way")]);
  });

  test("is wrong where a line's time is off", () => {
    const late = (_: Outcome, lines: TimelineLine[]) => lines[9]!.wallUs += 251_000;
    expect(wrong("panic", late)).toEqual([expect.stringContaining("off by 251 ms")]);
  });

  test("of which no clock is known may be off by anything, and says what the grinder thinks", () => {
    const late = (_: Outcome, lines: TimelineLine[]) => {
      for (const line of lines) line.wallUs += 40e6;
    };
    expect(wrong("panic", late).length).toBe(1);
    expect(wrong("undated", late)).toEqual([]);
  });

  test("is wrong without its event, with two, or with another reason", () => {
    expect(wrong("panic", (o) => o.events.pop()).length).toBe(1);
    expect(wrong("panic", (o) => o.events.push(o.events[0]!)).length).toBe(1);
    expect(wrong("panic", (o) => o.events[0]!.labels = { reason: "bad" }).length).toBe(1);
  });

  test("is wrong where a gap is said, or nothing of it is stored", () => {
    expect(wrong("panic", (o) => o.boots[0]!.gaps.push(openGap)).length).toBe(1);
    expect(wrong("panic", (o) => o.boots.pop())).toEqual(["boot 1: nothing of it is stored"]);
  });

  test("is wrong where the verifier says so", () => {
    expect(wrong("panic", (o) => o.verdict.ok = false).length).toBe(1);
  });
});

describe("a boot whose end is lost", () => {
  test("is right with a gap, and wrong without, or where what is there isn't its beginning", () => {
    const cut = (o: Outcome) => {
      o.boots[0]!.lines.splice(6);
      o.boots[0]!.gaps.push(openGap);
    };
    expect(wrong("lost", cut)).toEqual([]);
    expect(wrong("lost", (o) => o.boots[0]!.lines.splice(6)).length).toBe(1);
    expect(wrong("lost", (o) => (cut(o), o.boots[0]!.lines.shift())).length).toBe(1);
  });

  test("but for its last words is right with a gap, and wrong without, or where nothing is missing", () => {
    const cut = (o: Outcome) => {
      o.boots[0]!.lines.splice(5, 3);
      o.boots[0]!.gaps.push(openGap);
    };
    expect(wrong("cut", cut)).toEqual([]);
    expect(wrong("cut", (o) => o.boots[0]!.lines.splice(5, 3)).length).toBe(1);
    expect(wrong("cut", (o) => o.boots[0]!.gaps.push(openGap)).length).toBe(1);
    expect(wrong("cut", (o) => (cut(o), o.boots[0]!.lines.splice(6, 1))).length).toBe(1);
  });

  test("and whose name is lost, too, is wrong under another's name", () => {
    expect(wrong("unnamed")).toEqual(["boot 1: nothing of it is stored"]);
    const rename = (o: Outcome) => o.boots[0]!.boot = o.events[0]!.boot = "unknown-1";
    expect(wrong("unnamed", rename)).toEqual([]);
    expect(wrong("panic", rename)).toEqual(["boot 1: nothing of it is stored"]);
  });
});
