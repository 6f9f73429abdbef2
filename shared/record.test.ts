import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import {
  escapeText,
  field,
  forEachRecord,
  formatRecord,
  type Gap,
  gapRecord,
  isMeta,
  type LogRecord,
  parseGap,
  parseRecord,
  parseSync,
  syncRecord,
  unescapeText,
} from "./record.ts";

/** Everything `forEachRecord` says of a text. */
function readAll(text: string) {
  const records: Array<{ offset: number; record: LogRecord }> = [];
  const bad: Array<{ offset: number; lines: string }> = [];
  forEachRecord(
    text,
    (record, offset) => records.push({ offset, record }),
    (lines, offset) => bad.push({ offset, lines }),
  );
  return { records, bad };
}

// The first three are the examples of Documentation/ABI/testing/dev-kmsg.
const golden: Array<[string, LogRecord]> = [
  [
    "7,160,424069,-;pci_root PNP0A03:00: host bridge window [io  0x0000-0x0cf7] (ignored)\n" +
    " SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n",
    {
      prio: 7,
      seq: 160,
      usec: 424069,
      flag: "-",
      fields: "",
      text: "pci_root PNP0A03:00: host bridge window [io  0x0000-0x0cf7] (ignored)",
      more: ["SUBSYSTEM=acpi", "DEVICE=+acpi:PNP0A03:00"],
    },
  ],
  [
    "6,339,5140900,-;NET: Registered protocol family 10\n",
    {
      prio: 6,
      seq: 339,
      usec: 5140900,
      flag: "-",
      fields: "",
      text: "NET: Registered protocol family 10",
      more: [],
    },
  ],
  [
    "30,340,5690716,-;udevd[80]: starting version 181\n",
    {
      prio: 30,
      seq: 340,
      usec: 5690716,
      flag: "-",
      fields: "",
      text: "udevd[80]: starting version 181",
      more: [],
    },
  ],
  [
    "6,12,0,-,caller=T123;Linux version 6.18.0\n",
    {
      prio: 6,
      seq: 12,
      usec: 0,
      flag: "-",
      fields: "caller=T123",
      text: "Linux version 6.18.0",
      more: [],
    },
  ],
  [
    "4,13,77,c,caller=C0;a fragment;with a semicolon, and commas\n",
    {
      prio: 4,
      seq: 13,
      usec: 77,
      flag: "c",
      fields: "caller=C0",
      text: "a fragment;with a semicolon, and commas",
      more: [],
    },
  ],
  [
    "1023,0,9007199254740991,p;\n",
    {
      prio: 1023,
      seq: 0,
      usec: 9007199254740991,
      flag: "p",
      fields: "",
      text: "",
      more: [],
    },
  ],
];

describe("a record", () => {
  test("reads as the kernel's documentation says", () => {
    for (const [text, record] of golden) {
      expect(readAll(text)).toEqual({ records: [{ offset: 0, record }], bad: [] });
    }
  });

  test("is written as it was read", () => {
    for (const [text, record] of golden) expect(formatRecord(record)).toBe(text);
  });

  test("has a seq and a time of at most 2^53 - 1", () => {
    expect(parseRecord("6,9007199254740991,1,-;x")?.seq).toBe(2 ** 53 - 1);
    expect(parseRecord("6,9007199254740992,1,-;x")).toBeUndefined();
    expect(parseRecord("6,9007199254740993,1,-;x")).toBeUndefined();
    expect(parseRecord("6,18446744073709551615,1,-;x")).toBeUndefined();
    expect(parseRecord("6,1,9007199254740992,-;x")).toBeUndefined();
  });

  test("is nothing else", () => {
    for (
      const line of [
        "",
        ";",
        "6",
        "6,1,2,-",
        "6,1,2;x",
        "6,1,2,;x",
        "6,-1,2,-;x",
        "6,1,2.5,-;x",
        "a,1,2,-;x",
        "12345,1,2,-;x",
        " 6,1,2,-;x",
        "<6>hello",
        "6,1,2,fiveflags;x",
      ]
    ) expect([line, parseRecord(line)]).toEqual([line, undefined]);
  });

  test("gives its fields by their whole name", () => {
    const record = parseRecord("6,1,2,-,caller=T123,call=9,count=,x=a=b;text,last=1")!;
    expect(field(record, "caller")).toBe("T123");
    expect(field(record, "call")).toBe("9");
    expect(field(record, "count")).toBe("");
    expect(field(record, "x")).toBe("a=b");
    expect(field(record, "last")).toBeUndefined();
    expect(field(parseRecord("6,1,2,-;x")!, "")).toBeUndefined();
  });

  test("of our own is the only kind that is about records", () => {
    expect(["-", "c", "+", "p", "g", "s"].map(isMeta)).toEqual([
      false,
      false,
      false,
      false,
      true,
      true,
    ]);
  });
});

describe("a gap record", () => {
  const gaps: Array<[Gap, string]> = [
    [
      { first: 10, last: 19, count: 10, cause: "overrun" },
      "4,20,555,g,first=10,last=19,count=10,cause=overrun;logmill: 10 records missing, overrun\n",
    ],
    [
      { first: 10, last: "?", count: 3, cause: "lost" },
      "4,20,555,g,first=10,last=?,count=3,cause=lost;logmill: 3 records missing, lost\n",
    ],
    [
      { count: 7, cause: "ratelimit" },
      "4,20,555,g,count=7,cause=ratelimit;logmill: 7 records missing, ratelimit\n",
    ],
  ];

  test("is written so and reads back", () => {
    for (const [gap, text] of gaps) {
      expect(formatRecord(gapRecord(20, 555, gap))).toBe(text);
      expect(parseGap(parseRecord(text.trimEnd())!)).toEqual(gap);
    }
  });

  test("without a cause means lost", () => {
    expect(parseGap(parseRecord("4,2,5,g,count=1;x")!)).toEqual({ count: 1, cause: "lost" });
  });

  test("that makes no sense says nothing", () => {
    for (
      const fields of [
        "cause=lost",
        "count=,cause=lost",
        "count=-1",
        "count=1e3",
        "first=1,count=1",
        "first=5,last=4,count=0",
        "first=?,last=4,count=1",
        "first=1,last=9007199254740992,count=1",
        "first=1,last=2,count=99999999999999999",
      ]
    ) {
      const record = parseRecord(`4,2,5,g,${fields};x`)!;
      expect([fields, parseGap(record)]).toEqual([fields, undefined]);
    }
    expect(parseGap(parseRecord("4,2,5,g;x")!)).toBeUndefined();
  });
});

describe("a clock sync record", () => {
  test("is written so and reads back", () => {
    const sync = { wallUs: 1795378894123456, synced: true };
    const text = "6,20,555,s,wall_us=1795378894123456,synced=1;logmill: clock\n";
    expect(formatRecord(syncRecord(20, 555, sync))).toBe(text);
    expect(parseSync(parseRecord(text.trimEnd())!)).toEqual(sync);
    const unsynced = formatRecord(syncRecord(20, 555, { wallUs: 0, synced: false }));
    expect(unsynced).toBe("6,20,555,s,wall_us=0,synced=0;logmill: clock\n");
    expect(parseSync(parseRecord(unsynced.trimEnd())!)).toEqual({ wallUs: 0, synced: false });
  });

  test("that makes no sense says nothing", () => {
    for (const fields of ["synced=1", "wall_us=", "wall_us=-5", "wall_us=9007199254740992"]) {
      expect(parseSync(parseRecord(`6,2,5,s,${fields};x`)!)).toBeUndefined();
    }
  });
});

describe("an escaped text", () => {
  test("is what the kernel makes of it", () => {
    expect(escapeText("plain text ~")).toBe("plain text ~");
    expect(escapeText("tab\there\r\n\0")).toBe("tab\\x09here\\x0d\\x0a\\x00");
    expect(escapeText("C:\\x41")).toBe("C:\\x5cx41");
    expect(escapeText("\x7f")).toBe("\\x7f");
    expect(escapeText("Grüße 🙂")).toBe("Gr\\xc3\\xbc\\xc3\\x9fe \\xf0\\x9f\\x99\\x82");
  });

  test("is undone whole", () => {
    for (
      const text of [
        "",
        "plain",
        "\\",
        "\\x41",
        "\\\\x5c",
        "a\tb\0c\x1b[1m",
        "Grüße 🙂",
        "\x7f\x80\xff",
      ]
    ) {
      expect(unescapeText(escapeText(text))).toBe(text);
    }
  });

  test("is undone for nothing that the kernel wouldn't have escaped", () => {
    expect(unescapeText("\\x41\\x20\\x7e")).toBe("\\x41\\x20\\x7e");
    expect(unescapeText("\\x5cx41")).toBe("\\x41");
    expect(unescapeText("\\x5c\\x5c")).toBe("\\\\");
    expect(unescapeText("\\x0")).toBe("\\x0");
    expect(unescapeText("\\xZZ \\x1B \\")).toBe("\\xZZ \\x1B \\");
  });

  test("that isn't UTF-8 shows as U+FFFD and reading goes on", () => {
    expect(unescapeText("a\\xffb")).toBe("a\ufffdb");
    // A record cut in the middle of a character, as the kernel does.
    expect(unescapeText("caf\\xc3")).toBe("caf\ufffd");
    expect(unescapeText("caf\\xc3\\xa")).toBe("caf\ufffd\\xa");
  });

  test("may hold raw bytes, which are read as UTF-8 as well", () => {
    const stored = Buffer.from("Grüße", "utf8").toString("latin1");
    expect(unescapeText(stored)).toBe("Grüße");
    expect(unescapeText(`${stored}\\x09\\xc3\\xbc`)).toBe("Grüße\tü");
  });
});

describe("forEachRecord", () => {
  test("tells each record with its place", () => {
    const text = golden.map(([text]) => text).join("");
    let offset = 0;
    const expected = golden.map(([text, record]) => {
      const at = offset;
      offset += text.length;
      return { offset: at, record };
    });
    expect(readAll(text)).toEqual({ records: expected, bad: [] });
  });

  test("gives a line that is no record to bad, with its continuation lines, and goes on", () => {
    const text = "6,1,2,-;a\nrubbish\n K=V\n L=W\n\n6,2,3,-;b\n";
    const { records, bad } = readAll(text);
    expect(records.map((r) => r.record.text)).toEqual(["a", "b"]);
    expect(bad).toEqual([{ offset: 10, lines: "rubbish\n K=V\n L=W" }, { offset: 28, lines: "" }]);
  });

  test("gives continuation lines that come first to bad", () => {
    const { records, bad } = readAll(" K=V\n L=W\n6,2,3,-;b\n");
    expect(bad).toEqual([{ offset: 0, lines: " K=V\n L=W" }]);
    expect(records.map((r) => r.offset)).toEqual([10]);
  });

  test("reads a last line without its newline", () => {
    expect(readAll("6,1,2,-;a\n K=V").records[0]!.record.more).toEqual(["K=V"]);
    expect(readAll("6,1,2,-;a").records[0]!.record.text).toBe("a");
    expect(readAll("rubbish").bad).toEqual([{ offset: 0, lines: "rubbish" }]);
    expect(readAll("")).toEqual({ records: [], bad: [] });
  });

  test("reads a line of 10 MB, and passes over one that is no record", () => {
    const long = "x".repeat(10_000_000);
    const { records, bad } = readAll(`6,1,2,-;${long}\n${long}\n6,2,3,-;b\n`);
    expect(records.map((r) => r.record.text.length)).toEqual([long.length, 1]);
    expect(bad.map((b) => b.lines.length)).toEqual([long.length]);
  });

  test("loses no byte: records and bad lines make up the text", () => {
    const text = " K\n6,1,2,-;a\n\n M=1\n#x\n6,1,3,g,count=1;b\n N=2\n";
    const { records, bad } = readAll(text);
    const parts = [
      ...records.map(({ offset, record }) => ({ offset, text: formatRecord(record) })),
      ...bad.map(({ offset, lines }) => ({ offset, text: `${lines}\n` })),
    ].sort((a, b) => a.offset - b.offset);
    expect(parts.map((p) => p.text).join("")).toBe(text);
  });
});
