import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { formatBlockHeader, parseBlockHeader } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import { isMeta, parseRecord } from "../../shared/record.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { header } from "../fixtures.ts";
import { blockKind, recordTextStart } from "./stored_bytes.ts";

/** Between other bytes, which must not matter. */
function within<T>(line: string, look: (bytes: Uint8Array, at: number, end: number) => T): T {
  return look(Buffer.from(`1${line}1`, "latin1"), 1, 1 + line.length);
}

function kindOf(line: string): string {
  const parsed = parseBlockHeader(line);
  return parsed === undefined ? "none" : parsed.source === "raw" ? "raw" : "records";
}

function textStartOf(line: string): number {
  const record = parseRecord(line);
  return record === undefined || isMeta(record.flag) ? -1 : 1 + line.length - record.text.length;
}

const random = seededRandom(7);
const below = (limit: number) => Math.floor(random() * limit);

/** Changed at a place or two. */
function mutated(line: string, letters: string): string {
  for (let i = below(3); i > 0; i--) {
    const at = below(line.length + 1);
    line = line.slice(0, at) + letters.slice(below(letters.length)).slice(0, below(2)) +
      line.slice(at + below(2));
  }
  return line;
}

const name = "x".repeat(limits.nameBytesMax);
const headers = [
  formatBlockHeader(header()).slice(0, -1),
  formatBlockHeader(header({ source: "raw" })).slice(0, -1),
  ...["#1 a b raw c 0 1 2 3", "#1 a b raws c 0 1 2 3", "#1 a b . c 0 1 2 3", "#1 .. b c d 0 1 2 3"],
  ...["#1 ..a b .c ... 0 1 2 3", `#1 ${name} b c d 0 1 2 3`, `#1 ${name}x b c d 0 1 2 3`],
  ...["#1 a b c d 9007199254740991 9007199254740992 2 3", "#1 a b c d 0 1 2 9007199254740991"],
  ...["#1 a b c d 0 1 2 00000000000000000003", "#1 a b c d 0 1 2 000000000000000000003", "#1", ""],
  ...[
    "#1 a b c d 99999999999999999999 1 2 3",
    "#1 a b c d 0 1 2 3 ",
    "#end",
    "#1 a b/ c d 0 1 2 3",
  ],
];

test.each(headers)("the kind of a block is that of its parsed header: %s", (line) => {
  expect(within(line, blockKind)).toBe(kindOf(line) as "none");
});

test("the kind of a block is that of its parsed header, of any line", () => {
  const counts: Record<string, number> = { none: 0, raw: 0, records: 0 };
  for (let i = 0; i < 20_000; i++) {
    const line = mutated(headers[below(headers.length)]!, "0 raw.#1x9\n\xe9");
    const kind = kindOf(line);
    expect([line, within(line, blockKind)]).toEqual([line, kind]);
    counts[kind]!++;
  }
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(1_000);
});

const records = [
  ...["6,1,2,-;text", "6,1,2,-;", "6,1,2,-,caller=T1;a;b", "6,1,2,g,count=1;x", "6,1,2,s;x"],
  ...["6,1,2,gs;x", "6,1,2,p,,=;x", "1234,1,2,c;x", "12345,1,2,c;x", "6,9007199254740991,2,+;x"],
  ...["6,9007199254740992,2,-;x", "6,1,9007199254740993,-;x", "6,01234567890123456,2,-;x"],
  ...[
    "6,0123456789012345,2,-;x",
    "6,1,2,1234;x",
    "6,1,2,12345;x",
    "6,1,2,;x",
    "6,1,2,-",
    "6,1,2,-,x",
  ],
  ...["", "text", " 6,1,2,-;x", "6,1,2, ;x", "#,1,2,-;x"],
];

test.each(records)("the text of a record begins where its parser says: %s", (line) => {
  expect(within(line, recordTextStart)).toBe(textStartOf(line));
});

test("the text of a record begins where its parser says, of any line", () => {
  let parsed = 0;
  for (let i = 0; i < 20_000; i++) {
    const line = mutated(records[below(records.length)]!, "0,;g-s 9\xe9");
    const start = textStartOf(line);
    expect([line, within(line, recordTextStart)]).toEqual([line, start]);
    if (start >= 0) parsed++;
  }
  expect(parsed).toBeGreaterThan(2_000);
});
