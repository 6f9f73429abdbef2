import { expect, test } from "bun:test";
import { FakeClock } from "../../tests/fixtures.ts";
import { formatProgress, ProgressLine } from "./progress_line.ts";

function line(isTerminal: boolean) {
  const clock = new FakeClock();
  const written: string[] = [];
  const write = (text: string) => void written.push(text);
  return {
    clock,
    written,
    line: new ProgressLine({ write, isTerminal, nowMs: clock.monotonicMs }),
  };
}

test("progress is told as a bar, bytes, rate and time left", () => {
  const progress = { storedBytes: 1.2e9, storedBytesTotal: 3e9 };
  expect(formatProgress(progress, 8_000)).toBe(
    "[########------------]  40 %, 1.2 of 3.0 GB stored, 150 MB/s, 12 s left",
  );
  expect(formatProgress({ storedBytes: 0, storedBytesTotal: 500 }, 0)).toBe(
    "[--------------------]   0 %, 0 of 500 B stored, 0.0 MB/s",
  );
  expect(formatProgress({ storedBytes: 0, storedBytesTotal: 0 }, 10)).toContain("100 %");
  expect(formatProgress({ storedBytes: 5e6, storedBytesTotal: 5e6 }, 1_000)).toBe(
    "[####################] 100 %, 5.0 of 5.0 MB stored, 5.0 MB/s",
  );
});

test("on a terminal the bar is drawn anew in its place, ten times a second, and ends with its line", async () => {
  const { clock, written, line: bar } = line(true);
  for (let i = 1; i <= 100; i++) {
    await clock.advance(10);
    bar.update({ storedBytes: i, storedBytesTotal: 100 });
  }
  bar.end();
  expect(written.length).toBe(10 + 2);
  for (const text of written.slice(0, -1)) {
    expect([text.startsWith("\r["), text.endsWith("\x1b[K")]).toEqual([true, true]);
  }
  expect(written.at(-1)).toBe("\n");
});

test("without a terminal there is a line every ten seconds, and none for what takes less", async () => {
  const short = line(false);
  await short.clock.advance(9_999);
  short.line.update({ storedBytes: 1, storedBytesTotal: 1 });
  short.line.end();
  expect(short.written).toEqual([]);
  const long = line(false);
  for (let i = 1; i <= 25; i++) {
    await long.clock.advance(1_000);
    long.line.update({ storedBytes: i, storedBytesTotal: 25 });
  }
  long.line.end();
  expect(long.written.map((text) => /(\d+) %/.exec(text)![1])).toEqual(["40", "80", "100"]);
  for (const text of long.written) expect(text).toMatch(/^\[.*\n$/);
});

test("a progress line tells the time left by the share of the work, where that is known", () => {
  const progress = { storedBytes: 10e6, storedBytesTotal: 100e6, share: 0.5 };
  expect(formatProgress(progress, 4_000)).toBe(
    "[##########----------]  50 %, 10.0 of 100.0 MB stored, 2.5 MB/s, 4 s left",
  );
});
