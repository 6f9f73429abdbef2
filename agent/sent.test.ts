import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { syncRecord } from "../shared/record.ts";
import { ordinary } from "../tests/fixtures.ts";
import { type Frame, frameOf } from "./encoder.ts";
import { Outbox } from "./outbox.ts";
import { Sent } from "./sent.ts";

const sync = frameOf(syncRecord(0, 1, { wallUs: 1, synced: false }));

function setUp(count: number) {
  const outbox = new Outbox();
  const frames = Array.from({ length: count }, (_, seq) => frameOf({ ...ordinary(seq), usec: 1 }));
  for (const frame of frames) void outbox.push(frame);
  const clock = { ms: 1_000 };
  const acked: number[] = [];
  const note = ({ range }: Frame) => void acked.push(range!.first);
  return { outbox, frames, clock, acked, sent: new Sent(outbox, note, () => clock.ms) };
}

describe("what one POST has sent", () => {
  test("leaves the outbox frame by frame, exactly as far as it is acknowledged", () => {
    const { outbox, frames, acked, sent } = setUp(4);
    const bytes = frames[0]!.decodedBytes;
    sent.sendOnce(sync);
    for (let i = 0; i < 3; i++) sent.sendNext();
    sent.ack(sync.decodedBytes + bytes - 1);
    expect(acked).toEqual([]);
    sent.ack(sync.decodedBytes + bytes);
    expect(acked).toEqual([0]);
    sent.ack(sync.decodedBytes + 3 * bytes - 1);
    expect(acked).toEqual([0, 1]);
    sent.ack(sync.decodedBytes + 3 * bytes);
    expect(acked).toEqual([0, 1, 2]);
    expect([outbox.frames.length, sent.next, sent.waiting]).toEqual([1, frames[3], 0]);
  });

  test("isn't moved by an acknowledgement that says less, or the same again", () => {
    const { frames, acked, sent } = setUp(2);
    const bytes = frames[0]!.decodedBytes;
    sent.sendNext();
    sent.sendNext();
    for (const told of [bytes, bytes, 0, bytes - 1]) sent.ack(told);
    expect(acked).toEqual([0]);
  });

  test("is the limit of what can be acknowledged", () => {
    const { acked, outbox, sent } = setUp(3);
    sent.sendNext();
    sent.ack(Number.MAX_SAFE_INTEGER);
    expect([acked, outbox.frames.length]).toEqual([[0], 2]);
  });

  test("holds clock records, which leave nothing behind", () => {
    const { acked, frames, sent } = setUp(1);
    const bytes = frames[0]!.decodedBytes;
    sent.sendNext();
    sent.sendOnce(sync);
    sent.ack(bytes);
    expect([acked, sent.waiting]).toEqual([[0], 1]);
    sent.ack(bytes + sync.decodedBytes);
    expect([acked, sent.waiting]).toEqual([[0], 0]);
  });

  test("is stalled when something is on its way and nothing came back for too long", () => {
    const { clock, frames, sent } = setUp(3);
    clock.ms += 2 * limits.ackTimeoutMs;
    expect(sent.stalled).toBe(false); // Nothing is on its way.
    sent.sendNext();
    clock.ms += limits.ackTimeoutMs;
    sent.sendNext();
    expect(sent.stalled).toBe(false);
    clock.ms += 1;
    expect(sent.stalled).toBe(true); // What was sent later gives the first no more time.
    sent.ack(frames[0]!.decodedBytes);
    expect(sent.stalled).toBe(false);
    clock.ms += limits.ackTimeoutMs + 1;
    expect(sent.stalled).toBe(true);
  });
});
