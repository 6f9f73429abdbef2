/**
 * An event's line as bytes (event.ts has its form), from parts that are bytes already: a string of fifteen
 * others, and its way into a file, cost several times as much.
 */
import { type EventParts, isoMicros } from "./event.ts";
import type { WallTime } from "./clock_fit.ts";

/** The parts of an event that are texts, as UTF-8. */
export interface PartBytes {
  names: Uint8Array;
  record: Uint8Array;
  frame: Uint8Array;
}

const encoder = new TextEncoder();
const errorKey = encoder.encode(`","time_error_us":`);
const recvKey = encoder.encode(`,"recv_us":`);
const lineKey = encoder.encode(`,"line":`);
const end = encoder.encode("}\n");
const comma = 0x2c;
const zero = 0x30;
const capitalZ = 0x5a;

/** A line without these parts is shorter, whatever the name of the rule. */
const restBytesMax = 512;
const ruleCharsMax = 128;
/** Of the number that is written, the last one first. */
const digits = new Uint8Array(9);

/** What a line begins with, by rule. */
const heads = new Map<string, Uint8Array>();
/** The second that was written last, as `isoMicros` has it, up to the point. */
let second = { startUs: NaN, bytes: new Uint8Array() };

/** More than the line takes; undefined if it isn't one that `writeEvent` can write. */
export function eventRoom(
  { rule, recvUs, line }: EventParts,
  { wallUs, errorUs }: WallTime,
  { names, record, frame }: PartBytes,
): number | undefined {
  const isUsual = [recvUs, line, wallUs, errorUs].every(isCount) && rule.length <= ruleCharsMax;
  return isUsual ? names.length + record.length + frame.length + restBytesMax : undefined;
}

/** Writes what `joinEvent` gives, from `start` on; gives where it ends. */
export function writeEvent(
  to: Uint8Array,
  start: number,
  { rule, recvUs, line }: EventParts,
  { wallUs, errorUs }: WallTime,
  { names, record, frame }: PartBytes,
): number {
  let at = put(to, start, headOf(rule));
  at = putTime(to, at, wallUs);
  at = put(to, at, errorKey);
  at = putNumber(to, at, errorUs);
  to[at++] = comma;
  at = put(to, at, names);
  to[at++] = comma;
  at = put(to, at, record);
  at = put(to, at, recvKey);
  at = putNumber(to, at, recvUs);
  to[at++] = comma;
  at = put(to, at, frame);
  at = put(to, at, lineKey);
  at = putNumber(to, at, line);
  return put(to, at, end);
}

function isCount(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 0;
}

function headOf(rule: string): Uint8Array {
  const known = heads.get(rule);
  if (known) return known;
  const head = encoder.encode(`{"rule":"${rule}","time":"`);
  heads.set(rule, head);
  return head;
}

function put(to: Uint8Array, at: number, bytes: Uint8Array): number {
  to.set(bytes, at);
  return at + bytes.length;
}

/** As `isoMicros` does. */
function putTime(to: Uint8Array, start: number, wallUs: number): number {
  const startUs = Math.floor(wallUs / 1e6) * 1e6;
  if (startUs !== second.startUs) {
    second = { startUs, bytes: encoder.encode(isoMicros(startUs).slice(0, -"000000Z".length)) };
  }
  const at = putDigits(to, put(to, start, second.bytes), wallUs - startUs, 6);
  to[at] = capitalZ;
  return at + 1;
}

function putNumber(to: Uint8Array, start: number, number: number): number {
  // Nine digits at a time are a small integer, with which a processor is several times as quick.
  const high = Math.floor(number / 1e9);
  if (high === 0) return putDigits(to, start, number, 1);
  return putDigits(to, putNumber(to, start, high), number - high * 1e9, 9);
}

/** A number below 1e9, with zeros before it up to so many digits. */
function putDigits(to: Uint8Array, start: number, number: number, digitsMin: number): number {
  let count = 0;
  for (let left = number; left > 0 || count < digitsMin; left = left / 10 | 0) {
    digits[count++] = left % 10;
  }
  let at = start;
  while (count > 0) to[at++] = zero + digits[--count]!;
  return at;
}
