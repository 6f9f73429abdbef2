import { describe, expect, test } from "bun:test";
import {
  believable,
  type Block,
  type BlockHeader,
  endText,
  formatBlockHeader,
  formatUploadHeader,
  isName,
  parseBlockHeader,
  parseUploadHeader,
  readBlocks,
} from "./block.ts";
import { limits } from "./limits.ts";

const header: BlockHeader = {
  device: "ap-0001",
  boot: "2f9c6a3e-7a1b-4c88-9d60-1f9b6f5f9e11",
  source: "file:syslog",
  stream: "-",
  recvUs: 1795378894123456,
  first: 10,
  last: 12,
  count: 3,
};
const headerLine = "#1 ap-0001 2f9c6a3e-7a1b-4c88-9d60-1f9b6f5f9e11 file:syslog - " +
  "1795378894123456 10 12 3\n";
const records = "6,10,1,-;a\n6,11,2,-;b\n6,12,3,-;c\n";

function block(numbers: { first: number; last: number; count: number }, text = records): Block {
  return { header: { ...header, ...numbers }, text, offset: 0 };
}

function blocksOf(frameText: string) {
  const bad: Array<{ text: string; offset: number }> = [];
  const blocks = [...readBlocks(frameText, (text, offset) => bad.push({ text, offset }))];
  return { blocks, bad };
}

describe("a header line", () => {
  test("of an upload is `#0 FIRST LAST COUNT`", () => {
    const numbers = { first: 10, last: 12, count: 3 };
    expect(formatUploadHeader(numbers)).toBe("#0 10 12 3\n");
    expect(parseUploadHeader("#0 10 12 3")).toEqual(numbers);
  });

  test("of a block is `#1 DEVICE BOOT SOURCE STREAM RECV_US FIRST LAST COUNT`", () => {
    expect(formatBlockHeader(header)).toBe(headerLine);
    expect(parseBlockHeader(headerLine.trimEnd())).toEqual(header);
  });

  test("of a segment's end is `#end`", () => {
    expect(endText).toBe("#end\n");
    expect(parseBlockHeader("#end")).toBeUndefined();
  });

  test("with the longest names and numbers keeps to its limit", () => {
    const name = "n".repeat(limits.nameBytesMax);
    const max = Number.MAX_SAFE_INTEGER;
    const longest = formatBlockHeader({
      device: name,
      boot: name,
      source: name,
      stream: name,
      recvUs: max,
      first: max,
      last: max,
      count: max,
    });
    expect(longest.length).toBeLessThanOrEqual(limits.headerBytesMax);
    expect(parseBlockHeader(longest.trimEnd())?.last).toBe(max);
  });

  test("of an upload is nothing else", () => {
    for (
      const line of [
        "",
        "#0",
        "#0 1 2",
        "#0 1 2 3 4",
        "#0 1 2 3 ",
        "#0  1 2 3",
        " #0 1 2 3",
        "#1 1 2 3",
        "#0 -1 2 3",
        "#0 1 2 0x3",
        "#0 1 2 3\r",
        "#0 1 2 3\n#0 1 2 3",
        "#0 1 2 123456789012345678901",
      ]
    ) expect([line, parseUploadHeader(line)]).toEqual([line, undefined]);
  });

  test("of a block is nothing else", () => {
    const good = "#1 d b s t 5 1 2 2";
    expect(parseBlockHeader(good)?.device).toBe("d");
    for (
      const line of [
        "",
        "#1",
        `${good} `,
        `${good} 9`,
        good.replace("#1", "#2"),
        good.replace(" d ", " d/e "),
        good.replace(" d ", " .. "),
        good.replace(" d ", "  "),
        good.replace(" 5 ", " -5 "),
        good.replace(" 5 ", " 5.5 "),
        good.replace(" 5 ", " 9007199254740992 "),
        good.replace("1 2 2", "1 18446744073709551615 2"),
        good.replace("1 2 2", "1 2 two"),
      ]
    ) expect([line, parseBlockHeader(line)]).toEqual([line, undefined]);
  });
});

test("a name holds what no path and no header line would take apart", () => {
  for (const name of ["a", "-", "kiosk-7.example", "file:syslog", "a@b+c_d", "...", ".a"]) {
    expect([name, isName(name)]).toEqual([name, true]);
  }
  for (const name of ["", ".", "..", "a b", "a/b", "a\\b", "a\n", "\n", "ü", "a\0", "#", "a%2fb"]) {
    expect([name, isName(name)]).toEqual([name, false]);
  }
  expect(isName("n".repeat(limits.nameBytesMax))).toBe(true);
  expect(isName("n".repeat(limits.nameBytesMax + 1))).toBe(false);
});

describe("the numbers of a header", () => {
  test("are believed where they agree with each other and the text can hold them", () => {
    expect(believable(block({ first: 10, last: 12, count: 3 }))).toBe(true);
    expect(believable(block({ first: 0, last: 0, count: 1 }, "0,0,0,-;\n"))).toBe(true);
  });

  test("aren't believed where they lie", () => {
    const max = Number.MAX_SAFE_INTEGER;
    for (
      const numbers of [
        { first: 0, last: 0, count: 0 }, // No ordinary record.
        { first: 10, last: 12, count: 2 }, // A hole.
        { first: 12, last: 10, count: 3 }, // The wrong way round.
        { first: 12, last: 10, count: -1 },
        { first: 0, last: 3, count: 4 }, // Too many for the text: 36 bytes at least.
        { first: 0, last: max, count: max },
        { first: 0, last: max - 1, count: max },
        { first: 0, last: 2 ** 63, count: 2 ** 63 },
      ]
    ) expect([numbers, believable(block(numbers))]).toEqual([numbers, false]);
    // Exactly as many shortest records as fit are possible, one more isn't.
    expect(believable(block({ first: 1, last: 3, count: 3 }, "0,0,0,-;\n".repeat(3)))).toBe(true);
    expect(believable(block({ first: 1, last: 4, count: 4 }, "0,0,0,-;\n".repeat(3)))).toBe(false);
  });

  test("aren't believed where a gap record is in the block", () => {
    const text = "6,10,1,-;a\n6,11,2,-;b\n4,12,3,g,count=2,cause=lost;x\n6,12,3,-;c\n";
    expect(believable(block({ first: 10, last: 12, count: 3 }, text))).toBe(false);
  });

  test("from 0 to 2^63 pass the upload's header and reach no reader", () => {
    const lie = parseUploadHeader("#0 0 9223372036854775808 9223372036854775809")!;
    const line = formatBlockHeader({ ...header, ...lie });
    expect(line).toBe(headerLine.replace("10 12 3", "0 0 0"));
    expect(believable({ header: parseBlockHeader(line.trimEnd())!, text: records, offset: 0 }))
      .toBe(false);
  });

  test("that overlap are each block's own: both are read", () => {
    const { blocks } = blocksOf(headerLine + records + headerLine + records);
    expect(blocks.map((b) => [b.header.first, b.header.last])).toEqual([[10, 12], [10, 12]]);
  });
});

describe("readBlocks", () => {
  const second = headerLine.replace("ap-0001", "ap-0002");

  test("gives each block with its text and place", () => {
    const frame = headerLine + records + second + "6,1,1,-;x # y\n K=#1\n";
    const { blocks, bad } = blocksOf(frame);
    expect(bad).toEqual([]);
    expect(blocks).toEqual([
      { header, text: records, offset: headerLine.length },
      {
        header: { ...header, device: "ap-0002" },
        text: "6,1,1,-;x # y\n K=#1\n",
        offset: headerLine.length + records.length + second.length,
      },
    ]);
    for (const b of blocks) expect(frame.slice(b.offset, b.offset + b.text.length)).toBe(b.text);
  });

  test("gives a block without records", () => {
    const { blocks, bad } = blocksOf(headerLine + second + records);
    expect(blocks.map((b) => b.text)).toEqual(["", records]);
    expect(bad).toEqual([]);
  });

  test("passes over what stands under an unreadable header, and tells", () => {
    const forged = "#1 ../../etc b s t 1 2 3 4\n6,1,1,-;forged\n";
    const frame = headerLine + records + forged + second + records;
    const { blocks, bad } = blocksOf(frame);
    expect(blocks.map((b) => b.header.device)).toEqual(["ap-0001", "ap-0002"]);
    expect(blocks.map((b) => b.text)).toEqual([records, records]);
    expect(bad).toEqual([{ text: forged, offset: headerLine.length + records.length }]);
  });

  test("passes over records that stand before the first header, and tells", () => {
    const { blocks, bad } = blocksOf(records + headerLine + records);
    expect(blocks.map((b) => b.text)).toEqual([records]);
    expect(bad).toEqual([{ text: records, offset: 0 }]);
  });

  test("passes over a version that it doesn't know, and tells", () => {
    const { blocks, bad } = blocksOf("#2 whatever\n6,1,1,-;x\n" + headerLine + records);
    expect(blocks.length).toBe(1);
    expect(bad.map((b) => b.offset)).toEqual([0]);
  });

  test("takes `#end` for no block and for no damage", () => {
    expect(blocksOf(endText)).toEqual({ blocks: [], bad: [] });
    expect(blocksOf("")).toEqual({ blocks: [], bad: [] });
  });

  test("tells of text behind `#end`, which nobody writes", () => {
    const text = endText + records;
    expect(blocksOf(text)).toEqual({ blocks: [], bad: [{ text, offset: 0 }] });
  });

  test("reads a frame that was cut in its header or its text", () => {
    expect(blocksOf(headerLine.slice(0, 20)).bad.length).toBe(1);
    expect(blocksOf(headerLine.trimEnd()).blocks.map((b) => b.text)).toEqual([""]);
    expect(blocksOf(headerLine + "6,1,1,-;x").blocks.map((b) => b.text)).toEqual(["6,1,1,-;x"]);
  });
});
