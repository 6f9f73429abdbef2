import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { gapRecord } from "../shared/record.ts";
import { ordinary, settle } from "../tests/fixtures.ts";
import { type Frame, frameOf } from "./encoder.ts";
import { Outbox } from "./outbox.ts";

const frame = (seq: number) => frameOf(ordinary(seq));
const sized = (decodedBytes: number): Frame => ({
  bytes: new Uint8Array(0),
  decodedBytes,
  gaps: [],
});

/** Whether a promise has been kept. */
function track(promise: Promise<void>) {
  const state = { kept: false };
  void promise.then(() => state.kept = true);
  return state;
}

describe("an outbox", () => {
  test("keeps frames in order, and gives the oldest away", () => {
    const outbox = new Outbox();
    for (const seq of [0, 1, 2]) void outbox.push(frame(seq));
    expect(outbox.shift().range!.first).toBe(0);
    expect(outbox.frames.map(({ range }) => range!.first)).toEqual([1, 2]);
  });

  test("lets sources wait while it holds all that it may", async () => {
    const outbox = new Outbox();
    const room = limits.unackedBytesMax - limits.flushBytes;
    const fits = track(outbox.push(sized(room)));
    await settle();
    expect(fits.kept).toBe(true);
    const pushes = [track(outbox.push(sized(1))), track(outbox.push(sized(2)))];
    await settle();
    expect(pushes.map(({ kept }) => kept)).toEqual([false, false]);
    outbox.shift();
    await settle();
    expect(pushes.map(({ kept }) => kept)).toEqual([true, true]);
  });

  test("tells of each change: a frame more, a frame less, the end", async () => {
    const outbox = new Outbox();
    const changes = [() => void outbox.push(frame(0)), () => outbox.shift(), () => outbox.end()];
    for (const change of changes) {
      const told = track(outbox.changed());
      await settle();
      expect(told.kept).toBe(false);
      change();
      await settle();
      expect(told.kept).toBe(true);
    }
    expect(outbox.ended).toBe(true);
  });

  test("counts the bytes of the frame that took another's place", async () => {
    const outbox = new Outbox();
    const waiting = track(outbox.push(sized(limits.unackedBytesMax)));
    outbox.replaceOldest(frameOf(gapRecord(0, 1, { count: 1, cause: "refused" })));
    outbox.end();
    await settle();
    expect(waiting.kept).toBe(true);
    expect([outbox.frames.length, outbox.shift().range]).toEqual([1, undefined]);
    const next = track(outbox.push(sized(limits.unackedBytesMax - limits.flushBytes)));
    await settle();
    expect(next.kept).toBe(true);
  });
});
