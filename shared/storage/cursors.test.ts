import { describe, expect, test } from "bun:test";
import { limits } from "../limits.ts";
import { CursorPublisher, formatCursorNote, hasRead, parseCursorNote } from "./cursors.ts";
import { StorageError } from "./storage.ts";

const e1 = "r1/20261122T202134.123Z-9f3c2a71";
const e2 = "r2/20261120T000000.000Z-00000000";
const writtenMs = Date.UTC(2026, 10, 22, 20, 21, 34, 123);
const text = `2026-11-22T20:21:34.123Z\n${e1} 3 1048576\n${e2} 0 0\n`;

describe("a cursor note", () => {
  const note = {
    writtenMs,
    cursors: new Map([[e2, { segment: 0, offset: 0 }], [e1, { segment: 3, offset: 1_048_576 }]]),
  };

  test("is the time and a line for each epoch, and reads back", () => {
    expect(formatCursorNote(note)).toBe(text);
    expect(parseCursorNote(text)).toEqual(note);
    const none = { writtenMs, cursors: new Map() };
    expect(parseCursorNote(formatCursorNote(none))).toEqual(none);
  });

  test("is none if anything about it isn't as it must be", () => {
    const damaged = [
      "",
      "\n",
      "yesterday\n",
      text.slice(0, -1),
      text.slice(0, 40),
      `${text}\n`,
      text.replace(" 3 ", " x "),
      text.replace("r1/", "r1"),
      text.replace("1048576", "-1"),
    ];
    expect(damaged.map((one) => parseCursorNote(one))).toEqual(damaged.map(() => undefined));
  });

  test("says what of a segment has been read", () => {
    const at = (segment: number) => ({
      receiver: "r1",
      epoch: "20261122T202134.123Z-9f3c2a71",
      segment,
    });
    const size = 1_048_576;
    expect(hasRead(note, at(2), 10 * size)).toBe(true);
    expect(hasRead(note, at(3), size)).toBe(true);
    expect(hasRead(note, at(3), size + 1)).toBe(false);
    expect(hasRead(note, at(4), 0)).toBe(false);
    // It has never seen that epoch.
    expect(hasRead(note, { ...at(0), receiver: "r3" }, 0)).toBe(false);
  });
});

describe("a cursor publisher", () => {
  function begun() {
    const rig = { nowMs: writtenMs, failing: false, puts: [] as string[], reports: [] as string[] };
    const put = (name: string, note: string) => {
      if (rig.failing) return Promise.reject(new StorageError("Cannot write: EIO"));
      rig.puts.push(`${name}\n${note}`);
      return Promise.resolve();
    };
    const options = {
      name: "mill",
      nowMs: () => rig.nowMs,
      report: (said: string) => void rig.reports.push(said),
    };
    return { rig, publisher: new CursorPublisher({ put }, options) };
  }
  const cursors = parseCursorNote(text)!.cursors;

  test("puts the cursors at once, then at most every some seconds, and at the end", async () => {
    const { rig, publisher } = begun();
    await publisher.publish(cursors);
    expect(rig.puts).toEqual([`mill\n${text}`]);
    rig.nowMs += limits.cursorNoteMs - 1;
    await publisher.publish(cursors);
    expect(rig.puts.length).toBe(1);
    rig.nowMs += 1;
    await publisher.publish(new Map());
    expect(rig.puts.slice(1)).toEqual(["mill\n2026-11-22T20:21:44.123Z\n"]);
    await publisher.publish(cursors, true);
    expect(rig.puts.length).toBe(3);
  });

  test("goes on after its clock was set back", async () => {
    const { rig, publisher } = begun();
    await publisher.publish(cursors);
    rig.nowMs -= 86_400_000;
    await publisher.publish(cursors);
    expect(rig.puts.length).toBe(2);
  });

  test("reports once that the storage doesn't take them, and when it does again", async () => {
    const { rig, publisher } = begun();
    rig.failing = true;
    for (let turn = 0; turn < 3; turn++) {
      await publisher.publish(cursors);
      rig.nowMs += limits.cursorNoteMs;
    }
    expect(rig.reports).toEqual([
      "Cannot write: EIO. In 7 d what isn't read yet may be deleted",
    ]);
    rig.failing = false;
    await publisher.publish(cursors);
    await publisher.publish(cursors, true);
    expect(rig.reports.slice(1)).toEqual([
      "how far it has read is in the storage again, after 30 s",
    ]);
  });

  test("lets an error through that isn't the storage's", async () => {
    const { publisher } = begun();
    const broken = new CursorPublisher(
      { put: () => Promise.reject(new TypeError("a mistake")) },
      { name: "mill", nowMs: () => 0, report: () => {} },
    );
    await expect(broken.publish(cursors)).rejects.toThrow("a mistake");
    await publisher.publish(cursors);
  });
});
