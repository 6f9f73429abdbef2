import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { ordinary, TemporaryFolder } from "../tests/fixtures.ts";
import { Checkpoint, type Position, recordHash } from "./checkpoint.ts";

const at = (seq: number): Position => ({ boot: "b1", stream: "s1", seq, hash: "h" });

/** A checkpoint file in a folder of its own, and what it warned of. */
function setUp(folder: TemporaryFolder) {
  const path = join(folder.path, "checkpoint-kmsg.json");
  const warnings: string[] = [];
  return { path, warnings, checkpoint: new Checkpoint(path, (text) => warnings.push(text)) };
}

describe("a checkpoint", () => {
  test("that was never saved is none, and that is nothing to warn of", async () => {
    using folder = new TemporaryFolder();
    const { checkpoint, warnings } = setUp(folder);
    expect([await checkpoint.load(), warnings]).toEqual([undefined, []]);
  });

  test("is one line of JSON, which the next process reads", async () => {
    using folder = new TemporaryFolder();
    const { checkpoint, path } = setUp(folder);
    await checkpoint.save(at(41));
    expect(readFileSync(path, "utf8")).toBe('{"boot":"b1","stream":"s1","seq":41,"hash":"h"}\n');
    expect(await new Checkpoint(path).load()).toEqual(at(41));
    expect(readdirSync(folder.path)).toEqual(["checkpoint-kmsg.json"]);
  });

  test("that is torn at any byte counts as none, or is whole", async () => {
    using folder = new TemporaryFolder();
    const { checkpoint, path } = setUp(folder);
    await checkpoint.save(at(123));
    const whole = readFileSync(path);
    for (let length = 0; length < whole.length - 1; length++) {
      writeFileSync(path, whole.subarray(0, length));
      const { checkpoint: next, warnings } = setUp(folder);
      expect([length, await next.load()]).toEqual([length, undefined]);
      expect(warnings.length).toBe(1);
    }
    writeFileSync(path, whole.subarray(0, whole.length - 1)); // Only the newline is missing.
    expect(await checkpoint.load()).toEqual(at(123));
  });

  test("that holds garbage counts as none, and says so", async () => {
    using folder = new TemporaryFolder();
    const garbage = [
      "\0".repeat(60),
      "null",
      "[]",
      "7",
      '{"boot":"b1","stream":"s1","seq":-1,"hash":"h"}',
      '{"boot":"b1","stream":"s1","seq":1.5,"hash":"h"}',
      '{"boot":"b1","stream":"s1","seq":"7","hash":"h"}',
      '{"boot":"b1","seq":7,"hash":"h"}',
      '{"boot":1,"stream":"s1","seq":7,"hash":"h"}',
      '{"boot":"b1","stream":"s1","seq":1e300,"hash":"h"}',
    ];
    for (const text of garbage) {
      const { checkpoint, path, warnings } = setUp(folder);
      writeFileSync(path, text);
      expect([text, await checkpoint.load()]).toEqual([text, undefined]);
      expect(warnings[0]).toMatch(/^Cannot read .* All that the source still has is sent again\.$/);
    }
  });

  test("stays the old one while a new one is half written", async () => {
    using folder = new TemporaryFolder();
    const { checkpoint, path } = setUp(folder);
    await checkpoint.save(at(1));
    writeFileSync(`${path}.tmp`, '{"boot":"b1","str'); // What a crash leaves behind.
    expect(await checkpoint.load()).toEqual(at(1));
    await checkpoint.save(at(2));
    expect(await checkpoint.load()).toEqual(at(2));
  });

  test("is the newest of many that came while one was written", async () => {
    using folder = new TemporaryFolder();
    const { checkpoint } = setUp(folder);
    let written = 0;
    const saves = Array.from({ length: 1_000 }, (_, seq) => checkpoint.save(at(seq)));
    await Promise.all(saves.map((save) => save.then(() => written++)));
    expect([written, await checkpoint.load()]).toEqual([1_000, at(999)]);
  });

  test("is on disk, or a newer one is, when its save resolves", async () => {
    using folder = new TemporaryFolder();
    const { checkpoint, path } = setUp(folder);
    await Promise.all(Array.from({ length: 50 }, async (_, seq) => {
      await checkpoint.save(at(seq));
      const { seq: onDisk } = JSON.parse(readFileSync(path, "utf8")) as Position;
      expect(onDisk).toBeGreaterThanOrEqual(seq);
    }));
  });

  test("that can't be written is told of once, not at each try, and again when it can", async () => {
    using folder = new TemporaryFolder();
    const { checkpoint, path, warnings } = setUp(folder);
    mkdirSync(`${path}.tmp`); // Fails for root as well.
    for (let seq = 0; seq < 3; seq++) await checkpoint.save(at(seq));
    expect(warnings.length).toBe(1);
    expect(warnings[0]).toMatch(/^Cannot save .* Records may be sent twice\.$/);
    rmSync(`${path}.tmp`, { recursive: true });
    await checkpoint.save(at(3));
    await checkpoint.save(at(4));
    expect([await checkpoint.load(), warnings.length]).toEqual([at(4), 2]);
    expect(warnings[1]).toEndWith("is saved again");
  });

  test("in a folder that isn't there is told of, and costs nothing else", async () => {
    const warnings: string[] = [];
    const nowhere = new Checkpoint("/nonexistent/folder/c.json", (text) => warnings.push(text));
    await nowhere.save(at(1));
    expect([await nowhere.load(), warnings.length]).toEqual([undefined, 1]);
  });
});

test("a record's hash is over (prio, usec, text) and not over its seq", () => {
  const record = { ...ordinary(5), text: "usb 1-1: new device" };
  expect(recordHash({ ...record, seq: 9, fields: "caller=T1" } as never)).toBe(recordHash(record));
  for (const other of [{ prio: 3 }, { usec: 6 }, { text: "usb 1-1: new devicf" }]) {
    expect(recordHash({ ...record, ...other })).not.toBe(recordHash(record));
  }
  expect(recordHash({ prio: 6, usec: 1, text: "a" })).toBe("V4PVcU8ZRtKeZ49z8gI7bz");
});
