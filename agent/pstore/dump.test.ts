import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { forEachRecord } from "../../shared/record.ts";
import { type DumpKind, parseDump } from "./dump.ts";

const parse = (text: string, kind: DumpKind = "dmesg") =>
  parseDump(kind, Buffer.from(text, "latin1"));
/** `PRIO USEC TEXT`, with `?` for a level that isn't known and `~` for a time that isn't its own. */
const brief = (text: string, kind?: DumpKind) =>
  parse(text, kind).lines.map((line) =>
    `${line.prio ?? "?"} ${line.timed ? "" : "~"}${line.usec} ${line.text}`
  );

/** A dump as a kernel 6.1 leaves it at a panic, and what its /dev/kmsg shows of the same records. */
function golden(name: string): Buffer {
  return readFileSync(join(import.meta.dirname!, "golden", name));
}

describe("a dmesg dump", () => {
  test("has its header, and a line for each line of the log", () => {
    const dump = parse(
      "Panic#2 Part1\n<6>[    2.787536] usb 1-1: new\n<14>[ 1234.000001] app: x\n",
    );
    expect([dump.reason, dump.count, dump.part]).toEqual(["Panic", 2, 1]);
    expect(dump.lines).toEqual([
      { prio: 6, usec: 2_787_536, timed: true, fields: "", text: "usb 1-1: new" },
      { prio: 14, usec: 1_234_000_001, timed: true, fields: "", text: "app: x" },
    ]);
  });

  test("may have ramoops' own header, before the kernel's or alone", () => {
    const line = "<6>[    1.000000] x\n";
    for (const header of ["====12.345678-D\nOops#1 Part3\n", "====12.345678-C\n", ""]) {
      expect([header, brief(header + line)]).toEqual([header, ["6 1000000 x"]]);
    }
    expect(parse("====12.345678-D\nOops#1 Part3\n").part).toBe(3);
  });

  test("may say who called", () => {
    const [task, processor] =
      parse("<6>[    1.000000][    T1] a\n<6>[    1.000000][   C0] b\n").lines;
    expect([task!.fields, task!.text]).toEqual(["caller=T1", "a"]);
    expect([processor!.fields, processor!.text]).toEqual(["caller=C0", "b"]);
  });

  test("keeps brackets and spaces that belong to the text", () => {
    expect(
      brief(
        "<4>[    1.000000]  [<ffffffff81>] ? panic+0x1\n<4>[    1.000001] [T9] x\n<4>[    2.000000] \n",
      ),
    )
      .toEqual(["4 1000000  [<ffffffff81>] ? panic+0x1", "4 1000001 [T9] x", "4 2000000 "]);
  });

  test("gives a line without a time that of the one before, and its level", () => {
    expect(brief("<3>[    1.000000] a\n b\nc\n")).toEqual([
      "3 1000000 a",
      "3 ~1000000  b",
      "3 ~1000000 c",
    ]);
  });

  test("gives what is before the first time that time: its oldest line may be cut", () => {
    expect(brief("000000] the end of a line\n<6>[    7.000000] b\n"))
      .toEqual(["6 ~7000000 000000] the end of a line", "6 7000000 b"]);
  });

  test("of a kernel that prints no times has none", () => {
    expect(brief("Panic#1 Part1\n<6>a\n<4>b\n")).toEqual(["6 ~0 a", "4 ~0 b"]);
  });

  test("has its bytes escaped as /dev/kmsg does", () => {
    expect(brief("<6>[    1.000000] \x01\xff b\\x\tcaf\xc3\xa9\x7f\n"))
      .toEqual(["6 1000000 \\x01\\xff b\\x5cx\\x09caf\\xc3\\xa9\\x7f"]);
  });

  test("loses what error correction says at its end, and says what it couldn't repair", () => {
    const line = "<6>[    1.000000] x";
    const good = [
      "\nECC: No errors detected\n",
      "\nNo errors detected\n",
      "\nECC: 3 Corrected bytes, 0 unrecoverable blocks\n",
    ];
    for (const notice of good) {
      const { lines, damage } = parse(`${line}\n${notice}`);
      expect([notice, lines.map(({ text }) => text), damage]).toEqual([notice, ["x"], undefined]);
    }
    const { lines, damage } = parse(`${line}\nECC: 3 Corrected bytes, 2 unrecoverable blocks\n`);
    expect([lines.length, damage]).toEqual([1, "3 Corrected bytes, 2 unrecoverable blocks"]);
  });

  test("of zero length, of a header alone, or of zeros has no lines", () => {
    for (const text of ["", "Panic#1 Part1\n", "Panic#1 Part1", "\0\0\0\0\n\0\0\n"]) {
      expect([text, brief(text)]).toEqual([text, []]);
    }
  });

  test("with an endless line has it in pieces that fit a frame", () => {
    const { lines } = parse("<6>[    1.000000] " + "\xff".repeat(3 * limits.rawLineBytesMax));
    expect(lines.length).toBe(4);
    expect(Math.max(...lines.map(({ text }) => text.length)) * 2).toBeLessThan(
      limits.frameTextBytesMax,
    );
    expect(lines.every(({ usec }) => usec === 1e6)).toBe(true);
  });

  test("equals what /dev/kmsg shows of the same records, line by line", () => {
    const { reason, lines } = parseDump("dmesg", golden("dmesg-ramoops-0"));
    expect(reason).toBe("Panic");
    const expected: string[] = [];
    forEachRecord(golden("kmsg").toString("latin1"), ({ prio, usec, text }) => {
      for (const line of text.split("\\x0a")) expected.push(`${prio} ${usec} ${line}`);
    }, (bad) => expect.unreachable(bad));
    const dumped = lines.map(({ prio, usec, text }) => `${prio} ${usec} ${text}`);
    expect(dumped.slice(0, expected.length)).toEqual(expected);
    expect(lines.slice(expected.length).map(({ text }) => text)).toEqual([
      "sysrq: Trigger a crash",
      "Kernel panic - not syncing: sysrq triggered crash",
    ]);
  });

  test("gives each of its lines once, whichever bytes were flipped", () => {
    const bytes = golden("dmesg-ramoops-0");
    const whole = parseDump("dmesg", bytes).lines;
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48_271) % 0x7fff_ffff) % below;
    for (let round = 0; round < 300; round++) {
      const flipped = Buffer.from(bytes);
      for (let flips = 0; flips < 5; flips++) {
        flipped[random(flipped.length)]! ^= 1 << random(8);
      }
      const { lines } = parseDump("dmesg", flipped);
      expect(Math.abs(lines.length - whole.length)).toBeLessThanOrEqual(6);
      for (const { prio, usec, text } of lines) {
        expect(text).toMatch(/^[ -~]*$/);
        expect(Number.isSafeInteger(usec) && (prio ?? 0) <= 9_999).toBe(true);
      }
    }
  });
});

describe("a console dump", () => {
  test("says no level, and begins anywhere", () => {
    expect(brief("1] cut\n[    1.000000] a\nfrom the boot loader\n[    2.000000] b\n", "console"))
      .toEqual([
        "? ~1000000 1] cut",
        "? 1000000 a",
        "? ~1000000 from the boot loader",
        "? 2000000 b",
      ]);
  });
});

describe("a pmsg dump", () => {
  test("has the level that a program gave, as the kernel would file it", () => {
    expect(brief("<3>app: broken\nplain\n<30>daemon\n", "pmsg"))
      .toEqual(["11 ~0 app: broken", "14 ~0 plain", "30 ~0 daemon"]);
  });
});
