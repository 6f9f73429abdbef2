import { expect, test } from "bun:test";
import { type EventParts, joinEvent } from "./event.ts";
import { eventRoom, writeEvent } from "./event_bytes.ts";

const encoder = new TextEncoder();

function written(parts: EventParts, time: { wallUs: number; errorUs: number }): string {
  const { names, record, frame } = parts;
  const [a, b, c] = [names, record, frame].map((text) => encoder.encode(text));
  const bytes = { names: a!, record: b!, frame: c! };
  const room = eventRoom(parts, time, bytes)!;
  const to = new Uint8Array(room + 7).fill(63);
  const end = writeEvent(to, 7, parts, time, bytes);
  expect(end).toBeLessThanOrEqual(room + 7);
  return new TextDecoder().decode(to.subarray(7, end));
}

const parts = {
  rule: "link",
  names: '"device":"d1"',
  record: '"seq":5,"text":"eth0: up"',
  recvUs: 1_795_407_315_390_145,
  frame: '"segment":"r/e/00000000","offset":0',
  line: 0,
};

test("an event's bytes are those of its line, whatever its numbers", () => {
  const numbers = [0, 7, 10, 999_999, 1_000_000, 999_999_999, 1e9, 1_000_000_007, 2 ** 31, 1e15];
  for (const number of [...numbers, Number.MAX_SAFE_INTEGER]) {
    const event = { ...parts, recvUs: number, line: number };
    for (const wallUs of [0, 1_795_407_315_000_000 + number % 1e6, number % 8e15]) {
      const time = { wallUs, errorUs: number };
      expect(written(event, time)).toBe(joinEvent(event, time));
    }
  }
});

test("an event's bytes aren't to be had where a number is none that they can be written of", () => {
  const bytes = { names: new Uint8Array(), record: new Uint8Array(), frame: new Uint8Array() };
  const time = { wallUs: 5, errorUs: 5 };
  expect(eventRoom(parts, time, bytes)).toBeGreaterThan(0);
  for (const bad of [-1, 0.5, Infinity, NaN]) {
    expect(eventRoom(parts, { ...time, wallUs: bad }, bytes)).toBeUndefined();
    expect(eventRoom(parts, { ...time, errorUs: bad }, bytes)).toBeUndefined();
    expect(eventRoom({ ...parts, line: bad }, time, bytes)).toBeUndefined();
  }
  expect(eventRoom({ ...parts, rule: "r".repeat(500) }, time, bytes)).toBeUndefined();
});
