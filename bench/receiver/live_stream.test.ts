import { expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { LogFrames } from "./frames.ts";
import { Latencies } from "./latencies.ts";
import { type Fleet, LiveStream, Totals } from "./live_stream.ts";

const head = new Uint8Array(7);

/** One stream of 20 units of 100 ms that began a second ago, and what it does to its surroundings. */
function rig(unitEnd = 20, knocks = false) {
  const seen = {
    written: [] as number[],
    connects: 0,
    planned: [] as number[],
    ended: 0,
    closes: 0,
  };
  const frames = new LogFrames(8_000, 100);
  const fleet: Fleet = {
    frames,
    unitMs: 100,
    unitsMax: 8,
    latencies: new Latencies(),
    totals: new Totals(),
    head: () => head,
    connect: () => void seen.connects++,
    schedule: (atMs) => void seen.planned.push(atMs),
    ended: () => void seen.ended++,
  };
  const startMs = performance.now() - 1_000;
  const stream = new LiveStream(0, fleet, startMs, 0, unitEnd, knocks);
  const wire = {
    write: (bytes: Uint8Array) => void seen.written.push(bytes.length),
    close: () => {
      seen.closes++;
      stream.closed("closed");
    },
  };
  const open = () => {
    stream.opened(wire);
    stream.status(200, () => undefined);
  };
  return { seen, frames, fleet, stream, open, startMs };
}

test("LiveStream sends what was said, then each unit when it is over", () => {
  const { seen, fleet, stream, open, startMs } = rig();
  open();
  expect(fleet.totals.frames).toBe(10);
  expect(seen.written).toEqual([head.length, fleet.totals.wireBytes]);
  stream.due(startMs + 1_050);
  expect(fleet.totals.frames).toBe(10);
  stream.due(startMs + 1_100);
  expect(fleet.totals.frames).toBe(11);
});

test("LiveStream sends again only what wasn't acknowledged", () => {
  const { frames, fleet, stream, open } = rig(10);
  open();
  const acked = frames.frame(0, 1)!.decodedBytes + frames.frame(1, 2)!.decodedBytes;
  stream.line(`{"acked":${acked},"error":"busy"}`);
  expect(stream.acked).toEqual([0, frames.linesBefore(2)]);
  expect(fleet.totals.refused).toEqual({ busy: 1 });
  open();
  expect(fleet.totals.frames).toBe(10);
  stream.line('{"acked":0}');
  expect(fleet.totals.frames).toBe(10 + 8);
  expect(fleet.totals.resentRecords).toBe(frames.linesBefore(10) - frames.linesBefore(2));
});

test("LiveStream that knocks sends what waits when it is let in, or when no answer comes through", () => {
  for (const answers of [true, false]) {
    const { seen, fleet, stream, open } = rig(10, true);
    open();
    stream.due(performance.now() + limits.knockMs - 100);
    expect(seen.written).toEqual([head.length]);
    if (answers) stream.line('{"acked":0}');
    else stream.due(performance.now() + limits.knockMs);
    stream.line('{"acked":0}');
    expect([answers, fleet.totals.frames, seen.written.length]).toEqual([answers, 10, 2]);
  }
});

test("LiveStream that was cut comes back after its back-off and not when its next frame is due", () => {
  const { seen, stream, open, startMs } = rig();
  open();
  expect(seen.planned).toEqual([startMs + 1_100]);
  const beforeMs = performance.now();
  stream.status(503, (name) => name === "Retry-After" ? "5" : undefined);
  stream.line('{"error":"busy"}');
  const backMs = seen.planned.at(-1)!;
  expect(backMs).toBeGreaterThanOrEqual(beforeMs + 5_000);
  stream.due(startMs + 1_100);
  expect(seen.connects).toBe(0);
  stream.due(backMs);
  stream.due(backMs);
  expect(seen.connects).toBe(1);
});

test("LiveStream makes frames as large as it is asked for", () => {
  const { fleet, stream, open, startMs } = rig(40);
  open();
  stream.line('{"acked":0,"flush_ms":400}');
  stream.due(startMs + 4_000);
  // 30 units: at most three until they are aligned, then 4 at a time.
  expect(fleet.totals.frames - 10).toBeGreaterThanOrEqual(8);
  expect(fleet.totals.frames - 10).toBeLessThanOrEqual(9);
  expect(fleet.totals.flushMs).toEqual({ "400": 1 });
});

test("LiveStream gives up a connection on which nothing is acknowledged", () => {
  const { seen, fleet, stream, open } = rig();
  open();
  stream.giveUpWhenStalled(performance.now() + 14_000);
  expect(seen.closes).toBe(0);
  stream.giveUpWhenStalled(performance.now() + 15_001);
  expect(seen.closes).toBe(1);
  expect(fleet.totals.refused).toEqual({ stalled: 1 });
});

test("LiveStream ends once all is acknowledged", () => {
  const { seen, fleet, stream, open } = rig(10);
  open();
  stream.line(`{"acked":${fleet.totals.sentBytes},"done":true}`);
  expect(stream.done).toBe(true);
  expect(seen.ended).toBe(1);
  expect(fleet.totals).toMatchObject({ open: 0, broken: {}, refused: {} });
  expect(fleet.totals.ackedBytes).toBe(fleet.totals.sentBytes);
});
