import { describe, expect, test } from "bun:test";
import { IntervalSet } from "../shared/intervals.ts";
import { limits } from "../shared/limits.ts";
import { forEachRecord, gapRecord, type LogRecord, parseGap } from "../shared/record.ts";
import { readUploadFrame } from "../shared/upload.ts";
import { ordinary, settle } from "../tests/fixtures.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { type Frame, frameOf } from "./encoder.ts";
import { Outbox } from "./outbox.ts";

const frame = (seq: number) => frameOf(ordinary(seq));
/** A frame that takes so many bytes, of the ordinary records `first` to `last`. */
const sized = (bytes: number, first = 0, last = first): Frame => ({
  bytes: new Uint8Array(bytes),
  decodedBytes: bytes,
  range: { first, last, count: last - first + 1 },
  gaps: [],
});
const kib = 1024;

function recordsOf(frame: Frame): LogRecord[] {
  const records: LogRecord[] = [];
  const text = Buffer.from(readUploadFrame(frame.bytes).records).toString("latin1");
  forEachRecord(text, (record) => records.push(record), () => {});
  return records;
}

/** Seqs as they stand in the outbox: a number, or the gap that stands for others. */
function contents(outbox: Outbox): Array<number | string> {
  return outbox.frames.flatMap((frame): Array<number | string> => {
    if (frame.range) return [frame.range.first];
    return recordsOf(frame).map((record) => {
      const { first, last, count, cause } = parseGap(record)!;
      return `${cause} ${first}-${last}: ${count}`;
    });
  });
}

describe("an outbox", () => {
  test("keeps frames in order, and gives the oldest away", () => {
    const outbox = new Outbox();
    for (const seq of [0, 1, 2]) outbox.push(frame(seq));
    expect(outbox.shift().range!.first).toBe(0);
    expect(outbox.frames.map(({ range }) => range!.first)).toEqual([1, 2]);
  });

  test("is full before a read of the source could overfill it", () => {
    const outbox = new Outbox();
    outbox.push(sized(limits.spoolBytesMax - 3 * limits.flushBytes));
    expect(outbox.full).toBe(false);
    outbox.push(sized(2 * limits.flushBytes));
    expect(outbox.full).toBe(true);
    outbox.shift();
    expect(outbox.full).toBe(false);
  });

  test("tells of each change: a frame more, a frame less, the end", async () => {
    const outbox = new Outbox();
    for (const change of [() => outbox.push(frame(0)), () => outbox.shift(), () => outbox.end()]) {
      let told = false;
      void outbox.changed().then(() => told = true);
      await settle();
      expect(told).toBe(false);
      change();
      await settle();
      expect(told).toBe(true);
    }
    expect(outbox.ended).toBe(true);
  });

  test("counts the bytes of the frame that took another's place", () => {
    const outbox = new Outbox();
    outbox.push(sized(100 * kib));
    const before = outbox.bytes;
    const gap = frameOf(gapRecord(0, 1, { count: 1, cause: "refused" }));
    outbox.replaceOldest(gap);
    expect(outbox.bytes).toBe(before - 100 * kib + gap.bytes.length);
    outbox.shift();
    expect(outbox.bytes).toBe(0);
  });
});

describe("an outbox without room", () => {
  const full = (count: number, options = {}) => {
    const evicted: number[] = [];
    const outbox = new Outbox({
      bytesMax: 10 * 11 * kib,
      evicted: (records) => evicted.push(records),
      ...options,
    });
    for (let seq = 0; seq < count; seq++) outbox.push(sized(10 * kib, seq));
    return { outbox, evicted };
  };

  test("evicts the middle: the oldest half stays, and the newest; one gap says what is missing", () => {
    const { outbox, evicted } = full(30);
    const kept = contents(outbox);
    expect(kept).toEqual([0, 1, 2, 3, 4, "evicted 5-24: 20", 25, 26, 27, 28, 29]);
    expect(evicted.reduce((sum, count) => sum + count)).toBe(20);
  });

  test("leaves what is on its way where it is", () => {
    const { outbox } = full(10);
    outbox.inFlight = 8;
    for (let seq = 10; seq < 14; seq++) outbox.push(sized(10 * kib, seq));
    expect(contents(outbox).slice(0, 9)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, "evicted 8-11: 4"]);
    outbox.inFlight = 14;
    expect(outbox.evictable).toBe(false);
  });

  test("doesn't change a gap that is on its way: what goes later gets one of its own", () => {
    const { outbox } = full(12);
    expect(contents(outbox)[5]).toBe("evicted 5-6: 2");
    outbox.inFlight = 6;
    for (let seq = 12; seq < 15; seq++) outbox.push(sized(10 * kib, seq));
    const gaps = contents(outbox).filter((item) => typeof item === "string");
    expect(gaps).toEqual(["evicted 5-6: 2", "evicted 7-9: 3"]);
  });

  test("leaves one gap where a small frame follows the first that went", () => {
    // It once fitted into the older half, and the next eviction began behind it.
    const outbox = new Outbox({ bytesMax: 100 * kib });
    for (let seq = 0; seq < 20; seq++) outbox.push(sized((seq === 6 ? 1 : 9) * kib, seq));
    expect(contents(outbox).filter((item) => typeof item === "string").length).toBe(1);
  });

  test("joins gaps that were apart while one was on its way", () => {
    const { outbox } = full(12);
    outbox.inFlight = 6;
    for (let seq = 12; seq < 15; seq++) outbox.push(sized(10 * kib, seq));
    outbox.inFlight = 0;
    for (let seq = 15; seq < 18; seq++) outbox.push(sized(10 * kib, seq));
    const gaps = contents(outbox).filter((item) => typeof item === "string");
    expect(gaps).toEqual(["evicted 5-12: 8"]);
  });

  test("says again the gaps that evicted frames had in them", () => {
    const { outbox } = full(5);
    const gap = gapRecord(5, 1, { first: 3, last: 4, count: 2, cause: "overrun" });
    outbox.push({ ...sized(10 * kib, 5), gaps: [gap] });
    for (let seq = 6; seq < 16; seq++) outbox.push(sized(10 * kib, seq));
    expect(contents(outbox).slice(5, 7)).toEqual(["overrun 3-4: 2", "evicted 5-10: 6"]);
  });

  test("holds or explains every record, whatever comes and goes", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = seededRandom(seed);
      const bytesMax = 200 * kib;
      const outbox = new Outbox({ bytesMax });
      const told = new IntervalSet();
      let next = 0;
      const take = (frame: Frame) => {
        if (frame.range) return void told.add(frame.range.first, frame.range.last);
        for (const record of recordsOf(frame)) {
          const { first, last } = parseGap(record)!;
          told.add(first!, last as number);
        }
      };
      for (let step = 0; step < 300; step++) {
        const last = next + Math.floor(random() * 20);
        outbox.push(sized(Math.ceil(random() * 20 * kib), next, last));
        next = last + 1;
        outbox.inFlight = Math.min(outbox.frames.length, outbox.inFlight);
        if (random() < 0.1) outbox.inFlight = Math.floor(random() * 4);
        for (let acked = random() < 0.1 ? Math.floor(random() * 5) : 0; acked > 0; acked--) {
          if (outbox.inFlight === 0) break;
          outbox.inFlight--;
          take(outbox.shift());
        }
        expect(outbox.bytes).toBeLessThanOrEqual(bytesMax);
      }
      while (outbox.frames.length > 0) take(outbox.shift());
      expect(told.intervals()).toEqual([[0, next - 1]]);
    }
  });
});
