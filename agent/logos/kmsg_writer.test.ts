import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "bun:test";
import { forEachRecord, type LogRecord, unescapeText } from "../../shared/record.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { openRing } from "../ring.ts";
import { devkmsgProblem, kmsgPaths, KmsgWriteError, openKmsgWriter } from "./kmsg_writer.ts";
import { Logos } from "./logos.ts";

/** Files in the place of the devices; `devkmsg` is what the sysctl says, if there is one. */
function setUp(folder: TemporaryFolder, devkmsg?: string) {
  const paths = {
    kmsg: join(folder.path, "kmsg"),
    pmsg: join(folder.path, "pmsg"),
    printkDevkmsg: join(folder.path, "printk_devkmsg"),
  };
  if (devkmsg !== undefined) writeFileSync(paths.printkDevkmsg, `${devkmsg}\n`);
  return paths;
}

function messageOf(open: () => unknown): string {
  try {
    open();
  } catch (error) {
    expect(error).toBeInstanceOf(KmsgWriteError);
    return (error as Error).message;
  }
  return expect.unreachable();
}

describe("kernel.printk_devkmsg", () => {
  test("is no problem where it is on, or where there is none", () => {
    using folder = new TemporaryFolder();
    expect(devkmsgProblem(setUp(folder))).toBeUndefined();
    expect(devkmsgProblem(setUp(folder, "on"))).toBeUndefined();
  });

  test("that is ratelimit or off is told with what it does and what to set", () => {
    using folder = new TemporaryFolder();
    for (const [value, effect] of [["ratelimit", "all but 10 lines"], ["off", "takes no lines"]]) {
      const problem = devkmsgProblem(setUp(folder, value));
      expect(problem).toInclude(`kernel.printk_devkmsg must be on: current value is ${value}`);
      expect(problem).toInclude(effect!);
      expect(problem).toInclude("`sysctl kernel.printk_devkmsg=on`");
      expect(problem).toInclude("`printk.devkmsg=on`");
    }
  });
});

describe("/dev/kmsg", () => {
  test("that can't be written is told with what to do", () => {
    using folder = new TemporaryFolder();
    const paths = setUp(folder);
    const message = messageOf(() => openKmsgWriter({ paths }));
    expect(message).toStartWith(
      `Cannot write to ${paths.kmsg} because it must be writable: ENOENT`,
    );
    expect(message).toInclude("Run as root");
  });

  test("that is closed by the sysctl is told with what to set", () => {
    using folder = new TemporaryFolder();
    const paths = setUp(folder, "off");
    expect(messageOf(() => openKmsgWriter({ paths }))).toInclude("sysctl kernel.printk_devkmsg=on");
  });

  test("gets each record, and /dev/pmsg0 a copy where that is wanted", () => {
    using folder = new TemporaryFolder();
    const paths = setUp(folder);
    for (const path of [paths.kmsg, paths.pmsg]) writeFileSync(path, "");
    const records = ["<7>app: one\n", "<7>app: two\n"];
    for (const pmsg of [true, false]) {
      const writer = openKmsgWriter({ pmsg, paths });
      for (const record of records) writer.write(Buffer.from(record));
      writer.close();
      expect([paths.kmsg, paths.pmsg].map((path) => readFileSync(path, "utf8")))
        .toEqual([records.join(""), records.join("")]);
    }
  });

  test("is enough where there is no /dev/pmsg0", () => {
    using folder = new TemporaryFolder();
    const paths = setUp(folder);
    writeFileSync(paths.kmsg, "");
    const writer = openKmsgWriter({ pmsg: true, paths });
    writer.write(Buffer.from("<7>app: one\n"));
    writer.close();
    expect(readFileSync(paths.kmsg, "utf8")).toBe("<7>app: one\n");
    expect(existsSync(paths.pmsg)).toBe(false);
  });

  test.skipIf(!existsSync("/dev/full"))("keeps its record though the copy failed", () => {
    using folder = new TemporaryFolder();
    const paths = { ...setUp(folder), pmsg: "/dev/full" };
    writeFileSync(paths.kmsg, "");
    const writer = openKmsgWriter({ pmsg: true, paths });
    writer.write(Buffer.from("<7>app: one\n"));
    writer.close();
    expect(readFileSync(paths.kmsg, "utf8")).toBe("<7>app: one\n");
  });
});

/** Why the kernel's own log can't be used here; undefined if it can. */
function whyNot(): string | undefined {
  try {
    const old = readFileSync(kmsgPaths.printkDevkmsg, "utf8");
    // Without the newline the kernel refuses it with EINVAL.
    if (old.trim() !== "on") writeFileSync(kmsgPaths.printkDevkmsg, "on\n");
    afterAll(() => writeFileSync(kmsgPaths.printkDevkmsg, old));
    openRing().close();
    openKmsgWriter().close();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const reason = whyNot();
if (reason) console.error(`agent/logos/kmsg_writer.test.ts: /dev/kmsg is left out: ${reason}`);

describe.skipIf(reason !== undefined)("the real /dev/kmsg", () => {
  /** Logs lines under a name of their own, and reads them back, without the name. */
  function roundTrip(lines: Array<string | Uint8Array>) {
    const name = `logmill-test-${randomUUID()}`;
    const writer = openKmsgWriter();
    const { write } = writer;
    const logos = new Logos({
      name,
      burstBytes: 1_000_000,
      dayBytes: 5_000_000,
      write,
      nowMs: () => 0,
    });
    for (const line of lines) logos.line(line);
    logos.end();
    writer.close();
    return readBack(`${name}: `);
  }

  function readBack(prefix: string): Array<{ level: number; text: string; record: LogRecord }> {
    const ring = openRing();
    const found: Array<{ level: number; text: string; record: LogRecord }> = [];
    for (let read = ring.next(); read.kind !== "empty"; read = ring.next()) {
      if (read.kind !== "record") continue;
      forEachRecord(read.text, (record) => {
        if (!record.text.startsWith(prefix)) return;
        const text = unescapeText(record.text.slice(prefix.length));
        found.push({ level: record.prio & 7, text, record });
      }, () => {});
    }
    ring.close();
    return found;
  }

  const joined = (found: Array<{ text: string }>) => found.map(({ text }) => text).join("");

  test("gives each line back once, at its level, as a user's", () => {
    const lines = ["hello", "E: no disk", "", "tab\tstop", "C:\\x41\\"];
    const found = roundTrip(lines);
    expect(found.map(({ text }) => text)).toEqual([
      "hello",
      "E: no disk",
      "",
      "tab     stop",
      "C:\\x41\\",
    ]);
    expect(found.map(({ level }) => level)).toEqual([7, 3, 7, 7, 7]);
    expect(found.map(({ record }) => record.prio >> 3)).toEqual(Array(5).fill(1));
  });

  test("gives a line of 1,100 bytes back whole, in two records, and a warning", () => {
    const line = `W: ${"0123456789".repeat(110)}`.slice(0, 1_100);
    const found = roundTrip([line]);
    expect(found.map(({ level }) => level)).toEqual([4, 4, 4]);
    expect(joined(found.slice(0, 2))).toBe(line);
    expect(found[2]!.text).toBe("W: previous log line was split. Use shorter lines.");
  });

  test("gives NUL and other control bytes back, and what is behind them", () => {
    expect(joined(roundTrip([Buffer.from("a\0b\x01\x1bc\x7fd")]))).toBe("a\\x00b\\x01\\x1bc\x7fd");
  });

  test("gives long lines of other letters back whole, where one write of 505 would be cut", () => {
    for (const letter of ["\u00e9", "\u20ac", "\u{1f600}", "\\", "\x01"]) {
      const found = roundTrip([letter.repeat(900)]);
      expect(found.pop()!.text).toInclude("was split");
      const cleaned = letter === "\x01" ? "\\x01" : letter;
      expect(joined(found) === cleaned.repeat(900)).toBe(true);
    }
  });
});
