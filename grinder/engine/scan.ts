/**
 * Header lines and the beginnings of records in a frame's bytes, read in place: strings for all of
 * them would cost more than looking for what the rules want. What isn't as simple as usual is left
 * to the slow readers of shared/.
 */
import { lineStart, newlineFrom, type Text } from "./words.ts";

const newline = 10;
const space = 32;
const comma = 44;
const zero = 48;
const semicolon = 59;
/** Digits of numbers, as block.ts and record.ts have them. What is above 2^53 - 1 is no number of ours. */
const headerDigitsMax = 20;
const recordDigitsMax = 16;

/** The line `#1 DEVICE BOOT SOURCE STREAM RECV_US FIRST LAST COUNT\n`. */
export class HeaderScan {
  /** The four names and the spaces between them. */
  namesStart = 0;
  namesEnd = 0;
  recvUs = 0;
  first = 0;
  last = 0;
  count = 0;
  /** Where the third name ends and the fourth begins. */
  sourceEnd = 0;
  streamStart = 0;
  /** Behind the line. */
  end = 0;
  #at = 0;

  /** False if the bytes from `start` to `end` don't begin with such a line. Names aren't looked at. */
  read(text: Text, start: number, end: number): boolean {
    const { bytes } = text;
    const lineEnd = newlineFrom(text, start, end);
    if (lineEnd === end || !beginsWithHash1(bytes, start)) return false;
    this.end = lineEnd + 1;
    this.#at = lineEnd;
    this.count = this.#numberBefore(bytes, start);
    this.last = this.#numberBefore(bytes, start);
    this.first = this.#numberBefore(bytes, start);
    this.recvUs = this.#numberBefore(bytes, start);
    this.namesStart = start + 3;
    this.namesEnd = this.#at;
    this.streamStart = this.#at;
    while (this.streamStart > start && bytes[this.streamStart - 1] !== space) this.streamStart--;
    this.sourceEnd = this.streamStart - 1;
    return this.count >= 0 && this.last >= 0 && this.first >= 0 && this.recvUs >= 0 &&
      this.namesEnd > this.namesStart;
  }

  /** The number that ends where the last one's space stands; -1 if none does. */
  #numberBefore(bytes: Uint8Array, start: number): number {
    let value = 0;
    let scale = 1;
    let at = this.#at - 1;
    const least = Math.max(start + 2, this.#at - headerDigitsMax - 1);
    for (; at > least; at--) {
      const digit = bytes[at]! - zero;
      if (digit < 0 || digit > 9) break;
      value += digit * scale;
      scale *= 10;
    }
    const good = at < this.#at - 1 && bytes[at] === space && value <= Number.MAX_SAFE_INTEGER;
    this.#at = at;
    return good ? value : -1;
  }
}

function beginsWithHash1(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 35 && bytes[at + 1] === 49 && bytes[at + 2] === space;
}

/** The beginning of a record: `PRIO,SEQ,USEC,FLAG[,...];TEXT`. */
export class RecordScan {
  prio = 0;
  seq = 0;
  usec = 0;
  /** The only byte of the flag. */
  flag = 0;
  /** Where the fields or the text begin. */
  behindFlag = 0;
  #at = 0;

  /** False if no record with a flag of one byte begins at `start`. Its text may yet be missing. */
  read(bytes: Uint8Array, start: number): boolean {
    this.#at = start;
    this.prio = this.#number(bytes, 4);
    if (this.prio < 0) return false;
    this.seq = this.#number(bytes, recordDigitsMax);
    if (this.seq < 0) return false;
    this.usec = this.#number(bytes, recordDigitsMax);
    if (this.usec < 0) return false;
    this.flag = bytes[this.#at]!;
    this.behindFlag = this.#at + 1;
    if (this.flag === comma || this.flag === semicolon || this.flag === newline) return false;
    const next = bytes[this.behindFlag];
    if (next === semicolon) return true;
    return next === comma && this.#hasText(bytes);
  }

  /** A number and the comma behind it; -1 if there is none. */
  #number(bytes: Uint8Array, digits: number): number {
    let value = 0;
    let at = this.#at;
    const most = at + digits;
    for (; at < most; at++) {
      const digit = bytes[at]! - zero;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    const good = at > this.#at && bytes[at] === comma && value <= Number.MAX_SAFE_INTEGER;
    this.#at = at + 1;
    return good ? value : -1;
  }

  /** Whether the line goes on, behind the fields, with a text. */
  #hasText(bytes: Uint8Array): boolean {
    for (let at = this.behindFlag; at < bytes.length && bytes[at] !== newline; at++) {
      if (bytes[at] === semicolon) return true;
    }
    return false;
  }
}

/** Where the record begins whose last line ends before `end`: behind its continuation lines. */
export function recordBefore(text: Text, start: number, end: number): number {
  let at = lineStart(text, start, end - 1);
  while (at > start && text.bytes[at] === space) at = lineStart(text, start, at - 1);
  return at;
}
