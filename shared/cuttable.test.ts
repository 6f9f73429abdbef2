import { describe, expect, test } from "bun:test";
import { cuttable } from "./cuttable.ts";

/** A body that the test writes, and what became of it. */
function openBody() {
  const seen = { pulls: 0, cancelled: [] as unknown[] };
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const stream = new ReadableStream<Uint8Array>({
    start: (c) => void (controller = c),
    pull: () => void seen.pulls++,
    cancel: (reason) => void seen.cancelled.push(reason),
  }, { highWaterMark: 0 });
  return { stream, seen, send: (n: number) => controller.enqueue(Uint8Array.of(n)), controller };
}

const reason = new Error("revoked");

describe("a cuttable stream", () => {
  test("passes all chunks and the end on, and tells of each chunk", async () => {
    const { stream, seen, send, controller } = openBody();
    let chunks = 0;
    const reader = cuttable(stream, new AbortController().signal, () => chunks++);
    send(1);
    send(2);
    controller.close();
    expect((await reader.next()).value).toEqual(Uint8Array.of(1));
    expect((await reader.next()).value).toEqual(Uint8Array.of(2));
    expect((await reader.next()).done).toBe(true);
    expect([chunks, seen.cancelled]).toEqual([2, []]);
  });

  test("asks for nothing before it is asked", async () => {
    const { stream, seen, send } = openBody();
    const reader = cuttable(stream, new AbortController().signal);
    await Promise.resolve();
    expect(seen.pulls).toBe(0);
    const read = reader.next();
    send(1);
    await read;
    expect(seen.pulls).toBeLessThanOrEqual(1);
  });

  test("fails with the signal's reason in the middle of a wait, and cancels the body", async () => {
    const { stream, seen } = openBody();
    const cut = new AbortController();
    const read = cuttable(stream, cut.signal).next();
    cut.abort(reason);
    await expect(read).rejects.toBe(reason);
    expect(seen.cancelled).toEqual([reason]);
  });

  test("fails between two reads as well, and never says that the sender had finished", async () => {
    const { stream, seen, send } = openBody();
    const cut = new AbortController();
    const reader = cuttable(stream, cut.signal);
    send(1);
    await reader.next();
    cut.abort(reason);
    await expect(reader.next()).rejects.toBe(reason);
    expect(seen.cancelled).toEqual([reason]);
  });

  test("of a signal that is aborted already fails at the first read", async () => {
    const { stream, seen } = openBody();
    const cut = new AbortController();
    cut.abort(reason);
    await expect(cuttable(stream, cut.signal).next()).rejects.toBe(reason);
    expect(seen.cancelled).toEqual([reason]);
  });

  test("passes the body's own error on", async () => {
    const { stream, controller } = openBody();
    const cut = new AbortController();
    const read = cuttable(stream, cut.signal).next();
    const broken = new Error("connection closed");
    controller.error(broken);
    await expect(read).rejects.toBe(broken);
    cut.abort(reason); // Too late: nothing is left to be cancelled.
  });

  test("cancels the body when its reader stops in the middle, and a later cut does no harm", async () => {
    const { stream, seen, send } = openBody();
    const cut = new AbortController();
    send(1);
    for await (const _ of cuttable(stream, cut.signal)) break;
    cut.abort(reason);
    expect(seen.cancelled).toEqual([undefined]);
  });
});
