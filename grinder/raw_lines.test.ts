import { expect, test } from "bun:test";
import type { LogRecord } from "../shared/record.ts";
import { forEachRawLine } from "./raw_lines.ts";

function readRaw(text: string): Array<[LogRecord, number]> {
  const all: Array<[LogRecord, number]> = [];
  forEachRawLine(text, (record, offset) => all.push([record, offset]));
  return all;
}

const plain = { prio: 14, seq: 0, usec: 0, flag: "-", fields: "", more: [] };

for (
  const [line, record] of [
    ["6,1,2,-;text", { prio: 6, usec: 2, text: "text" }],
    ["6,1,2,g,first=1,last=2,count=2;x", {
      prio: 6,
      usec: 2,
      fields: "first=1,last=2,count=2",
      text: "x",
    }],
    ["[   12.345678] text", { usec: 12_345_678, text: "text" }],
    ["<6>[   12.345678] text", { prio: 6, usec: 12_345_678, text: "text" }],
    ["[    0.000000][    T0] text", { text: "text" }],
    ["[12345.000001]  indented", { usec: 12_345_000_001, text: " indented" }],
    ["[Sun Nov 22 20:21:34 2026] text", { text: "[Sun Nov 22 20:21:34 2026] text" }],
    ["Nov 22 20:21:34 host app[1]: text", { text: "Nov 22 20:21:34 host app[1]: text" }],
    ["\\x23 a comment", { text: "# a comment" }],
    [" indented", { text: " indented" }],
    ["", { text: "" }],
  ] as Array<[string, Partial<LogRecord>]>
) {
  test(`a raw line is read as what it looks like: ${JSON.stringify(line)}`, () => {
    expect(readRaw(`${line}\n`)).toEqual([[{ ...plain, text: "", ...record }, 0]]);
  });
}

test("raw lines have their numbers as seq and their places as offsets", () => {
  const found = readRaw("a\n6,99,2,-;b\n\nlast");
  expect(found.map(([{ seq, text }, offset]) => [seq, text, offset])).toEqual([
    [0, "a", 0],
    [1, "b", 2],
    [2, "", 13],
    [3, "last", 14],
  ]);
});
