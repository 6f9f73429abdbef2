import { describe, expect, test } from "bun:test";
import { letGo, lettingGo } from "./let_go.ts";

const inUse = (bytes: Uint8Array) => bytes.buffer.byteLength;

describe("letting go", () => {
  test("frees a buffer of which all is given", () => {
    const bytes = new Uint8Array(1_000);
    letGo(bytes);
    expect([bytes.length, inUse(bytes)]).toEqual([0, 0]);
  });

  test("frees what lies around it, where that isn't needed either", () => {
    const text = new Uint8Array(1_000);
    letGo(text.subarray(10), text.length);
    expect(inUse(text)).toBe(0);
  });

  test("leaves a buffer of which others may have the rest, and shared memory", () => {
    const all = new Uint8Array(1_000);
    letGo(all.subarray(0, 999));
    letGo(all.subarray(1), 999);
    const shared = new Uint8Array(new SharedArrayBuffer(8));
    letGo(shared);
    expect([inUse(all), inUse(shared)]).toEqual([1_000, 8]);
  });

  test("is done with a frame once it has been decoded, and not with its text", () => {
    const frame = Uint8Array.of(1, 2, 3);
    const decode = lettingGo((given, size) => {
      expect([...given, size]).toEqual([1, 2, 3, 5]);
      return new Uint8Array(size);
    });
    expect(decode(frame, 5).length).toBe(5);
    expect(inUse(frame)).toBe(0);
  });
});
