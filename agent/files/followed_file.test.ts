import { Buffer } from "node:buffer";
import { appendFileSync, readFileSync, renameSync, rmSync, truncateSync } from "node:fs";
import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { unescapeText } from "../../shared/record.ts";
import type { FilePosition } from "./file_checkpoint.ts";
import { LogFolder } from "./fixtures.ts";
import { fileSourceName } from "./followed_file.ts";

const position = (folder: LogFolder) =>
  JSON.parse(readFileSync(folder.state, "utf8")) as FilePosition;

describe("a followed file", () => {
  test("gives its lines, numbered from 0, and those that come", async () => {
    using folder = new LogFolder();
    folder.write("one\ntwo\n");
    const agent = folder.start();
    await agent.run();
    folder.append("three\n");
    await agent.run();
    expect(folder.sent.map(({ record }) => [record.seq, record.text]))
      .toEqual([[0, "one"], [1, "two"], [2, "three"]]);
    expect(folder.streams.length).toBe(1);
    expect(folder.sent[0]!.record).toMatchObject({ prio: 14, flag: "-", fields: "", more: [] });
    await agent.stop();
    expect(position(folder)).toMatchObject({ nextSeq: 3, offset: 14, ended: false });
  });

  test("has no stream while it is empty, and none where nothing is", async () => {
    using folder = new LogFolder();
    await folder.start().ended;
    folder.write("");
    const agent = folder.start();
    await agent.run();
    expect(folder.names).toEqual(["app.log"]);
    folder.append("now\n");
    await agent.run();
    expect(folder.texts).toEqual(["now"]);
    await agent.stop();
  });

  test("keeps a last line without its end back until that comes", async () => {
    using folder = new LogFolder();
    folder.write("one\ntw");
    const agent = folder.start();
    await agent.run(20_000);
    expect(folder.texts).toEqual(["one"]);
    folder.append("o\r\n");
    await agent.run();
    expect(folder.texts).toEqual(["one", "two"]);
    await agent.stop();
  });

  test("takes a last line without its end when it is rotated away, not when the agent stops", async () => {
    using folder = new LogFolder();
    folder.write("one\nhalf");
    await runAndStop(folder);
    expect(folder.texts).toEqual(["one"]);
    folder.rotate();
    folder.write("new\n");
    await runAndStop(folder);
    expect(folder.texts).toEqual(["one", "half", "new"]);
  });

  test("that grows keeps its identity over restarts", async () => {
    using folder = new LogFolder();
    for (let n = 0; n < 60; n++) {
      folder.append(`line ${n}, long enough that the head is full after some of them\n`);
      if (n % 7 === 0) await runAndStop(folder);
    }
    await runAndStop(folder);
    expect(folder.sent.map(({ record }) => record.seq)).toEqual(
      Array.from({ length: 60 }, (_, n) => n),
    );
    expect([folder.streams.length, folder.gaps]).toEqual([1, []]);
    expect(position(folder).head.bytes).toBe(1024);
  });

  test("is sent again from the acknowledged line after a kill, under the same numbers", async () => {
    using folder = new LogFolder();
    folder.write("a\n");
    const agent = folder.start();
    agent.autoAck = false;
    await agent.run();
    for (const line of ["b\n", "c\n", "d\n"]) {
      folder.append(line);
      await agent.run();
    }
    await agent.ack(2);
    await agent.kill();
    expect(position(folder)).toMatchObject({ nextSeq: 2, offset: 4 });
    await runAndStop(folder);
    expect(folder.sent.map(({ record }) => `${record.seq}${record.text}`))
      .toEqual(["0a", "1b", "2c", "3d", "2c", "3d"]);
    expect(folder.streams.length).toBe(1);
  });

  test("is read to its end after it was rotated, then the new one under a new stream", async () => {
    using folder = new LogFolder();
    folder.write("old 1\n");
    const agent = folder.start();
    await agent.run();
    const old = folder.rotate();
    folder.append("old 2\n", old); // Its program hasn't reopened yet.
    folder.write("new 1\n");
    await agent.run(2_000);
    folder.append("old 3\n", old);
    await agent.run(limits.fileRotatedMs);
    expect(folder.texts).toEqual(["old 1", "old 2", "old 3"]);
    await agent.run(3_000);
    expect(folder.texts).toEqual(["old 1", "old 2", "old 3", "new 1"]);
    expect(folder.sent.map(({ record }) => record.seq)).toEqual([0, 1, 2, 0]);
    await agent.stop();
  });

  test("that was rotated several times while no agent ran is found, and what came between", async () => {
    using folder = new LogFolder();
    folder.write("a1\na2\n");
    await runAndStop(folder);
    folder.append("a3\n");
    folder.rotate();
    folder.write("b1\n");
    folder.rotate();
    folder.write("");
    folder.rotate();
    folder.write("c1");
    folder.rotate();
    folder.write("d1\n");
    await runAndStop(folder);
    expect(folder.texts).toEqual(["a1", "a2", "a3", "b1", "c1", "d1"]);
    expect([folder.streams.length, folder.gaps]).toEqual([4, []]);
  });

  test("is found under a date, as logrotate's dateext names it", async () => {
    using folder = new LogFolder();
    folder.write("a1\n");
    await runAndStop(folder);
    folder.append("a2\n");
    renameSync(folder.path, folder.path.replace(".log", "-20260130.log"));
    folder.write("b1\n");
    renameSync(folder.path, folder.path.replace(".log", "-20260131.log"));
    folder.write("c1\n");
    await runAndStop(folder);
    expect(folder.texts).toEqual(["a1", "a2", "b1", "c1"]);
  });

  test("that was renamed and has no successor yet is read to its end", async () => {
    using folder = new LogFolder();
    folder.write("a1\n");
    await runAndStop(folder);
    folder.append("a2\n");
    folder.rotate();
    const agent = folder.start();
    await agent.run(10_000);
    await agent.ended;
    expect(position(folder).ended).toBe(true);
    folder.write("b1\n");
    await runAndStop(folder);
    expect(folder.texts).toEqual(["a1", "a2", "b1"]);
  });

  test("that is deleted is read to its end, and what comes in its place is a new one", async () => {
    using folder = new LogFolder();
    folder.write("a1\n");
    const agent = folder.start();
    await agent.run();
    folder.append("a2\n");
    rmSync(folder.path);
    await agent.run(10_000);
    await agent.ended;
    expect([folder.texts, folder.gaps]).toEqual([["a1", "a2"], []]);
    folder.write("b1\n");
    folder.rotate();
    folder.write("c1\n");
    await runAndStop(folder);
    expect([folder.texts, folder.streams.length]).toEqual([["a1", "a2", "b1", "c1"], 3]);
  });

  test("that was truncated is a new one; unread lines that are known of are a gap", async () => {
    using folder = new LogFolder();
    folder.write("a1\na2\n");
    const agent = folder.start();
    await agent.run();
    truncateSync(folder.path);
    folder.append("b1\n");
    await agent.run();
    expect([folder.texts, folder.streams.length, folder.gaps]).toEqual([["a1", "a2", "b1"], 2, []]);
    folder.append("half a li");
    await agent.run();
    folder.write("c1\n");
    await agent.run();
    expect(folder.texts).toEqual(["a1", "a2", "b1", "c1"]);
    expect(folder.gaps).toEqual(["first=1,last=?,count=0,cause=lost"]);
    await agent.stop();
  });

  test("that was truncated and is longer again is told by its head", async () => {
    using folder = new LogFolder();
    folder.write("a1\na2\n");
    const agent = folder.start();
    await agent.run();
    folder.write("another\nand more of it\n");
    await agent.run();
    expect(folder.texts).toEqual(["a1", "a2", "another", "and more of it"]);
    expect(folder.streams.length).toBe(2);
    await agent.stop();
  });

  test("with the same banner as before is told by what was read last", async () => {
    using folder = new LogFolder();
    const banner = `${"=".repeat(2_000)}\n`;
    folder.write(`${banner}a1\n`);
    await runAndStop(folder);
    folder.write(`${banner}b1\nb2\n`);
    await runAndStop(folder);
    expect(folder.texts.map((text) => text.slice(0, 2))).toEqual(["==", "a1", "==", "b1", "b2"]);
  });

  test("with the same banner and another inode isn't taken for a copy of the old one", async () => {
    using folder = new LogFolder();
    folder.write("banner\n");
    await runAndStop(folder);
    renameSync(folder.path, `${folder.path}.kept`); // So that its inode isn't free.
    folder.write("banner\nb1\n");
    await runAndStop(folder);
    expect([folder.texts, folder.streams.length]).toEqual([["banner", "banner", "b1"], 2]);
    expect(folder.gaps).toEqual(["first=1,last=?,count=0,cause=lost"]);
  });

  test("that copytruncate emptied loses nothing of what the copy has", async () => {
    for (const running of [true, false]) {
      using folder = new LogFolder();
      folder.write("a1\n");
      let agent = folder.start();
      await agent.run();
      if (!running) await agent.kill();
      folder.append("a2\nhalf");
      folder.copytruncate();
      folder.append("b1\n");
      if (!running) {
        folder.copytruncate();
        folder.append("c1\n");
        agent = folder.start();
      }
      await agent.run(12_000);
      await agent.stop();
      expect(folder.texts).toEqual(["a1", "a2", "half", "b1", ...(running ? [] : ["c1"])]);
      expect([folder.streams.length, folder.gaps]).toEqual([running ? 2 : 3, []]);
    }
  });

  test("that is nowhere any more leaves a gap whose end isn't known", async () => {
    using folder = new LogFolder();
    folder.write("a1\na2\n");
    await runAndStop(folder);
    rmSync(folder.path);
    folder.write("something else\n");
    await runAndStop(folder);
    expect(folder.gaps).toEqual(["first=2,last=?,count=0,cause=lost"]);
    expect(folder.texts).toEqual(["a1", "a2", "something else"]);
    await runAndStop(folder);
    expect(folder.gaps.length).toBe(1);
  });

  test("with an unreadable checkpoint is sent again as a new one, which is said", async () => {
    using folder = new LogFolder();
    folder.write("a1\n");
    await runAndStop(folder);
    truncateSync(folder.state, 20);
    await runAndStop(folder);
    expect([folder.texts, folder.streams.length]).toEqual([["a1", "a1"], 2]);
    expect(folder.warnings[0]).toMatch(/^Cannot read .* The file is sent again, as a new one\.$/);
  });

  test("keeps every byte: what isn't printable ASCII is escaped, UTF-8 or not", async () => {
    using folder = new LogFolder();
    const bytes = Buffer.from([0, 0xff, 0xc3, 0x28, 0x5c, 0x09, 0xe2, 0x82, 0xac, 0x0a]);
    appendFileSync(folder.path, bytes);
    await runAndStop(folder);
    expect(folder.texts).toEqual(["\\x00\\xff\\xc3(\\x5c\\x09\\xe2\\x82\\xac"]);
    expect(unescapeText(folder.texts[0]!)).toBe("\0��(\\\t€");
  });

  test("cuts long lines in the same places, wherever it begins to read", async () => {
    using folder = new LogFolder();
    const long = "ä".repeat(100_000);
    folder.write(`x${long.slice(0, 50_000)}`);
    const agent = folder.start();
    agent.autoAck = false;
    await agent.run();
    await agent.ack(1);
    folder.append(`${long.slice(50_000)}\nnext\n`);
    await agent.run();
    await agent.kill();
    await runAndStop(folder);
    const identities = new Set(folder.sent.map(({ record }) => `${record.seq} ${record.text}`));
    expect(identities.size).toBe(5);
    const pieces = folder.texts.map(unescapeText);
    expect(pieces.slice(0, 4).join("")).toBe(`x${long}`);
    expect(pieces.every((piece) => Buffer.byteLength(piece) <= limits.rawLineBytesMax)).toBe(true);
  });

  test("with a hole, where its program writes on after copytruncate, doesn't send the hole", async () => {
    using folder = new LogFolder();
    folder.write("a1\n");
    const agent = folder.start();
    await agent.run();
    folder.copytruncate();
    truncateSync(folder.path, 10 * limits.rawLineBytesMax);
    folder.append("b1\n");
    await agent.run(2_000);
    expect(folder.texts.map((text) => text.replaceAll("\\x00", ""))).toEqual(["a1", "b1"]);
    expect(folder.texts[1]!.length).toBeLessThan(5 * limits.rawLineBytesMax);
    await agent.stop();
  });

  test("of empty lines is read in bounded parts", async () => {
    using folder = new LogFolder();
    folder.write("\n".repeat(2 * limits.fileLinesMax + 5));
    await runAndStop(folder);
    expect(folder.sent.length).toBe(2 * limits.fileLinesMax + 5);
  });
});

test("a file's source name is its base name, made valid", () => {
  expect(fileSourceName("/var/log/messages")).toBe("file:messages");
  expect(fileSourceName("/x/my app (1).log")).toBe("file:my_app__1_.log");
  expect(fileSourceName(`/x/${"n".repeat(200)}`).length).toBe(limits.nameBytesMax);
});

async function runAndStop(folder: LogFolder): Promise<void> {
  const agent = folder.start();
  await agent.run(25_000);
  await agent.stop();
}
