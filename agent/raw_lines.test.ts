import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { escapeText } from "../shared/record.ts";
import { escapeBytes, rawLines } from "./raw_lines.ts";

const lines = (text: string, max = 10, last = false) =>
  [...rawLines(Buffer.from(text), max, last)].map(({ text, end }) => `${text}|${end}`);

describe("raw lines", () => {
  test("end at newlines, with or without a carriage return", () => {
    expect(lines("a\r\n\nb\rc\nd")).toEqual(["a|3", "|4", "b\\x0dc|8"]);
    expect(lines("a\nd", 10, true)).toEqual(["a|2", "d|3"]);
    expect(lines("")).toEqual([]);
  });

  test("that are too long are cut in the same places, however much is there", () => {
    const text = `${"abcdefghijä".repeat(5)}\nshort\n`;
    const all = Buffer.from(text);
    const whole = lines(text, 10);
    for (let length = 0; length <= all.length; length++) {
      const part = [...rawLines(all.subarray(0, length), 10)].map((line) =>
        `${line.text}|${line.end}`
      );
      expect(part).toEqual(whole.slice(0, part.length));
    }
    for (const line of whole) {
      const end = Number(line.split("|")[1]);
      const rest = [...rawLines(all.subarray(end), 10)].map((l) => `${l.text}|${l.end + end}`);
      expect(rest).toEqual(whole.slice(whole.length - rest.length));
    }
  });

  test("of exactly the limit are whole", () => {
    expect(lines("0123456789\n")).toEqual(["0123456789|11"]);
    expect(lines("0123456789")).toEqual([]);
    expect(lines("0123456789a")).toEqual(["0123456789|10"]);
  });

  test("are none where a file has a hole", () => {
    expect(lines(`${"\0".repeat(21)}b\n`)).toEqual(["undefined|10", "undefined|20", "\\x00b|23"]);
  });
});

test("escaped bytes of a UTF-8 text are what escapeText makes of it", () => {
  const text = "ä€\\ \x7f\t plain";
  expect(escapeBytes(Buffer.from(text))).toBe(escapeText(text));
});
