import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { formatRecord, gapRecord, syncRecord } from "../shared/record.ts";
import { readUploadFrame } from "../shared/upload.ts";
import { decompressFrame } from "../shared/zstd.ts";
import { ordinary } from "../tests/fixtures.ts";
import { recordHash } from "./checkpoint.ts";
import { Encoder, type Frame, frameOf } from "./encoder.ts";

const textOf = ({ bytes, decodedBytes }: Frame) =>
  decompressFrame(bytes, decodedBytes).toString("latin1");

describe("a frame", () => {
  test("is this text, to the byte", () => {
    const encoder = new Encoder();
    encoder.add({ ...ordinary(7, "usb 1-1: new"), more: ["SUBSYSTEM=usb", "DEVICE=c189:1"] });
    encoder.add(gapRecord(10, 7_500, { first: 8, last: 9, count: 2, cause: "overrun" }));
    encoder.add({ ...ordinary(10, "caf\\xc3\\xa9"), prio: 30, flag: "c", fields: "caller=T1" });
    encoder.add(syncRecord(11, 8_000, { wallUs: 1_795_348_800_000_000, synced: true }));
    const frame = encoder.take();
    expect(textOf(frame)).toBe(
      "#0 7 10 2\n" +
        "6,7,7000,-;usb 1-1: new\n SUBSYSTEM=usb\n DEVICE=c189:1\n" +
        "4,10,7500,g,first=8,last=9,count=2,cause=overrun;logmill: 2 records missing, overrun\n" +
        "30,10,10000,c,caller=T1;caf\\xc3\\xa9\n" +
        "6,11,8000,s,wall_us=1795348800000000,synced=1;logmill: clock\n",
    );
    expect(frame.range).toEqual({ first: 7, last: 10, count: 2 });
    expect(frame.hash).toBe(recordHash({ prio: 30, usec: 10_000, text: "caf\\xc3\\xa9" }));
  });

  test("is read by the receiver as it was made", () => {
    const encoder = new Encoder();
    const records = Array.from({ length: 100 }, (_, i) => ordinary(50 + i, `\xff byte ${i}`));
    for (const record of records) encoder.add(record);
    const frame = encoder.take();
    const block = readUploadFrame(frame.bytes);
    expect(block.header).toEqual({ first: 50, last: 149, count: 100 });
    expect(block.decodedBytes).toBe(frame.decodedBytes);
    expect(Buffer.from(block.records).toString("latin1")).toBe(records.map(formatRecord).join(""));
  });

  test("of records about records counts none and has no range", () => {
    const gap = gapRecord(5, 1, { first: 0, last: 4, count: 5, cause: "lost" });
    const sync = syncRecord(0, 1, { wallUs: 1, synced: false });
    for (const record of [gap, sync]) {
      const frame = frameOf(record);
      expect(textOf(frame)).toStartWith("#0 0 0 0\n");
      expect([frame.range, frame.hash]).toEqual([undefined, undefined]);
    }
  });

  test("with records out of order has their lowest and highest seq", () => {
    const encoder = new Encoder();
    for (const seq of [5, 9, 7]) encoder.add(ordinary(seq));
    const frame = encoder.take();
    expect(frame.range).toEqual({ first: 5, last: 9, count: 3 });
    expect(frame.hash).toBe(recordHash(ordinary(9)));
  });

  test("holds nothing of the frame before it", () => {
    const encoder = new Encoder();
    encoder.add(ordinary(3));
    encoder.take();
    expect(encoder.empty).toBe(true);
    encoder.add(gapRecord(4, 1, { count: 1, cause: "ratelimit" }));
    expect(encoder.take().range).toBeUndefined();
    encoder.add(ordinary(9));
    expect(encoder.take().range).toEqual({ first: 9, last: 9, count: 1 });
  });
});

test("an encoder sends the transformed record, and keeps the hash of the one that came", () => {
  // The checkpoint's hash is looked for in the kernel's ring, which knows nothing of pseudonyms.
  const encoder = new Encoder((record) => ({ ...record, text: "changed" }));
  const gap = gapRecord(8, 1, { count: 1, cause: "lost" });
  for (const record of [ordinary(7, "secret"), gap]) encoder.add(record);
  const frame = encoder.take();
  expect(textOf(frame)).toBe(
    "#0 7 7 1\n6,7,7000,-;changed\n4,8,1,g,count=1,cause=lost;changed\n",
  );
  expect(frame.hash).toBe(recordHash(ordinary(7, "secret")));
  expect(frame.gaps).toEqual([gap]);
});

test("an encoder is full at flushBytes of text", () => {
  const encoder = new Encoder();
  const record = ordinary(0, "x".repeat(1_000));
  let bytes = 0;
  for (let seq = 0; !encoder.full; seq++) {
    expect(bytes).toBeLessThan(limits.flushBytes);
    encoder.add({ ...record, seq });
    bytes += formatRecord({ ...record, seq }).length;
  }
  expect(bytes).toBeGreaterThanOrEqual(limits.flushBytes);
  expect(encoder.take().decodedBytes).toBeLessThan(limits.flushBytes + 2_000);
});
