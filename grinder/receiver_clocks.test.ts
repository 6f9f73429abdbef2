import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { noonUs } from "./fixtures.ts";
import { MemoryFacts } from "./memory_facts.ts";
import { ReceiverClocks } from "./receiver_clocks.ts";

/** So many devices say what time it is; the receiver is late, or early, by so many seconds. */
function hear(
  clocks: ReceiverClocks,
  devices: number,
  offS: number,
  from = 0,
  synced = true,
): void {
  for (let i = from; i < from + devices; i++) {
    clocks.sync("r1", `d${i}`, { wallUs: noonUs, synced }, noonUs + (offS + 0.05) * 1e6);
  }
}

describe("receivers' clocks", () => {
  test("are right, as long as devices don't say otherwise", () => {
    const clocks = new ReceiverClocks(new MemoryFacts());
    expect(clocks.skewUs("r1")).toBe(0);
    hear(clocks, 50, 0);
    hear(clocks, 20, 1.5);
    expect(clocks.skewUs("r1")).toBe(0);
  });

  test("are off by what most synchronised devices say", () => {
    for (const offS of [600, -600, -0.5, 30]) {
      const clocks = new ReceiverClocks(new MemoryFacts());
      hear(clocks, 10, offS);
      expect(clocks.skewUs("r1")).toBe(offS * 1e6);
      expect(clocks.skewUs("r2")).toBe(0);
    }
  });

  test("aren't off by what few devices say, or by what those say that don't know", () => {
    const clocks = new ReceiverClocks(new MemoryFacts());
    hear(clocks, limits.receiverSamplesMin - 1, 600);
    hear(clocks, 100, 600, 0, false);
    expect(clocks.skewUs("r1")).toBe(0);
    const mixed = new ReceiverClocks(new MemoryFacts());
    hear(mixed, 20, 600);
    hear(mixed, 21, 0, 20);
    expect(mixed.skewUs("r1")).toBe(0);
  });

  test("are forgotten once they were set right, and the same after a kill", () => {
    const facts = new MemoryFacts();
    let clocks = new ReceiverClocks(facts);
    for (let i = 0; i < 500; i++) hear(clocks, 1, 600, i);
    facts.save(clocks);
    clocks = new ReceiverClocks(facts);
    expect(clocks.skewUs("r1")).toBe(600e6);
    const [[, text]] = facts.all("receiver_clock") as [[string, string]];
    expect(JSON.parse(text).length).toBe(limits.receiverSamplesMax);
    hear(clocks, limits.receiverSamplesMax, 0);
    expect(clocks.skewUs("r1")).toBe(0);
  });
});
