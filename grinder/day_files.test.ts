import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { DayFiles } from "./day_files.ts";

const noonMs = Date.UTC(2026, 10, 22, 12);
const dayMs = 86_400_000;
const today = "events/20261122.jsonl";

const read = (folder: TemporaryFolder, path: string) =>
  readFileSync(join(folder.path, path), "utf8");

/** Writes lines in one go; returns what is to be recorded. */
function write(files: DayFiles, lines: string[], nowMs = noonMs) {
  for (const line of lines) files.add("events", line);
  return files.sync(nowMs);
}

describe("day files", () => {
  test("append what was added since the last time, and say how long they are", () => {
    using folder = new TemporaryFolder();
    const files = new DayFiles(folder.path, new Map());
    files.add("aggregates", "A\n");
    expect(write(files, ["a\n", "b\n"])).toEqual([
      [today, 4],
      ["aggregates/20261122.jsonl", 2],
    ]);
    expect(write(files, ["cä\n"])).toEqual([[today, 8]]);
    expect(files.sync(noonMs)).toEqual([]);
    expect(read(folder, today)).toBe("a\nb\ncä\n");
  });

  test("write a flood as it was added, whatever its characters take, and what comes behind it", () => {
    using folder = new TemporaryFolder();
    const files = new DayFiles(folder.path, new Map());
    let text = "";
    for (let round = 0; round < 3; round++) {
      const lines = Array.from(
        { length: 40_000 },
        (_, i) => `${["a", "ä", "€", "😀"][i % 4]}${i}\n`,
      );
      lines.push(`${"€".repeat(300_000)}\n`);
      text += lines.join("");
      const length = Buffer.byteLength(text);
      expect(write(files, lines)).toEqual([[today, length]]);
    }
    expect(read(folder, today) === text).toBe(true);
  });

  test("are cut back at start to the lengths that were recorded", () => {
    using folder = new TemporaryFolder();
    const recorded = write(new DayFiles(folder.path, new Map()), ["a\n", "b\n"]);
    // Written and synced, but its transaction never came; and half a line of the next.
    const killed = new DayFiles(folder.path, new Map(recorded));
    write(killed, ["c\n", "d"]);
    const files = new DayFiles(folder.path, new Map(recorded));
    expect(read(folder, today)).toBe("a\nb\n");
    expect(write(files, ["c\n"])).toEqual([[today, 6]]);
    expect(read(folder, today)).toBe("a\nb\nc\n");
  });

  test("cut a file that isn't recorded at all to nothing, and leave others alone", () => {
    using folder = new TemporaryFolder();
    mkdirSync(join(folder.path, "events"));
    writeFileSync(join(folder.path, today), "of a batch that was never committed\n");
    writeFileSync(join(folder.path, "events/notes.jsonl"), "mine\n");
    const files = new DayFiles(folder.path, new Map());
    expect(read(folder, today)).toBe("");
    expect(read(folder, "events/notes.jsonl")).toBe("mine\n");
    expect(write(files, ["a\n"])).toEqual([[today, 2]]);
    expect(read(folder, today)).toBe("a\n");
  });

  test("begin a new file with the day", () => {
    using folder = new TemporaryFolder();
    const files = new DayFiles(folder.path, new Map());
    write(files, ["a\n"]);
    expect(write(files, ["b\n"], noonMs + dayMs)).toEqual([["events/20261123.jsonl", 2]]);
    expect(readdirSync(join(folder.path, "events")).sort()).toEqual(
      ["20261122.jsonl", "20261123.jsonl"],
    );
    // The clock was set back: the older file goes on.
    expect(write(files, ["c\n"])).toEqual([[today, 4]]);
    expect(read(folder, today)).toBe("a\nc\n");
  });

  for (const when of ["before the start", "while it runs"]) {
    test(`go on behind what is there where somebody cut a file ${when}`, () => {
      using folder = new TemporaryFolder();
      let files = new DayFiles(folder.path, new Map());
      const recorded = write(files, ["a\n", "b\n", "c\n"]);
      truncateSync(join(folder.path, today), 2);
      if (when === "before the start") files = new DayFiles(folder.path, new Map(recorded));
      expect(write(files, ["d\n"])).toEqual([[today, 4]]);
      expect(read(folder, today)).toBe("a\nd\n");
    });

    test(`begin a file again that somebody took away ${when}`, () => {
      using folder = new TemporaryFolder();
      let files = new DayFiles(folder.path, new Map());
      const recorded = write(files, ["a\n"]);
      rmSync(join(folder.path, today));
      if (when === "before the start") files = new DayFiles(folder.path, new Map(recorded));
      expect(write(files, ["d\n"])).toEqual([[today, 2]]);
      expect(read(folder, today)).toBe("d\n");
    });
  }
});
