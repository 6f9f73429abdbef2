import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { gapRecord } from "../shared/record.ts";
import { FakeClock, ordinary, settle, TemporaryFolder } from "../tests/fixtures.ts";
import { type Frame, frameOf } from "./encoder.ts";
import { Status, statusFile } from "./status.ts";
import { reportStatus } from "./status_report.ts";

const [second, minute, hour] = [1_000, 60_000, 3_600_000];

function setUp(path: string) {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const folder = join(path, "run");
  const warn = (text: string) => void warnings.push(text);
  const status = new Status({ folder, version: "0.1.0", clock, warn });
  const waiting: Frame[] = [];
  const spool = { bytes: 0 };
  const kmsg = status.source("kmsg", { waiting: () => waiting, spoolBytes: () => spool.bytes });
  const report = (options = {}) => reportStatus([folder], clock.nowMs(), options);
  return { clock, folder, status, kmsg, waiting, spool, warnings, report };
}

const lost = (first: number, last: number) =>
  gapRecord(last + 1, 1, { first, last, count: last - first + 1, cause: "overrun" });

describe("an agent's status", () => {
  test("is this text where all is well", async () => {
    using folder = new TemporaryFolder();
    const { clock, status, kmsg, report } = setUp(folder.path);
    kmsg.using("https://user:secret@logs.example.com/v1/logs");
    await clock.advance(3 * hour + 12 * minute);
    kmsg.acked(frameOf(ordinary(7), ordinary(8)));
    await clock.advance(3 * second);
    await status.write();
    expect(report()).toEqual({
      running: true,
      text: `logmill-agent 0.1.0 is running: process ${process.pid}, for 3 h 12 min

kmsg to https://logs.example.com
  acknowledged up to record 8, 3 s ago
  nothing waits
`,
    });
  });

  test("is this text where nothing can be uploaded", async () => {
    using folder = new TemporaryFolder();
    const { clock, status, kmsg, waiting, spool, report } = setUp(folder.path);
    status.source("app:demo", { waiting: () => [], spoolBytes: () => 0, seq: 11 });
    kmsg.acked(frameOf(lost(0, 99), ordinary(100)));
    kmsg.failed("no route");
    await clock.advance(4 * minute);
    kmsg.failed("503 busy");
    waiting.push(frameOf(ordinary(101, "x".repeat(5_000))), frameOf(lost(102, 121)));
    spool.bytes = 3 * 1024 * 1024;
    await status.write();
    expect(report().text).toBe(`logmill-agent 0.1.0 is running: process ${process.pid}, for 4 min

kmsg
  acknowledged up to record 100, 4 min ago
  waiting: 5 KiB in 2 frames, 3.0 MiB in the spool
  CAN'T UPLOAD since 4 min, 2 failures: 503 busy
  records missing since its start: 120 overrun

app:demo
  acknowledged up to record 11, before its start
  nothing waits
`);
  });

  test("says what failed last, when it is over, and begins anew at the next failure", async () => {
    using folder = new TemporaryFolder();
    const { clock, status, kmsg, report } = setUp(folder.path);
    kmsg.recovered();
    kmsg.failed("no route");
    await clock.advance(90 * second);
    kmsg.recovered();
    await clock.advance(50 * hour);
    kmsg.recovered();
    await status.write();
    expect(report().text)
      .toContain("  all is well since 2 d 2 h; before, for 90 s, 1 failure: no route\n");
    kmsg.failed("w".repeat(1_000));
    await status.write();
    expect(report().text).toContain(`  CAN'T UPLOAD since 0 s, 1 failure: ${"w".repeat(300)}\n`);
  });

  test("counts a gap once: while it waits, and when it is acknowledged", async () => {
    using folder = new TemporaryFolder();
    const { status, kmsg, waiting } = setUp(folder.path);
    const frame = frameOf(lost(0, 4), gapRecord(5, 1, { count: 2, cause: "ratelimit" }));
    const gaps = () => status.toJson().sources["kmsg"]!.gaps;
    waiting.push(frame);
    expect(gaps()).toEqual({ overrun: 5, ratelimit: 2 });
    waiting.pop();
    kmsg.acked(frame);
    expect(gaps()).toEqual({ overrun: 5, ratelimit: 2 });
    await status.write();
  });

  test("as JSON has this form", async () => {
    using folder = new TemporaryFolder();
    const { clock, status, kmsg, waiting, report } = setUp(folder.path);
    const startMs = clock.nowMs();
    kmsg.using("http://127.0.0.1:4750");
    kmsg.failed("no route");
    await clock.advance(second);
    kmsg.recovered();
    kmsg.acked(frameOf(ordinary(8), lost(9, 9)));
    waiting.push(frameOf(ordinary(9)));
    await status.write();
    const { running, text } = report({ json: true });
    expect(running).toBe(true);
    expect(JSON.parse(text)).toEqual({
      running: true,
      version: "0.1.0",
      pid: process.pid,
      started_ms: startMs,
      written_ms: startMs + second,
      sources: {
        kmsg: {
          receiver: "http://127.0.0.1:4750",
          seq: 8,
          acked_ms: startMs + second,
          waiting_frames: 1,
          waiting_text_bytes: waiting[0]!.decodedBytes,
          spool_bytes: 0,
          error: { why: "no route", since_ms: startMs, failures: 1, over_ms: startMs + second },
          gaps: { overrun: 1 },
        },
      },
    });
  });

  test("has right times after the wall clock was set by years", async () => {
    using folder = new TemporaryFolder();
    const { clock, status, kmsg, report } = setUp(folder.path);
    kmsg.acked(frameOf(ordinary(1)));
    clock.setMs = 50 * 365 * 24 * hour;
    await clock.advance(10 * second);
    await status.write();
    expect(report().text).toContain("for 10 s\n");
    expect(report().text).toContain("record 1, 10 s ago\n");
  });
});

describe("an agent that doesn't run", () => {
  test("is said to be gone where its process is, with what it said last", async () => {
    using folder = new TemporaryFolder();
    const { clock, status, kmsg, report } = setUp(folder.path);
    kmsg.acked(frameOf(ordinary(1)));
    await status.write();
    await clock.advance(5 * second);
    const { running, text } = report({ alive: () => false });
    expect(running).toBe(false);
    expect(text).toStartWith(
      `logmill-agent isn't running: process ${process.pid} is gone. What it said last, 5 s ago:\n\nkmsg\n`,
    );
    expect(JSON.parse(report({ alive: () => false, json: true }).text).running).toBe(false);
  });

  test("or hangs is known by the age of the file, since its process may be another by now", async () => {
    using folder = new TemporaryFolder();
    const { clock, status, report } = setUp(folder.path);
    await status.write();
    await clock.advance(minute);
    expect(report().running).toBe(true);
    await clock.advance(5 * minute);
    expect(report().running).toBe(false);
    expect(report().text).toContain("or it hangs");
    clock.setMs = -hour;
    expect(report().running).toBe(false);
  });

  test("has left no status, or one that can't be read", () => {
    using folder = new TemporaryFolder();
    const nothing = { running: false, text: expect.stringContaining("No agent has left") };
    for (const text of ["", "{", "null", "[]", `{"pid":1}`]) {
      writeFileSync(join(folder.path, statusFile), text);
      expect(reportStatus([folder.path, "/nowhere"], 0)).toEqual(nothing);
    }
    const { text } = reportStatus(["/nowhere"], 0, { json: true });
    expect(JSON.parse(text)).toEqual({ running: false });
  });
});

describe("the status file", () => {
  test("is written at once, and then every statusMs", async () => {
    using folder = new TemporaryFolder();
    const { clock, folder: run, status } = setUp(folder.path);
    void status.keepWriting();
    const path = join(run, statusFile);
    // Its writes are real: they take their time, and none of the clock's.
    const appears = async () => {
      while (!existsSync(path)) await settle();
      while (readdirSync(run).length > 1) await settle();
      return JSON.parse(readFileSync(path, "utf8")).written_ms;
    };
    expect(await appears()).toBe(clock.startMs);
    while (clock.sleeps.length < 1) await settle();
    rmSync(path);
    await clock.advance(limits.statusMs - 1);
    expect(existsSync(path)).toBe(false);
    await clock.advance(1);
    expect(await appears()).toBe(clock.startMs + limits.statusMs);
    expect(statSync(path).mode & 0o777).toBe(0o644);
  });

  test("that can't be written is warned of, once, until it can be", async () => {
    using folder = new TemporaryFolder();
    const { folder: run, status, warnings } = setUp(folder.path);
    writeFileSync(run, "a file where the folder should be");
    for (let i = 0; i < 3; i++) await status.write();
    expect(warnings.length).toBe(1);
    expect(warnings[0]).toContain(`Cannot write ${join(run, statusFile)}`);
    rmSync(run);
    await status.write();
    rmSync(run, { recursive: true });
    writeFileSync(run, "");
    await status.write();
    expect(warnings.length).toBe(2);
  });

  test("of several folders is the newest", async () => {
    using folder = new TemporaryFolder();
    using other = new TemporaryFolder();
    const older = setUp(folder.path);
    const newer = setUp(other.path);
    await older.status.write();
    await newer.clock.advance(second);
    newer.kmsg.acked(frameOf(ordinary(77)));
    await newer.status.write();
    const { text } = reportStatus([older.folder, newer.folder], newer.clock.nowMs());
    expect(text).toContain("record 77");
  });
});
