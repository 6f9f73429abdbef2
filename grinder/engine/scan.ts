/**
 * Header lines and the beginnings of records in a frame's bytes, read in place: strings for all of
 * them would cost more than looking for what the rules want. What isn't as simple as usual is left
 * to the slow readers of shared/.
 */
import type { ClockSync } from "../../shared/record.ts";
import { byteFrom, lineStart, type Text } from "../sieve/words.ts";

const newline = 10;
const space = 32;
const comma = 44;
const zero = 48;
const semicolon = 59;
/** Digits of numbers, as block.ts and record.ts have them. What is above 2^53 - 1 is no number of ours. */
const headerDigitsMax = 20;
const recordDigitsMax = 16;
/** So many make a small integer, with which a processor is several times as quick as with others. */
const smallDigits = 9;

/** A decimal number in a text's bytes. */
class NumberScan {
  value = 0;

  /** Where it ends that begins at `start`; -1 if there is none, of so many digits at most. */
  read(bytes: Uint8Array, start: number, digitsMax: number): number {
    let at = start;
    let value = 0;
    for (let most = Math.min(smallDigits, digitsMax); most > 0; most--, at++) {
      const digit = bytes[at]! - zero;
      if (digit < 0 || digit > 9) {
        this.value = value;
        return at > start ? at : -1;
      }
      value = value * 10 + digit;
    }
    return this.#readRest(bytes, start, at, digitsMax, value);
  }

  #readRest(
    bytes: Uint8Array,
    start: number,
    from: number,
    digitsMax: number,
    high: number,
  ): number {
    let value = high;
    for (let at = from;;) {
      let part = 0;
      let scale = 1;
      for (; scale < 1e9 && at - start < digitsMax; scale *= 10, at++) {
        const digit = bytes[at]! - zero;
        if (digit < 0 || digit > 9) break;
        part = part * 10 + digit;
      }
      value = value * scale + part;
      if (scale === 1e9) continue;
      this.value = value;
      // Where that isn't exact any more it is too large already.
      return value <= Number.MAX_SAFE_INTEGER ? at : -1;
    }
  }
}

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
  readonly #number = new NumberScan();
  #at = 0;

  /** False if the bytes from `start` to `end` don't begin with such a line. Names aren't looked at. */
  read(text: Text, start: number, end: number): boolean {
    const { bytes } = text;
    if (end - start < 4 || !beginsWithHash1(bytes, start)) return false;
    this.namesStart = start + 3;
    const deviceEnd = byteFrom(text, space, this.namesStart, end);
    const bootEnd = byteFrom(text, space, deviceEnd + 1, end);
    this.sourceEnd = byteFrom(text, space, bootEnd + 1, end);
    this.streamStart = this.sourceEnd + 1;
    this.namesEnd = byteFrom(text, space, this.streamStart, end);
    if (this.namesEnd >= end) return false;
    this.#at = this.namesEnd + 1;
    this.recvUs = this.#next(bytes, end, space);
    this.first = this.#next(bytes, end, space);
    this.last = this.#next(bytes, end, space);
    this.count = this.#next(bytes, end, newline);
    this.end = this.#at;
    return this.count >= 0 && this.last >= 0 && this.first >= 0 && this.recvUs >= 0;
  }

  /** The number that begins behind the one before, with what must be behind it; -1 if none does. */
  #next(bytes: Uint8Array, end: number, behind: number): number {
    const numberEnd = this.#number.read(bytes, this.#at, headerDigitsMax);
    if (numberEnd < 0 || numberEnd >= end || bytes[numberEnd] !== behind) return -1;
    this.#at = numberEnd + 1;
    return this.#number.value;
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
  readonly #number = new NumberScan();

  /** False if no record with a flag of one byte begins at `start`. Its text may yet be missing. */
  read(bytes: Uint8Array, start: number): boolean {
    const number = this.#number;
    let at = number.read(bytes, start, 4);
    if (at < 0 || bytes[at] !== comma) return false;
    this.prio = number.value;
    at = number.read(bytes, at + 1, recordDigitsMax);
    if (at < 0 || bytes[at] !== comma) return false;
    this.seq = number.value;
    at = number.read(bytes, at + 1, recordDigitsMax);
    if (at < 0 || bytes[at] !== comma) return false;
    this.usec = number.value;
    const flag = this.flag = bytes[at + 1]!;
    this.behindFlag = at + 2;
    if (flag === comma || flag === semicolon || flag === newline) return false;
    const next = bytes[this.behindFlag];
    if (next === semicolon) return true;
    return next === comma && this.#hasText(bytes);
  }

  /** Whether the line goes on, behind the fields, with a text. */
  #hasText(bytes: Uint8Array): boolean {
    for (let at = this.behindFlag; at < bytes.length && bytes[at] !== newline; at++) {
      if (bytes[at] === semicolon) return true;
    }
    return false;
  }
}

const wall = bytesOf(",wall_us=");
const synced = bytesOf(",synced=");

/** What a clock sync record says, if it is written as agents do it: `FLAG,wall_us=N,synced=0|1;`. */
export class SyncScan implements ClockSync {
  wallUs = 0;
  synced = false;
  readonly #number = new NumberScan();

  /** False if what stands behind the flag isn't that; it may say the same in another way. */
  read(bytes: Uint8Array, behindFlag: number): boolean {
    if (!standsAt(bytes, behindFlag, wall)) return false;
    const end = this.#number.read(bytes, behindFlag + wall.length, recordDigitsMax);
    if (end < 0 || !standsAt(bytes, end, synced)) return false;
    this.wallUs = this.#number.value;
    const digit = bytes[end + synced.length]! - zero;
    this.synced = digit === 1;
    return (digit === 0 || digit === 1) && bytes[end + synced.length + 1] === semicolon;
  }
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function standsAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) return false;
  return true;
}

/** Where the record begins whose last line ends before `end`: behind its continuation lines. */
export function recordBefore(text: Text, start: number, end: number): number {
  let at = lineStart(text, start, end - 1);
  while (at > start && text.bytes[at] === space) at = lineStart(text, start, at - 1);
  return at;
}
