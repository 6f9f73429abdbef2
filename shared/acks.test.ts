import { describe, expect, test } from "bun:test";
import { ackStream, formatAck, parseAck } from "./acks.ts";
import { limits } from "./limits.ts";
import { toText } from "./streams.ts";

describe("an acknowledgement line", () => {
  test("has the form in the table", () => {
    expect(formatAck({ acked: 7 })).toBe('{"acked":7}\n');
    expect(formatAck({ acked: 7, flush_ms: 500 })).toBe('{"acked":7,"flush_ms":500}\n');
    expect(formatAck({ acked: 7, done: true })).toBe('{"acked":7,"done":true}\n');
    expect(formatAck({ acked: 7, error: "busy" })).toBe('{"acked":7,"error":"busy"}\n');
  });

  test("is read back, with fields that aren't known yet", () => {
    expect(parseAck('{"acked":7,"done":true}')).toEqual({ acked: 7, done: true });
    expect(parseAck('{"later":[1],"acked":0}')).toMatchObject({ acked: 0 });
  });

  test("isn't seen in what a proxy or a captive portal says", () => {
    const pages = [
      "",
      "<html>Please log in</html>",
      "null",
      "[]",
      "7",
      '"acked"',
      "{}",
      '{"acked":"7"}',
      '{"acked":-1}',
      '{"acked":1.5}',
      '{"acked":1e300}',
      '{"acked":null}',
      '{"ok":true}',
      '{"acked":7',
    ];
    for (const page of pages) expect([page, parseAck(page)]).toEqual([page, undefined]);
  });
});

/** An answer whose body is "received" by the test. */
function setUp(flushMs?: () => number) {
  let durable!: (bytes: number) => void;
  const stored = Promise.withResolvers<number>();
  const stream = ackStream(
    (told) => {
      durable = told;
      return stored.promise;
    },
    (error) => `code of ${(error as Error).message}`,
    flushMs,
  );
  return { durable, stored, stream };
}

describe("a stream of acknowledgements", () => {
  test("asks for another flush time once, and again when that changes", async () => {
    let flushMs: number = limits.flushMs;
    const { durable, stream } = setUp(() => flushMs);
    const reader = stream.pipeThrough(new TextDecoderStream() as never).getReader();
    const next = async () => parseAck((await reader.read()).value as string);
    const line = async (bytes: number, ms: number) => {
      flushMs = ms;
      durable(bytes);
      return await next();
    };
    expect(await next()).toEqual({ acked: 0 });
    expect(await line(1, limits.flushMs)).toEqual({ acked: 1 });
    expect(await line(2, 1_500)).toEqual({ acked: 2, flush_ms: 1_500 });
    expect(await line(3, 1_500)).toEqual({ acked: 3 });
    expect(await line(4, limits.flushMs)).toEqual({ acked: 4, flush_ms: limits.flushMs });
    await reader.cancel();
  });

  test("tells what came with the first at once, and the rest in one line a second", async () => {
    const { durable, stored, stream } = setUp();
    const reader = stream.pipeThrough(new TextDecoderStream() as never).getReader();
    const line = async () => parseAck((await reader.read()).value as string);
    expect(await line()).toEqual({ acked: 0 });
    durable(5);
    durable(10);
    expect(await line()).toEqual({ acked: 10 });
    const startMs = performance.now();
    for (const bytes of [20, 30, 40]) durable(bytes);
    expect(await line()).toEqual({ acked: 40 });
    expect(performance.now() - startMs).toBeGreaterThan(limits.ackIntervalMs * 0.95);
    durable(50);
    stored.resolve(50);
    expect(await line()).toEqual({ acked: 50, done: true });
    expect((await reader.read()).done).toBe(true);
  });

  test("lets the sender in at once, with the flush time of a busy receiver", async () => {
    const reader = setUp(() => 1_500).stream.pipeThrough(new TextDecoderStream() as never)
      .getReader();
    expect((await reader.read()).value).toBe('{"acked":0,"flush_ms":1500}\n');
    await reader.cancel();
  });

  test("says done with all the bytes, though there were none", async () => {
    const { stored, stream } = setUp();
    stored.resolve(0);
    expect(await toText(stream)).toBe('{"acked":0}\n{"acked":0,"done":true}\n');
  });

  test("ends with the error's code and what was durable before it", async () => {
    const { durable, stored, stream } = setUp();
    durable(10);
    durable(25);
    stored.reject(new Error("disk full"));
    expect(await toText(stream)).toBe('{"acked":0}\n{"acked":25,"error":"code of disk full"}\n');
  });

  test("whose reader has gone disturbs nobody", async () => {
    const { durable, stored, stream } = setUp();
    await stream.cancel();
    durable(10);
    durable(20);
    stored.resolve(20);
    await stored.promise;
  });
});
