import { Buffer } from "node:buffer";
import { describe, expect, test } from "bun:test";
import { seededRandom } from "../tests/fleet/random.ts";
import { HeldBytes } from "./held_bytes.ts";

describe("held bytes", () => {
  test("equal a plain concatenation, whatever comes in and goes out", () => {
    const random = seededRandom(1);
    const below = (n: number) => Math.floor(random() * n);
    const held = new HeldBytes();
    let plain = Buffer.alloc(0);
    for (let step = 0; step < 5_000; step++) {
      const chunk = Buffer.alloc(below(random() < 0.1 ? 10_000 : 50), below(256));
      held.append(Buffer.from(chunk));
      plain = Buffer.concat([plain, chunk]);
      const gone = random() < 0.2 ? plain.length : below(Math.min(plain.length, 100) + 1);
      held.drop(gone);
      plain = plain.subarray(gone);
      expect(held.length).toBe(plain.length);
      expect(plain.equals(held.bytes)).toBe(true);
    }
  });

  test("give space back when little of it is used", () => {
    const held = new HeldBytes();
    held.append(Buffer.alloc(1_000_000));
    held.append(Buffer.alloc(10));
    held.drop(1_000_000);
    expect(held.bytes.buffer.byteLength).toBeLessThan(1_000);
  });
});
