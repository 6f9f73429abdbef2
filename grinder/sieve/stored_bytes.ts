/**
 * Stored text as bytes to what a matcher must know of it before it looks closer: what a block is, and
 * where in a line a record's text begins. They say exactly what `parseBlockHeader` and
 * `parseRecord` say, at a tenth of the time.
 */
import { Buffer } from "node:buffer";
import { limits } from "../../shared/limits.ts";

const space = 0x20;
const comma = 0x2c;
const dot = 0x2e;
const semicolon = 0x3b;

/** 1 for what names are made of. */
const nameBytes = Uint8Array.from(
  { length: 256 },
  (_, byte) => /[A-Za-z0-9._:@+-]/.test(String.fromCharCode(byte)) ? 1 : 0,
);

/** What is under a header: nothing that counts, as it isn't one; records; lines as they came. */
export type BlockKind = "none" | "records" | "raw";

/** Of the header line `bytes[at, end)`, without its newline. */
export function blockKind(bytes: Uint8Array, at: number, end: number): BlockKind {
  // "#1 DEVICE BOOT SOURCE STREAM RECV_US FIRST LAST COUNT"
  if (end - at < 3 || bytes[at] !== 0x23 || bytes[at + 1] !== 0x31 || bytes[at + 2] !== space) {
    return "none";
  }
  let next = at + 3;
  let raw = false;
  for (let name = 0; name < 4; name++) {
    const start = next;
    next = nameEnd(bytes, start, end);
    if (next === end || bytes[next] !== space || !isName(bytes, start, next)) return "none";
    if (name === 2) raw = isRaw(bytes, start, next);
    next++;
  }
  for (let number = 0; number < 4; number++) {
    next = numberEnd(bytes, next, end, 20);
    if (next < 0) return "none";
    if (number < 3 && (next === end || bytes[next++] !== space)) return "none";
  }
  return next !== end ? "none" : raw ? "raw" : "records";
}

/** Where the text of a record begins whose first line is `bytes[at, end)`; -1 if rules don't see it. */
export function recordTextStart(bytes: Uint8Array, at: number, end: number): number {
  // "PRIO,SEQ,USEC,FLAG[,KEY=VALUE...];TEXT"
  let next = at;
  for (let number = 0; number < 3; number++) {
    next = numberEnd(bytes, next, end, number === 0 ? 4 : 16);
    if (next < 0 || next === end || bytes[next++] !== comma) return -1;
  }
  const flag = next;
  while (next < end && bytes[next] !== comma && bytes[next] !== semicolon) next++;
  const length = next - flag;
  if (length === 0 || length > 4 || length === 1 && isMetaFlag(bytes[flag]!)) return -1;
  while (next < end && bytes[next] !== semicolon) next++;
  return next === end ? -1 : next + 1;
}

/** What frames are read by as byte strings: a view, no copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** `g` and `s` records are about records: see `isMeta`. */
function isMetaFlag(byte: number): boolean {
  return byte === 0x67 || byte === 0x73;
}

function nameEnd(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && nameBytes[bytes[at]!] === 1) at++;
  return at;
}

/** Of bytes that names are made of: `isName`. */
function isName(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length === 0 || length > limits.nameBytesMax) return false;
  if (length > 2 || bytes[start] !== dot) return true;
  return length === 2 && bytes[start + 1] !== dot;
}

function isRaw(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start === 3 && bytes[start] === 0x72 && bytes[start + 1] === 0x61 &&
    bytes[start + 2] === 0x77;
}

/** Where the digits end that begin at `at`; -1 if there are none, too many, or the number is too large. */
function numberEnd(bytes: Uint8Array, at: number, end: number, digitsMax: number): number {
  const start = at;
  let value = 0;
  for (; at < end; at++) {
    const digit = bytes[at]! - 0x30;
    if (digit < 0 || digit > 9) break;
    // Where that isn't exact any more it is too large already.
    value = value * 10 + digit;
  }
  const digits = at - start;
  return digits > 0 && digits <= digitsMax && value <= Number.MAX_SAFE_INTEGER ? at : -1;
}
