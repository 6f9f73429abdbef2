/**
 * What a real kernel left in ramoops when it panicked, and when somebody pressed the reset button, as the
 * next boot found it in /sys/fs/pstore (deploy/kernel/record.sh). The kernel's ring survived, too: it says
 * what the truth is.
 */
import { Buffer } from "node:buffer";
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { forEachRecord, type LogRecord, unescapeText } from "../../shared/record.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { recordHash } from "../checkpoint.ts";
import { parseDump } from "./dump.ts";
import { type Died, openPstore } from "./pstore.ts";

const golden = join(import.meta.dirname!, "golden", "linux-6.12");

function recordedRing(): LogRecord[] {
  const records: LogRecord[] = [];
  const path = join(import.meta.dirname!, "..", "golden", "linux-6.12", "after_reset.kmsg");
  const text = readFileSync(path, "latin1");
  forEachRecord(text, (record) => records.push(record), (bad) => expect.unreachable(bad));
  return records;
}

/** The records of the boot that panicked, of the one that was reset, and of the one after it. */
const ring = recordedRing();
const starts = ring.flatMap(({ text }, at) => text.startsWith("Linux version ") ? [at] : []);
const [panicked, reset] = starts.map((start, index) => ring.slice(start, starts[index + 1]));

/** As a dump has them: line by line. */
function linesOf(records: LogRecord[]): string[] {
  return records.flatMap(({ prio, usec, text }) =>
    text.split("\\x0a").map((line) => `${prio} ${usec} ${line}`)
  );
}

function bytesOf(path: string): Uint8Array {
  return readFileSync(join(golden, path));
}

/** A machine that has just booted again. */
async function lastWords(folder: string, died?: Died): Promise<LogRecord[][]> {
  using temporary = new TemporaryFolder();
  const state = join(temporary.path, "state");
  mkdirSync(state);
  cpSync(join(golden, folder), join(temporary.path, "sys/fs/pstore"), { recursive: true });
  // The reset may come while a zone's error correction is written.
  const report = (text: string) => expect(text).toContain("is damaged");
  const tails = openPstore({ root: temporary.path, state, died, report })
    .filter(({ source }) => source === "pstore");
  return await Promise.all(tails.map(async (tail) => {
    const records: LogRecord[] = [];
    for (let some = await tail.read(); some; some = await tail.read()) records.push(...some);
    return records;
  }));
}

function diedAt(records: LogRecord[], at: number): Died {
  const { seq } = records[at]!;
  return {
    boot: "boot-1",
    position: { boot: "boot-1", stream: "boot-1", seq, hash: recordHash(records[at]!) },
  };
}

describe("a recorded panic", () => {
  const dump = parseDump("dmesg", bytesOf("panic/dmesg-ramoops-0"));

  test("has in its dump what the ring had of that boot when it died, line by line", () => {
    expect([dump.reason, dump.count, dump.part, dump.damage]).toEqual(["Panic", 1, 1, undefined]);
    const dumped = dump.lines.map(({ prio, usec, text }) => `${prio} ${usec} ${text}`);
    const truth = linesOf(panicked!);
    expect(dumped).toEqual(truth.slice(0, dumped.length));
    // What came when the dump was made.
    expect(truth.slice(dumped.length).map((line) => line.replace(/^\d+ \d+ /, "")))
      .toEqual(["Rebooting in 1 seconds.."]);
  });

  test("has on its console what was printed there, and nothing of another boot", () => {
    const { lines } = parseDump("console", bytesOf("panic/console-ramoops-0"));
    const plain = (text: string) => text.replace(/^\d+ /, "");
    const truth = new Set(linesOf(panicked!).map(plain));
    const odd = lines.filter(({ usec, text }) => !truth.has(`${usec} ${text}`));
    // The console gets non-ASCII bytes as they are, too, but no NUL, and no debug messages.
    expect(odd.map(({ text }) => text)).toEqual([]);
    const shown = new Set(lines.map(({ text }) => text));
    const kept = panicked!.filter(({ prio }) => (prio & 7) < 7).flatMap(({ text }) =>
      text.split("\\x0a")
    );
    expect(kept.filter((text) => !shown.has(text))).toEqual([]);
  });

  test("is shipped as one stream: each line of the dump once, the console's end, and pmsg", async () => {
    for (const at of [10, 150, panicked!.length - 25]) {
      const [records, ...others] = await lastWords("panic", diedAt(panicked!, at));
      expect(others).toEqual([]);
      const pmsg = ["app: written to pmsg", "app: and an error"];
      // A console says no level: what only it has is taken for an info.
      const plain = (line: string) => line.replace(/^\d+ \d+ /, "");
      expect(records!.map(({ text }) => text))
        .toEqual([...linesOf(panicked!.slice(at + 1)).map(plain), ...pmsg]);
      expect(records!.map(({ seq, flag }) => `${seq}${flag}`))
        .toEqual(records!.map((_, i) => `${i}p`));
      expect(records!.slice(-2).map(({ prio }) => prio)).toEqual([14, 11]);
    }
  });

  test("says the bytes that a program wrote", () => {
    const odd = dump.lines.find(({ text }) => text.startsWith("app: caf"))!;
    expect(odd.text).toBe("app: caf\\xc3\\xa9 \\x01\\xff b\\x5cx\\x09q");
    expect(unescapeText(odd.text)).toStartWith("app: café");
  });
});

describe("a recorded hard reset", () => {
  test("leaves no dump, but the console and pmsg until nearly the last line", async () => {
    const [records, ...others] = await lastWords("reset", diedAt(reset!, 5));
    expect(others).toEqual([]);
    const numbers = (pattern: RegExp) =>
      records!.flatMap(({ text }) => pattern.exec(text)?.slice(1).map(Number) ?? []);
    const last = Number(/\d+$/.exec(reset!.at(-1)!.text)![0]);
    for (const pattern of [/^app: line (\d+)$/, /^app: pmsg line (\d+)$/]) {
      const found = numbers(pattern);
      expect(found).toEqual(found.map((_, i) => i + 1));
      expect(found.length).toBeGreaterThan(200);
      expect(last - found.length).toBeLessThanOrEqual(2);
    }
  });
});

describe("a recorded record with flipped bits", () => {
  test("that error correction repaired is as it was, and says no damage", () => {
    const dump = parseDump("dmesg", bytesOf("damaged/dmesg-ramoops-0"));
    expect(Buffer.from(bytesOf("damaged/dmesg-ramoops-0")).toString("latin1"))
      .toEndWith("\nECC: 3 Corrected bytes, 0 unrecoverable blocks\n");
    expect(dump.damage).toBeUndefined();
    expect(dump.lines[0]!.text).toStartWith("Linux version 6.12");
    expect(dump.lines.filter(({ text }) => text.startsWith("app: line ")).length).toBe(20);
    expect(dump.lines.some(({ text }) => text.includes("ECC"))).toBe(false);
  });

  test("that it couldn't repair keeps the lines around them, and says so", () => {
    const { lines, damage } = parseDump("pmsg", bytesOf("damaged/pmsg-ramoops-0"));
    expect(damage).toMatch(/^\d+ Corrected bytes, [1-9]\d* unrecoverable blocks$/);
    expect(lines[0]!.text).toBe("app: pmsg line 1");
    expect(lines.at(-1)!.text).toBe("app: pmsg line 40");
    expect(lines.filter(({ text }) => /^app: pmsg line \d+$/.test(text)).length).toBe(36);
  });
});
