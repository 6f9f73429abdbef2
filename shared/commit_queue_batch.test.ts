import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { Batch } from "./commit_queue_batch.ts";
import { limits } from "./limits.ts";

const { frameTextBytesMax: max, frameTextBytesEnough: enough } = limits;
const newBatch = () => new Batch(() => new ArrayBuffer(max));
const ignore = () => {};

describe("a batch", () => {
  test("makes texts of enough and at most frameTextBytesMax, whole blocks in order", () => {
    const sizes = [enough - 1, 1, 1, max, 5, max - 5, enough - 1, enough + 1, enough - 1, max, 10];
    const blocks = sizes.map((size, i) => Buffer.alloc(size, 97 + i));
    const batch = newBatch();
    for (const block of blocks) batch.add([block.subarray(0, 3), block.subarray(3)], 0, ignore);
    const texts = batch.texts();
    expect(texts.map((text) => text.length))
      .toEqual([enough, 1, max, max, max, enough - 1, max, 10]);
    expect(Buffer.concat(texts).equals(Buffer.concat(blocks))).toBe(true);
    expect(batch.bytes).toBe(Buffer.concat(blocks).length);
  });

  test("of nothing has no text", () => {
    expect(newBatch().texts()).toEqual([]);
    const batch = newBatch();
    batch.add([new Uint8Array(0)], 0, ignore);
    expect(batch.texts()).toEqual([]);
    expect(batch.settled).toEqual([ignore]);
  });

  test("keeps nothing of the memory that a block came in", () => {
    const batch = newBatch();
    const block = Buffer.from([0xff, 0xfe, 0x00, 0x0a]);
    batch.add([block], 0, ignore);
    block.fill(0);
    expect([...batch.texts()[0]!]).toEqual([0xff, 0xfe, 0x00, 0x0a]);
  });

  test("begins each text at the beginning of its memory, which may have been used before", () => {
    const used = new SharedArrayBuffer(max);
    new Uint8Array(used).fill(1);
    const batch = new Batch(() => used);
    batch.add([Buffer.from("a\n")], 0, ignore);
    const [text] = batch.texts();
    expect([text!.buffer, text!.byteOffset, String.fromCharCode(...text!)])
      .toEqual([used, 0, "a\n"]);
  });

  test("tells of each text that is full while it fills the next", () => {
    const full: number[] = [];
    const batch = new Batch(() => new ArrayBuffer(max), (text) => full.push(text.length));
    const add = (bytes: number) => batch.add([new Uint8Array(bytes)], 0, ignore);
    add(enough - 1);
    expect(full).toEqual([]);
    add(1);
    expect(full).toEqual([enough]);
    add(10);
    add(max - 9);
    expect(full).toEqual([enough, 10, max - 9]);
    add(7);
    expect(batch.texts().map((text) => text.length)).toEqual([enough, 10, max - 9, 7]);
    expect(full).toEqual([enough, 10, max - 9]);
  });

  test("is as old as its first block", () => {
    const batch = newBatch();
    expect(batch.sinceMs).toBeUndefined();
    for (const atMs of [7, 8]) batch.add([Buffer.from("a\n")], atMs, ignore);
    expect(batch.sinceMs).toBe(7);
  });

  test("takes no block that is larger than a frame, and tells of none that it didn't take", () => {
    const batch = newBatch();
    expect(() => batch.add([new Uint8Array(max + 1)], 0, ignore)).toThrow(RangeError);
    expect([batch.settled, batch.bytes]).toEqual([[], 0]);
  });
});
