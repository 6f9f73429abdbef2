import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { facilityOf, LineFormatter, readBytesMax, writeBytesMax } from "./line.ts";

type Input = string | Uint8Array;

function format(lines: Input[], facility = "app") {
  const records: Buffer[] = [];
  const formatter = new LineFormatter(facility, (record) => void records.push(Buffer.from(record)));
  const splits = lines.map((line) => {
    formatter.add(Buffer.from(line as string));
    return formatter.end();
  });
  return { records, splits };
}

const formatText = (line: Input) => format([line]).records.map(String).join("");
const textOf = (record: Buffer) => record.subarray("<7>app: ".length, -1);

/** The slow, obvious twin: a line's units, none of which may be cut. */
function units(line: Uint8Array): Buffer[] {
  const found: Buffer[] = [];
  let column = 0;
  const bytes = Buffer.from(line.filter((byte) => byte !== 0x0d)).toString("latin1");
  const pattern =
    // deno-lint-ignore no-control-regex
    /\t|[\x00-\x08\x0a-\x1f]|[\xc2-\xdf][\x80-\xbf]?|[\xe0-\xef][\x80-\xbf]{0,2}|[\xf0-\xf4][\x80-\xbf]{0,3}|[^]/g;
  for (const [unit] of bytes.matchAll(pattern)) {
    if (unit === "\t") {
      const spaces = 8 - column % 8;
      for (let n = 0; n < spaces; n++) found.push(Buffer.from(" "));
      column += spaces;
    } else if (unit < " ") {
      found.push(Buffer.from(`\\x${unit.charCodeAt(0).toString(16).padStart(2, "0")}`));
      column += 4;
    } else {
      found.push(Buffer.from(unit, "latin1"));
      column++;
    }
  }
  return found;
}

/** What the kernel gives back for a record: `<L>` off, its header with the longest numbers on. */
function kernelReads(record: Buffer): string {
  const text = record.subarray(3, -1).toString("latin1")
    .replace(/[^\x20-\x5b\x5d-\x7e]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
  const most = "18446744073709551615";
  return `191,${most},${most},-,caller=T4294967295;${text}\n`;
}

/** The same numbers in every run. */
function random(seed: number) {
  return () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x80000000;
}

describe("a line's level", () => {
  const goldens: Array<[line: string, record: string]> = [
    ["hello", "<7>app: hello\n"],
    ["", "<7>app: \n"],
    ["fatal: no disk", "<2>app: fatal: no disk\n"],
    ["critical: hot", "<2>app: critical: hot\n"],
    ["weird: impossible", "<2>app: weird: impossible\n"],
    ["e: one", "<3>app: e: one\n"],
    ["error: two", "<3>app: error: two\n"],
    ["w: three", "<4>app: w: three\n"],
    ["warning: four", "<4>app: warning: four\n"],
    ["n: five", "<5>app: n: five\n"],
    ["notice: six", "<5>app: notice: six\n"],
    ["i: seven", "<6>app: i: seven\n"],
    ["info: eight", "<6>app: info: eight\n"],
    ["FATAL: upper", "<2>app: FATAL: upper\n"],
    ["CrItIcAl: mixed", "<2>app: CrItIcAl: mixed\n"],
    ["E:no space", "<3>app: E:no space\n"],
    ["Warning: capital", "<4>app: Warning: capital\n"],
    ["W:", "<4>app: W:\n"],
    ["error without a colon", "<7>app: error without a colon\n"],
    ["errors: another word", "<7>app: errors: another word\n"],
    [" e: not at the start", "<7>app:  e: not at the start\n"],
    ["debug: as any other", "<7>app: debug: as any other\n"],
    ["<2>no level of its own", "<7>app: <2>no level of its own\n"],
    ["\re: behind what is dropped", "<3>app: e: behind what is dropped\n"],
  ];
  for (const [line, record] of goldens) {
    test(`is ${record[1]} where it is ${JSON.stringify(line)}`, () => {
      expect(formatText(line)).toBe(record);
    });
  }
});

describe("a line's text", () => {
  const goldens: Array<[what: string, line: Input, text: string]> = [
    ["has a tab at its start as eight spaces", "\tx", "        x"],
    ["has a tab as what is missing to the next stop", "abc\tx", "abc     x"],
    ["has a tab at a stop as eight spaces", "12345678\tx", "12345678        x"],
    ["has a tab before a stop as one space", "1234567\tx", "1234567 x"],
    ["has several tabs at several stops", "a\tb\t\tc", "a       b               c"],
    ["counts a character as one column", "\u00e9\u20ac\tx", "\u00e9\u20ac      x"],
    ["counts an escape as the four columns it takes", "\x01\tx", "\\x01    x"],
    ["is without carriage returns", "a\rb\r", "ab"],
    ["doesn't count a carriage return as a column", "\r\ta", "        a"],
    ["shows NUL, so that it ends nothing", "a\0b", "a\\x00b"],
    ["shows other control bytes in lower case", "\x01\x1b[1m\x1f", "\\x01\\x1b[1m\\x1f"],
    ["keeps a backslash as it is", "C:\\x41", "C:\\x41"],
    ["keeps UTF-8 as it is", "caf\u00e9 \u20ac \u{1f600}", "caf\u00e9 \u20ac \u{1f600}"],
    ["keeps DEL as it is, for the kernel to escape", "a\x7fb", "a\x7fb"],
  ];
  for (const [what, line, text] of goldens) {
    test(what, () => expect(formatText(line)).toBe(`<7>app: ${text}\n`));
  }

  test("keeps bytes that are no UTF-8 as they are", () => {
    const line = Buffer.from([0x61, 0xff, 0x80, 0xc3, 0x62, 0xe2, 0x82]);
    expect(textOf(format([line]).records[0]!)).toEqual(line);
  });

  test("begins anew with each line: tab stops, level, half a character", () => {
    const { records } = format([Buffer.from([0x65, 0x3a, 0xe2]), Buffer.from([0x82, 0x09, 0x78])]);
    expect(records.map((record) => record.toString("latin1"))).toEqual([
      "<3>app: e:\xe2\n",
      "<7>app: \x82       x\n",
    ]);
  });
});

describe("a long line", () => {
  test("of exactly one record isn't split, one byte more is", () => {
    const room = writeBytesMax - "<7>app: \n".length;
    const exact = format(["x".repeat(room)]);
    expect(exact.splits).toEqual([false]);
    expect(exact.records.map((record) => record.length)).toEqual([1024]);
    const more = format(["x".repeat(room + 1), "short"]);
    expect(more.splits).toEqual([true, false]);
    expect(more.records.map(String)).toEqual([
      `<7>app: ${"x".repeat(room)}\n`,
      "<7>app: x\n",
      "<7>app: short\n",
    ]);
  });

  test("has one level in all of its records", () => {
    const { records } = format([`error: ${"i: ".repeat(1_000)}`]);
    expect(records.length).toBe(3);
    expect(records.map((record) => record.toString("latin1", 0, 3))).toEqual(["<3>", "<3>", "<3>"]);
  });

  test("that only cleaning makes long was once lost as a whole", () => {
    // cmds/logos.c cut after 768 bytes and cleaned then: 768 control bytes became 3,072.
    const { records, splits } = format(["\x01".repeat(768)]);
    expect(splits).toEqual([true]);
    expect(Math.max(...records.map((record) => record.length))).toBeLessThanOrEqual(1024);
    expect(Buffer.concat(records.map(textOf)).toString()).toBe("\\x01".repeat(768));
  });

  test("of other letters is cut where a read of the kernel's log would cut it", () => {
    const { records } = format(["\u00e9".repeat(500)]);
    expect(records.length).toBe(3);
    for (const record of records) {
      expect(kernelReads(record).length).toBeLessThanOrEqual(readBytesMax);
      expect(record.toString().includes("\ufffd")).toBe(false);
    }
  });

  test("is whole in its records whatever its bytes are, and no unit is cut (seeded)", () => {
    const draw = random(20190216);
    const some = [
      "x",
      "\t",
      "\r",
      "\0",
      "\x1b",
      "\\",
      "\u00e9",
      "\u20ac",
      "\u{1f600}",
      "word ",
      "e:",
    ];
    for (let round = 0; round < 400; round++) {
      const parts = Array.from(
        { length: Math.floor(draw() * 900) },
        () =>
          draw() < 0.1
            ? Buffer.from([Math.floor(draw() * 256)].filter((byte) => byte !== 0x0a))
            : Buffer.from(
              some[Math.floor(draw() * some.length)]!.repeat(1 + Math.floor(draw() * 4)),
            ),
      );
      const line = Buffer.concat(parts);
      const facility = "a".repeat(1 + Math.floor(draw() * 128));
      const records: Buffer[] = [];
      const formatter = new LineFormatter(
        facility,
        (record) => void records.push(Buffer.from(record)),
      );
      for (let at = 0; at < line.length;) {
        const step = 1 + Math.floor(draw() * 700);
        formatter.add(line.subarray(at, at + step));
        at += step;
      }
      const wasSplit = formatter.end();
      const cleaned = units(line);
      const texts = records.map((record) => record.subarray(facility.length + 5, -1));
      expect(Buffer.concat(texts).equals(Buffer.concat(cleaned))).toBe(true);
      expect(wasSplit).toBe(records.length > 1);
      const ends = new Set<number>([0]);
      let end = 0;
      for (const unit of cleaned) ends.add(end += unit.length);
      let cut = 0;
      for (const [at, record] of records.entries()) {
        expect(record.length).toBeLessThanOrEqual(writeBytesMax);
        expect(kernelReads(record).length).toBeLessThanOrEqual(readBytesMax);
        expect(record.subarray(1).toString("latin1")).toStartWith(
          `${record[1]! - 0x30}>${facility}: `,
        );
        expect(record.indexOf("\n")).toBe(record.length - 1);
        expect(at === 0 || texts[at]!.length > 0).toBe(true);
        expect(ends.has(cut += texts[at]!.length)).toBe(true);
      }
    }
  });

  test("that never ends is given out as it comes, with no more held than one record", () => {
    let bytes = 0;
    let most = 0;
    const formatter = new LineFormatter("app", (record) => {
      bytes += record.length - "<7>app: \n".length;
      most = Math.max(most, record.length);
    });
    const chunk = Buffer.alloc(65_536, "x");
    for (let n = 1; n <= 64; n++) {
      formatter.add(chunk);
      expect(n * chunk.length - bytes).toBeLessThan(writeBytesMax);
    }
    expect([most, formatter.isOpen]).toEqual([writeBytesMax, true]);
  });
});

test("a facility is the name without underscores, and refused where nothing or no name is left", () => {
  expect(["my_app_", "dnsmasq", "a.b:c@1+-"].map(facilityOf)).toEqual([
    "myapp",
    "dnsmasq",
    "a.b:c@1+-",
  ]);
  expect(["", "___", "a b", "a\nb", "a/b", "\u00e9", "x".repeat(129)].map(facilityOf))
    .toEqual(Array(7).fill(undefined));
});
