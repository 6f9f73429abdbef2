import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { MemoryFacts } from "./memory_facts.ts";
import { type Undated, Waiting } from "./waiting.ts";

interface Event extends Undated {
  text: string;
}

const event = (usec: number, boot = "b1"): Event => ({
  ...{ device: "d1", boot, usec, recvUs: usec },
  text: `\u00e9 "${usec}"`,
});
const usecs = (events: Event[]) => events.map(({ usec }) => usec);
const all = () => true;

describe("waiting events", () => {
  test("are given when they are due, by boot, in the order in which they came", () => {
    const waiting = new Waiting<Event>(new MemoryFacts());
    for (const usec of [3, 1, 2]) expect(waiting.hold(event(usec))).toEqual([]);
    waiting.hold(event(9, "b2"));
    expect(waiting.has("d1 b1")).toBe(true);
    expect(waiting.has("d1 b3")).toBe(false);
    expect(usecs(waiting.take("d1 b1", ({ usec }) => usec !== 1))).toEqual([3, 2]);
    expect(usecs(waiting.take("d1 b1", ({ usec }) => usec !== 1))).toEqual([]);
    expect(usecs(waiting.takeAll(all))).toEqual([1, 9]);
    expect(waiting.has("d1 b1")).toBe(false);
  });

  test("survive a kill after their batch, each once", () => {
    const facts = new MemoryFacts();
    let waiting = new Waiting<Event>(facts);
    for (let usec = 0; usec < 12; usec++) waiting.hold(event(usec));
    facts.save(waiting);
    waiting.hold(event(99));
    waiting = new Waiting<Event>(facts);
    expect(waiting.take("d1 b1", ({ usec }) => usec < 2)).toEqual([event(0), event(1)]);
    waiting.hold(event(12));
    facts.save(waiting);
    waiting = new Waiting<Event>(facts);
    expect(usecs(waiting.takeAll(all))).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    facts.save(waiting);
    expect(facts.all("waiting")).toEqual([]);
  });

  test("are bounded: the oldest of a boot go, and of all boots those of the oldest", () => {
    const waiting = new Waiting<Event>(new MemoryFacts());
    for (let usec = 0; usec < limits.waitingOfBootMax; usec++) waiting.hold(event(usec));
    expect(usecs(waiting.hold(event(5000)))).toEqual([0]);
    let gone: Event[] = [];
    for (let i = 0; gone.length === 0; i++) gone = waiting.hold(event(i, `b${2 + (i >> 9)}`));
    expect(gone.length).toBe(limits.waitingOfBootMax);
    expect(gone.at(-1)!.usec).toBe(5000);
    expect(waiting.takeAll(all).length).toBe(limits.waitingMax + 1 - gone.length);
  });
});
