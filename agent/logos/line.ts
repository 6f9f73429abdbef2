/**
 * The bytes of a program's lines in, records for /dev/kmsg out, each to be written in one write():
 *
 *     <L>NAME: TEXT\n
 *
 * | part | what it is |
 * |------|------------|
 * | L    | the level that the line's own prefix says, `7` (debug) where it says none |
 * | NAME | the program's name, without underscores |
 * | TEXT | the line with tabs as spaces up to the next 8-column stop, without `\r`; other bytes below 0x20 as `\xNN`; all others as they are, the kernel escapes them for its readers |
 *
 * 1. A record is at most `writeBytesMax` long, and comes back whole from a read of /dev/kmsg.
 * 2. A longer line becomes several records of its level. Their TEXTs joined are the cleaned line: no
 *    cut is inside a UTF-8 character or a `\xNN`.
 * 3. Of a line that never ends no more is held than one record.
 *
 * Levels, tabs, `\r` and `\xNN` are those of Google Fiber's cmds/logos.c, which split a line before it
 * was cleaned, so that the kernel refused what had grown too long.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { isName } from "../../shared/block.ts";

/** The kernel refuses a longer write with EINVAL (PRINTKRB_RECORD_MAX in kernel/printk). */
export const writeBytesMax = 1024;
/** What one read gives at most (PRINTK_MESSAGE_MAX), escapes and header included; the rest is lost. */
export const readBytesMax = 2048;
/** `NNN,SEQ,USEC,-,caller=T1234567890;` and `\n`, with the longest numbers: 68 bytes, rounded up. */
const readHeaderBytesMax = 80;
/** What is left for NAME and TEXT as the kernel escapes them. */
const readTextBytesMax = readBytesMax - readHeaderBytesMax;
/** A record without its newline. */
const bytesMax = writeBytesMax - 1;

const levels: Array<[level: string, prefix: RegExp]> = [
  ["2", /^(?:fatal|critical|weird):/i],
  ["3", /^(?:e|error):/i],
  ["4", /^(?:w|warning):/i],
  ["5", /^(?:n|notice):/i],
  ["6", /^(?:i|info):/i],
];

const tab = 0x09;
const newline = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const backslash = 0x5c;
/** The longest prefix, "critical:". */
const levelPrefixBytes = 9;
/** `\xNN` of each byte below 0x20. */
const escapes = Array.from(
  { length: space },
  (_, byte) => Buffer.from(`\\x${byte.toString(16).padStart(2, "0")}`),
);

/** The name as it is written; undefined if nothing is left of it, or it isn't a name (`isName`). */
export function facilityOf(name: string): string | undefined {
  const facility = name.replaceAll("_", "");
  return isName(facility) ? facility : undefined;
}

export class LineFormatter {
  readonly #record = Buffer.alloc(writeBytesMax);
  readonly #prefixBytes: number;
  #bytes: number;
  /** What the kernel's escaping will make of NAME and TEXT. */
  #readBytes: number;
  /** Where the character or escape begins that came last: a cut goes before it. */
  #unit: number;
  /** Bytes that may still belong to that character. */
  #continuations = 0;
  /** Characters of the line so far. */
  #column = 0;
  #level: string | undefined;
  #isOpen = false;
  #isSplit = false;

  /** `emit` gets each record, of which it becomes the owner. */
  constructor(facility: string, private readonly emit: (record: Uint8Array) => void) {
    assert(facilityOf(facility) === facility, "a facility is what facilityOf gives");
    this.#prefixBytes = this.#record.write(`<7>${facility}: `, "latin1");
    this.#bytes = this.#unit = this.#prefixBytes;
    this.#readBytes = this.#prefixReadBytes();
  }

  /** Whether there are bytes of a line that hasn't ended yet. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** More of the line. There is no newline in it. */
  add(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#isOpen = true;
    for (let at = 0; at < bytes.length;) {
      const plain = plainBytes(bytes, at, this.#room());
      if (plain > 0) this.#addPlain(bytes.subarray(at, at + plain));
      else this.#addByte(bytes[at]!);
      at += Math.max(plain, 1);
    }
  }

  /** The line's end. True if it was so long that it became several records. */
  end(): boolean {
    this.#emitRecord();
    const wasSplit = this.#isSplit;
    this.#level = undefined;
    this.#column = this.#continuations = 0;
    this.#isOpen = this.#isSplit = false;
    return wasSplit;
  }

  /** Nearly all of most lines, in one copy. There is room for it. */
  #addPlain(bytes: Uint8Array): void {
    this.#record.set(bytes, this.#bytes);
    this.#bytes += bytes.length;
    this.#readBytes += bytes.length;
    this.#column += bytes.length;
    this.#unit = this.#bytes - 1;
    this.#continuations = 0;
  }

  /** How many plain bytes this record can still take. */
  #room(): number {
    return Math.min(bytesMax - this.#bytes, readTextBytesMax - this.#readBytes);
  }

  #addByte(byte: number): void {
    if (byte === carriageReturn) return;
    if (byte === tab) return this.#addTab();
    if (byte < space) return this.#addEscape(byte);
    if (this.#continuations > 0 && (byte & 0xc0) === 0x80) {
      this.#continuations--;
      return this.#put(byte);
    }
    this.#beginUnit(continuationsAfter(byte));
    this.#column++;
    this.#put(byte);
  }

  #addTab(): void {
    do {
      this.#beginUnit(0);
      this.#column++;
      this.#put(space);
    } while (this.#column % 8 !== 0);
  }

  #addEscape(byte: number): void {
    const escape = escapes[byte]!;
    this.#beginUnit(0);
    this.#column += escape.length;
    for (let at = 0; at < escape.length; at++) this.#put(escape[at]!);
  }

  #beginUnit(continuations: number): void {
    this.#unit = this.#bytes;
    this.#continuations = continuations;
  }

  #put(byte: number): void {
    const fits = this.#bytes < bytesMax && this.#readBytes + readBytesOf(byte) <= readTextBytesMax;
    if (!fits) this.#split();
    this.#record[this.#bytes++] = byte;
    this.#readBytes += readBytesOf(byte);
  }

  /** What there is of the last unit goes over to the next record. */
  #split(): void {
    const carried = Buffer.from(this.#record.subarray(this.#unit, this.#bytes));
    this.#bytes = this.#unit;
    this.#emitRecord();
    this.#isSplit = true;
    this.#bytes += carried.copy(this.#record, this.#bytes);
    for (const byte of carried) this.#readBytes += readBytesOf(byte);
  }

  #emitRecord(): void {
    const levelEnd = Math.min(this.#bytes, this.#prefixBytes + levelPrefixBytes);
    this.#level ??= levelOf(this.#record.toString("latin1", this.#prefixBytes, levelEnd));
    this.#record.write(this.#level, 1, "latin1");
    this.#record[this.#bytes++] = newline;
    this.emit(new Uint8Array(this.#record.subarray(0, this.#bytes)));
    this.#bytes = this.#unit = this.#prefixBytes;
    this.#readBytes = this.#prefixReadBytes();
  }

  /** `<L>` isn't part of what is read back, and a name has nothing to escape. */
  #prefixReadBytes(): number {
    return this.#prefixBytes - "<7>".length;
  }
}

function levelOf(text: string): string {
  return levels.find(([, prefix]) => prefix.test(text))?.[0] ?? "7";
}

/** How many bytes from `at` on, up to `most`, are a column each and not escaped by anybody. */
function plainBytes(bytes: Uint8Array, at: number, most: number): number {
  const last = Math.min(bytes.length, at + most);
  let end = at;
  for (; end < last; end++) {
    const byte = bytes[end]!;
    if (byte < space || byte >= 0x7f || byte === backslash) break;
  }
  return end - at;
}

/** How many bytes the kernel gives back for one (msg_add_ext_text in kernel/printk/printk.c). */
function readBytesOf(byte: number): number {
  return byte >= 0x7f || byte === backslash ? 4 : 1;
}

/** How many bytes of 0x80..0xbf follow in a UTF-8 character that begins so. */
function continuationsAfter(byte: number): number {
  if (byte >= 0xc2 && byte <= 0xdf) return 1;
  if (byte >= 0xe0 && byte <= 0xef) return 2;
  return byte >= 0xf0 && byte <= 0xf4 ? 3 : 0;
}
