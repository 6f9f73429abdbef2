import { Buffer } from "node:buffer";
import { expect, test } from "bun:test";
import { parseBlockHeader } from "../../shared/block.ts";
import { parseRecord } from "../../shared/record.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { HeaderScan, recordBefore, RecordScan } from "./scan.ts";
import { textOf } from "../sieve/words.ts";

const random = seededRandom(20261122);
const below = (n: number) => Math.floor(random() * n);

/** From a multiple of 4 on. */
function aligned(text: string): Buffer {
  const bytes = Buffer.from(new ArrayBuffer(text.length));
  bytes.write(text, "latin1");
  return bytes;
}

/** One that is right, or nearly. */
function mutated(text: string): string {
  const characters = text.split("");
  for (let changes = below(3); changes > 0; changes--) {
    const at = below(characters.length);
    characters.splice(at, below(2), "0123456789 #,;-gs\n."[below(19)]!);
  }
  return characters.join("");
}

test("a header is read as the slow way reads it, and where names are wrong nothing else is", () => {
  const scan = new HeaderScan();
  let good = 0;
  for (let round = 0; round < 20_000; round++) {
    const numbers = [1795348800000001, below(1e9), 2 ** 53 - 1 - below(2), below(50)];
    const line = mutated(`#1 d1 b-1 kmsg ring-${below(10)} ${numbers.join(" ")}`).split("\n")[0]!;
    const text = aligned(`x\n${line}\n6,1,2,-;text\n`);
    const right = parseBlockHeader(line);
    const read = scan.read(textOf(text), 2, text.length);
    if (!right) continue;
    good++;
    expect([line, read]).toEqual([line, true]);
    const { device, boot, source, stream, ...rest } = right;
    expect(text.toString("latin1", scan.namesStart, scan.namesEnd)).toBe(
      [device, boot, source, stream].join(" "),
    );
    const { recvUs, first, last, count } = scan;
    expect({ recvUs, first, last, count }).toEqual(rest);
    expect(text.toString("latin1", scan.end, scan.end + 4)).toBe("6,1,");
    expect(text.toString("latin1", scan.streamStart, scan.namesEnd)).toBe(stream);
    expect(text.toString("latin1", 0, scan.sourceEnd)).toEndWith(` ${source}`);
  }
  expect(good).toBeGreaterThan(3_000);
});

test("a line that is no header isn't read as one", () => {
  const scan = new HeaderScan();
  const lines = ["#1", "#1 ", "#1 1 2 3 4", "#2 d b k s 1 2 3 4", "#1 d b k s 1 2 3 ", "#end", ""];
  const huge = "#1 d b k s 1 2 3 9007199254740992";
  for (const line of [...lines, "#1 d b k s 1 2 3 4x", "#1 d b k s 1 2 3 -4", huge]) {
    const text = aligned(`${line}\n`);
    expect([line, scan.read(textOf(text), 0, text.length)]).toEqual([line, false]);
  }
  const cut = aligned("#1 d b k s 1 2 3 4");
  expect(scan.read(textOf(cut), 0, cut.length)).toBe(false);
});

test("a record's beginning is read as the slow way reads it, if its flag is of one character", () => {
  const scan = new RecordScan();
  let good = 0;
  for (let round = 0; round < 20_000; round++) {
    const flag = ["-", "s", "g", "p", "c", "-,caller=T1", "--"][below(7)];
    const start = `${below(200)},${below(1e6)},${below(1e9)},${flag};`;
    const line = mutated(`${start}text; more`).split("\n")[0]!;
    const text = Buffer.from(`ab\n${line}\n`);
    const right = parseRecord(line);
    const isShort = right !== undefined && right.flag.length === 1;
    expect([line, scan.read(text, 3)]).toEqual([line, isShort]);
    if (!isShort) continue;
    good++;
    const { prio, seq, usec, flag: byte } = scan;
    expect([prio, seq, usec, String.fromCharCode(byte)]).toEqual(
      [right.prio, right.seq, right.usec, right.flag],
    );
  }
  expect(good).toBeGreaterThan(5_000);
});

test("a record's beginning is found before its continuation lines, but not before the block's", () => {
  const text = textOf(aligned("6,1,1,-;a\n A=1\n6,2,2,-;b\n B=1\n C=1\n"));
  const { length } = text.bytes;
  const second = 15;
  expect([recordBefore(text, 0, length), recordBefore(text, 0, second)]).toEqual([second, 0]);
  expect(recordBefore(text, second + 10, length)).toBe(second + 10);
});
