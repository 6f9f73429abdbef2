import { describe, expect, test } from "bun:test";
import { Cut } from "./cut.ts";

const outcome = (work: Promise<unknown>) => work.then((value) => value, (error) => `no: ${error}`);

describe("a cut", () => {
  test("tells its reason to who asked for its signal before, and after", () => {
    const [asked, later] = [new Cut(), new Cut()];
    const { signal } = asked;
    expect(signal.aborted).toBe(false);
    for (const cut of [asked, later]) {
      cut.abort("first");
      cut.abort("second");
      expect([cut.signal.aborted, cut.signal.reason]).toEqual([true, "first"]);
    }
    expect(asked.signal).toBe(signal);
  });

  test("ends a wait in the middle, and one that begins later", async () => {
    const cut = new Cut();
    const waits = outcome(cut.race(new Promise(() => {})));
    cut.abort("busy");
    expect(await waits).toBe("no: busy");
    expect(await outcome(cut.race(Promise.resolve(1)))).toBe("no: busy");
  });

  test("that doesn't come leaves what the work comes to, and does no harm later", async () => {
    const cut = new Cut();
    expect(await outcome(cut.race(Promise.resolve(1)))).toBe(1);
    expect(await outcome(cut.race(Promise.reject("bad")))).toBe("no: bad");
    cut.abort("busy");
  });
});
