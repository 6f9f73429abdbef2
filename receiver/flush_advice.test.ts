import { expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { FlushAdvice } from "./flush_advice.ts";

function setUp() {
  const at = { cpuMs: 0, nowMs: 0 };
  const advice = new FlushAdvice(() => at);
  advice.look(false);
  /** Seconds in each of which so many ms of a core are used. */
  const pass = (seconds: number, cpuMs: number, short = false, eachMs = 1_000) => {
    for (let second = 0; second < seconds; second++) {
      at.nowMs += eachMs;
      at.cpuMs += cpuMs;
      advice.look(short);
    }
    return advice.flushMs;
  };
  return { advice, pass };
}

test("an idle receiver asks for the usual flush time", () => {
  const { advice, pass } = setUp();
  expect(advice.flushMs).toBe(limits.flushMs);
  expect(pass(20, 100)).toBe(limits.flushMs);
});

test("a busy one asks for more and more, up to the most there is", () => {
  const { pass } = setUp();
  expect(pass(1, 900)).toBe(limits.flushMs * 2);
  expect(pass(1, 900)).toBe(limits.flushMs * 4);
  expect(pass(30, 900)).toBe(limits.flushAskedMsMax);
});

test("one that has found its pace keeps it, and comes back when it has less to do", () => {
  const { pass } = setUp();
  const busyMs = pass(5, 900);
  expect(pass(60, 450)).toBe(busyMs);
  expect(pass(1, 100)).toBeLessThan(busyMs);
  expect(pass(60, 100)).toBe(limits.flushMs);
});

test("one whose memory gets short asks for more, however idle it is", () => {
  const { pass } = setUp();
  expect(pass(3, 10, true)).toBeGreaterThan(3 * limits.flushMs);
});

test("one that can't even look in time asks for more, however little it gets of a core", () => {
  const { pass } = setUp();
  expect(pass(1, 100, false, 1_400)).toBe(limits.flushMs);
  expect(pass(2, 100, false, 1_600)).toBe(limits.flushMs * 4);
});
