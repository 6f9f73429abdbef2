import {
  chmodSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { FakeClock, settle, TemporaryFolder } from "../../tests/fixtures.ts";
import { FilesFollower, globFiles } from "./follow_files.ts";

function setUp(folder: TemporaryFolder, patterns: string[], filesMax = 10) {
  const clock = new FakeClock(Date.now());
  const state = join(folder.path, "state");
  mkdirSync(state, { recursive: true });
  const texts: string[] = [];
  const reports: string[] = [];
  const follower = new FilesFollower({
    ...clock,
    patterns: patterns.map((pattern) => join(folder.path, pattern)),
    state,
    boot: "b1",
    nowUs: () => 0,
    filesMax,
    report: (text) => reports.push(text),
    ship: async (source) => {
      for (let records = await source.read(); records; records = await source.read()) {
        texts.push(...records.map(({ text }) => `${source.source} ${text}`));
        await source.save({ seq: records.at(-1)!.seq });
      }
    },
  });
  const ended = follower.run();
  /** Checkpoints are written by threads: real time passes, too, as little as they need. */
  const until = async (holds: () => boolean) => {
    for (let turn = 0; !holds(); turn++) {
      if (turn > 2_000) throw new Error(`it didn't come true: ${texts.join(", ")}`);
      await clock.advance(100);
      await new Promise((next) => setTimeout(next, 1));
    }
  };
  const stop = async () => {
    follower.close();
    let isOver = false;
    void ended.then(() => isOver = true);
    await until(() => isOver);
  };
  return { clock, texts, reports, until, stop, state };
}

describe("following files", () => {
  test("follows what a glob matches, and what comes to match it", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(join(folder.path, "a.log"), "a1\n");
    const { texts, until, stop } = setUp(folder, ["*.log"]);
    await until(() => texts.length === 1);
    writeFileSync(join(folder.path, "b.log"), "b1\n");
    writeFileSync(join(folder.path, "c.txt"), "c1\n");
    await until(() => texts.length === 2);
    expect(texts).toEqual(["file:a.log a1", "file:b.log b1"]);
    await stop();
  });

  test("follows a file again that vanished and came back", async () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "a.log");
    writeFileSync(path, "a1\n");
    const { clock, texts, until, stop } = setUp(folder, ["a.log"]);
    await until(() => texts.length === 1);
    rmSync(path);
    await clock.advance(20_000);
    await settle();
    writeFileSync(path, "a2\n");
    await until(() => texts.length === 2);
    await stop();
  });

  test("finds what was renamed while no agent ran, though nothing is under its path", async () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "a.log");
    writeFileSync(path, "a1\n");
    const first = setUp(folder, ["*.log"]);
    await first.until(() => first.texts.length === 1);
    await first.stop();
    writeFileSync(path, "a1\na2\n");
    renameSync(path, `${path}.1`);
    const second = setUp(folder, ["*.log"]);
    await second.until(() => second.texts.length === 1);
    expect(second.texts).toEqual(["file:a.log a2"]);
    await second.stop();
    const third = setUp(folder, ["other*.log"]);
    await third.clock.advance(20_000);
    expect(third.texts).toEqual([]);
    await third.stop();
  });

  test("forgets a path that has been empty for long", async () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "a.log");
    writeFileSync(path, "a1\n");
    const first = setUp(folder, ["*.log"]);
    await first.until(() => first.texts.length === 1);
    await first.stop();
    rmSync(path);
    const checkpoint = join(first.state, readdirSync(first.state)[0]!);
    const longAgo = Date.now() / 1000 - 30 * 86_400;
    utimesSync(checkpoint, longAgo, longAgo);
    await setUp(folder, ["*.log"]).stop();
    expect(readdirSync(first.state)).toEqual([]);
  });

  test("follows at most so many files, and says so once", async () => {
    using folder = new TemporaryFolder();
    for (const name of ["a", "b", "c", "d"]) writeFileSync(join(folder.path, name), `${name}1\n`);
    const { clock, texts, reports, until, stop } = setUp(folder, ["?"], 2);
    await until(() => texts.length === 2);
    await clock.advance(5_000);
    expect([texts.length, reports.length]).toEqual([2, 1]);
    expect(reports[0]).toMatch(/c because at most 2 files are: 2 more match$/);
    rmSync(join(folder.path, "a"));
    await until(() => texts.length === 3);
    await stop();
  });

  test.skipIf(process.getuid!() === 0)("says once what it may not read", async () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "a.log");
    writeFileSync(path, "a1\n");
    chmodSync(path, 0);
    const { texts, reports, until, stop } = setUp(folder, ["a.log"]);
    await until(() => reports.length === 1);
    chmodSync(path, 0o600);
    await until(() => texts.length === 1);
    await stop();
  });
});

test("a glob doesn't mean what was rotated away or packed; a full name does", () => {
  using folder = new TemporaryFolder();
  const names = [
    ...["app.log", "app.log.1", "app.log.2.gz", "app.log-20260131", "app-20260131.log", "app.log~"],
    ...["app.log.old", "app2.log"],
  ];
  for (const name of names) writeFileSync(join(folder.path, name), "");
  mkdirSync(join(folder.path, "app.d"));
  const found = (...patterns: string[]) =>
    globFiles(patterns.map((pattern) => join(folder.path, pattern)))
      .map((path) => path.slice(folder.path.length + 1));
  expect(found("app*")).toEqual(["app.log", "app2.log"]);
  expect(found("app.log.1", "nothing", "app*", "app.log")).toEqual([
    "app.log",
    "app.log.1",
    "app2.log",
  ]);
});
