import { expect, test } from "bun:test";
import { readUploadFrame } from "../../shared/upload.ts";
import { LogFrames } from "./frames.ts";

/** The zstd frame in a chunk of HTTP. */
function unchunk(chunk: Uint8Array): Uint8Array {
  const start = chunk.indexOf(10) + 1;
  const length = parseInt(new TextDecoder().decode(chunk.subarray(0, start)), 16);
  expect(chunk.length).toBe(start + length + 2);
  return chunk.subarray(start, start + length);
}

test("LogFrames makes frames that the receiver takes, of the rate asked for", () => {
  const frames = new LogFrames(8_000, 250);
  let bytes = 0;
  for (let unit = 0; unit < 40; unit++) {
    const frame = frames.frame(unit, unit + 1)!;
    const block = readUploadFrame(unchunk(frame.chunk));
    expect(block.decodedBytes).toBe(frame.decodedBytes);
    expect(block.header.count).toBe(frame.records);
    expect(block.records.toString()).toBe(frames.text(block.header.first, block.header.last));
    bytes += block.records.length;
  }
  expect(Math.abs(bytes - 80_000)).toBeLessThan(300);
});

test("LogFrames joins units without a hole", () => {
  const frames = new LogFrames(579, 200);
  expect(frames.linesBefore(0)).toBe(0);
  const all = readUploadFrame(unchunk(frames.frame(0, 50)!.chunk)).header;
  expect(all.first).toBe(0);
  const next = readUploadFrame(unchunk(frames.frame(50, 100)!.chunk)).header;
  expect(next.first).toBe(all.last + 1);
});

test("LogFrames has no frame where nothing was said", () => {
  const frames = new LogFrames(3, 200);
  const said = Array.from({ length: 100 }, (_, unit) => frames.frame(unit, unit + 1));
  expect(said.filter((frame) => frame === undefined).length).toBeGreaterThan(90);
  expect(said.some((frame) => frame !== undefined)).toBe(true);
});
