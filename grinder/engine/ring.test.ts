import { Buffer } from "node:buffer";
import { expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { DigestWriter } from "./packed_digest.ts";
import { FrameRing, slotState } from "./ring.ts";

const frame = (text: string) => ({ bytes: Buffer.from(text), textBytes: 10 * text.length });

function digestOf(strings: string): DigestWriter {
  const digest = new DigestWriter();
  digest.begin();
  const ends = { firstUsec: 0, lastUsec: 0 };
  digest.block("exact", { recvUs: 1, first: 2, last: 3, count: 4 }, 5, ends);
  digest.text(Buffer.from(strings), 0, strings.length);
  digest.end();
  return digest;
}

test("a ring hands frames out in order, each once, and digests back, many times around", () => {
  const ring = new FrameRing();
  const other = new FrameRing(ring.memory);
  for (let round = 0; round < 3 * limits.frameSlots; round++) {
    const slots = ["a", "bb", "ccc"].map((text) => ring.put(frame(text + round)));
    const claimed = [other.claim()!, ring.claim()!, other.claim()!];
    expect([round, claimed, ring.claim()]).toEqual([round, slots, undefined]);
    for (const [i, slot] of [...claimed.entries()].reverse()) {
      const { bytes, textBytes } = other.frame(slot);
      const text = "abc"[i]!.repeat(i + 1) + round;
      expect([String(bytes), textBytes]).toEqual([text, 10 * text.length]);
      expect(ring.state(slot)).toBe(slotState.waiting);
      if (i === 1) other.fail(slot, slotState.bad);
      else other.finish(slot, digestOf(text));
    }
    expect(slots.map((slot) => ring.state(slot))).toEqual(
      [slotState.done, slotState.bad, slotState.done],
    );
    const { numbers, bytes } = ring.digest(slots[2]!);
    const right = digestOf(`ccc${round}`);
    expect([...numbers]).toEqual([...right.numbers.subarray(0, right.length)]);
    expect(String(bytes)).toStartWith(`ccc${round}`);
  }
});

test("a ring says of a digest that is too large that it must be made elsewhere", () => {
  const ring = new FrameRing();
  const slot = ring.put(frame("a"));
  ring.claim();
  ring.finish(slot, digestOf("x".repeat(limits.digestBytesMax)));
  expect(ring.state(slot)).toBe(slotState.tooLarge);
});

test("a ring that has ended gives what is left, and then nothing", () => {
  const ring = new FrameRing();
  const slot = ring.put(frame("a"));
  ring.end();
  expect([ring.claimNext(), ring.claimNext()]).toEqual([slot, undefined]);
});

test("a ring doesn't take a frame that is larger than any that a receiver stores", () => {
  const largest = Buffer.alloc(limits.uploadFrameBytesMax);
  expect(FrameRing.fits({ bytes: largest, textBytes: 1 })).toBe(true);
  expect(FrameRing.fits({ bytes: Buffer.concat([largest, largest]), textBytes: 1 })).toBe(false);
});
