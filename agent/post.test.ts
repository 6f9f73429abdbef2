import { describe, expect, test } from "bun:test";
import { limits } from "../shared/limits.ts";
import { syncRecord } from "../shared/record.ts";
import { FakeNetwork } from "../tests/fake_network.ts";
import { FakeClock, ordinary, settle } from "../tests/fixtures.ts";
import { type Frame, frameOf } from "./encoder.ts";
import { Outbox } from "./outbox.ts";
import { livePost, type Outcome, type PostOptions, shortPost } from "./post.ts";

const minute = 60_000;

function setUp(count = 0) {
  const clock = new FakeClock();
  const outbox = new Outbox();
  const network = new FakeNetwork();
  const acked: number[] = [];
  const flushes: number[] = [];
  let syncs = 0;
  const options: PostOptions = {
    url: "http://receiver/v1/logs",
    headers: { Authorization: "Bearer t", "Logmill-Source": "kmsg" },
    outbox,
    syncFrame: () => frameOf(syncRecord(0, 1_000, { wallUs: ++syncs, synced: false })),
    acked: ({ range }: Frame) => void acked.push(range!.first),
    flushMs: (ms) => void flushes.push(ms),
    clock,
    fetch: network.fetch,
  };
  for (let seq = 0; seq < count; seq++) void outbox.push(frameOf(ordinary(seq)));
  return { clock, outbox, network, acked, flushes, options };
}

/** Starts a POST; `outcome` is there once it has ended. */
function start(post: Promise<Outcome>) {
  const state: { outcome?: Outcome; ended: Promise<Outcome> } = { ended: post };
  void post.then((outcome) => state.outcome = outcome);
  return state;
}

describe("a live POST", () => {
  test("sends a clock record, what waits, and what comes, while it is open", async () => {
    const { outbox, network, options } = setUp(2);
    start(livePost(options, minute));
    await settle();
    expect(network.last.records.map(({ flag, seq }) => `${flag}${seq}`)).toEqual([
      "s0",
      "-0",
      "-1",
    ]);
    void outbox.push(frameOf(ordinary(2)));
    await settle();
    expect([network.last.seqs, network.last.ended]).toEqual([[0, 1, 2], false]);
    const { headers } = network.last;
    expect([headers.get("Content-Encoding"), headers.get("Logmill-Ack")]).toEqual(["zstd", "live"]);
    expect(headers.get("Logmill-Source")).toBe("kmsg");
  });

  test("moves exactly the frames whose decoded bytes are acknowledged", async () => {
    const { outbox, network, acked, options } = setUp(4);
    const post = start(livePost(options, minute));
    await settle();
    const [sync, ...ends] = network.last.frameEnds as [number, ...number[]];
    const steps: Array<[number, number[]]> = [
      [sync, []],
      [ends[0]! - 1, []],
      [ends[0]!, [0]],
      [ends[2]! - 1, [0, 1]],
      [ends[2]!, [0, 1, 2]],
    ];
    for (const [told, gone] of steps) {
      network.last.line({ acked: told });
      await settle();
      expect([told, acked]).toEqual([told, gone]);
    }
    expect([outbox.frames.length, post.outcome]).toEqual([1, undefined]);
    network.last.line({ acked: ends[2]!, error: "busy" });
    expect(await post.ended).toEqual({ kind: "failed", why: "busy" });
    expect(outbox.frames.map(({ range }) => range!.first)).toEqual([3]);
  });

  test("that knocks sends what waits when it is let in, or when no answer comes through", async () => {
    for (const answers of [true, false]) {
      const { clock, network, options } = setUp(2);
      start(livePost({ ...options, knocks: true }, minute));
      await clock.advance(limits.knockMs - 1);
      expect([network.last.records.length, network.last.seqs]).toEqual([1, []]);
      if (answers) network.last.line({ acked: 0 });
      else await clock.advance(1);
      await settle();
      expect([answers, network.last.seqs]).toEqual([answers, [0, 1]]);
    }
  });

  test("that knocks in vain has sent nothing that waits", async () => {
    const { clock, outbox, network, options } = setUp(2);
    network.onPost = (post) => post.status(503, '{"error":"busy"}', { "Retry-After": "7" });
    const outcome = await livePost({ ...options, knocks: true }, minute);
    await clock.advance(limits.knockMs);
    expect([outcome.kind, network.last.seqs, outbox.inFlight]).toEqual(["failed", [], 0]);
  });

  test("ends after its time, and is done when the receiver says so", async () => {
    const { clock, outbox, network, acked, options } = setUp(1);
    network.onPost = (post) => post.accept();
    const post = start(livePost(options, 12_345));
    await clock.advance(12_344);
    expect(network.last.ended).toBe(false);
    await clock.advance(1);
    expect(await post.ended).toEqual({ kind: "done" });
    expect([acked, outbox.frames.length]).toEqual([[0], 0]);
  });

  test("ends when the outbox has ended and is sent", async () => {
    const { outbox, network, acked, options } = setUp(1);
    network.onPost = (post) => post.accept();
    const post = start(livePost(options, minute));
    await settle();
    void outbox.push(frameOf(ordinary(1)));
    outbox.end();
    expect(await post.ended).toEqual({ kind: "done" });
    expect(acked).toEqual([0, 1]);
  });

  test("sends a clock record at each heartbeat", async () => {
    const { clock, network, options } = setUp();
    start(livePost(options, 10 * minute));
    await settle();
    for (let beat = 1; beat <= 4; beat++) {
      expect(network.last.records.length).toBe(beat);
      network.last.line({ acked: network.last.decodedBytes });
      await clock.advance(limits.heartbeatMs);
    }
    expect(network.last.records.every(({ flag }) => flag === "s")).toBe(true);
  });

  test("is given up when nothing comes back from what was sent: stalled", async () => {
    const { clock, outbox, network, options } = setUp(1);
    const post = start(livePost(options, 10 * minute));
    await clock.advance(limits.ackTimeoutMs);
    expect(post.outcome).toBeUndefined();
    await clock.advance(2_000);
    expect(post.outcome).toMatchObject({ kind: "failed", stalled: true });
    expect([network.last.aborted, outbox.frames.length]).toEqual([true, 1]);
  });

  test("that is answered early and then no more is stalled, too", async () => {
    const { clock, network, outbox, options } = setUp(1);
    const post = start(livePost(options, 10 * minute));
    await settle();
    network.last.line({ acked: network.last.decodedBytes });
    await clock.advance(20_000);
    expect(post.outcome).toBeUndefined(); // Nothing is on its way.
    void outbox.push(frameOf(ordinary(1)));
    await clock.advance(limits.ackTimeoutMs + 2_000);
    expect(post.outcome).toMatchObject({ kind: "failed", stalled: true });
  });

  test("takes no notice when the wall clock is set, forwards or back", async () => {
    for (const years of [50, -50]) {
      const { clock, network, options } = setUp(1);
      const post = start(livePost(options, 10 * minute));
      await settle();
      clock.setMs = years * 365 * 24 * 60 * minute;
      await clock.advance(limits.ackTimeoutMs - 1_000);
      expect(post.outcome).toBeUndefined();
      await clock.advance(3_000); // Set back by years, it once waited for as long.
      expect([years, post.outcome, network.last.aborted]).toMatchObject([
        years,
        { stalled: true },
        true,
      ]);
    }
  });

  test("stops at an early refusal, whatever it was sending", async () => {
    const { outbox, network, options } = setUp(3);
    network.onPost = (post) => post.status(503, '{"error":"busy"}', { "Retry-After": "7" });
    expect(await livePost(options, minute)).toEqual({
      kind: "failed",
      why: '503 {"error":"busy"}',
      retryAfterMs: 7_000,
    });
    expect([network.last.aborted, outbox.frames.length]).toEqual([true, 3]);
  });

  test("fails when the connection is cut, and keeps what was acknowledged", async () => {
    const { outbox, network, acked, options } = setUp(2);
    const post = start(livePost(options, minute));
    await settle();
    network.last.line({ acked: network.last.frameEnds[1]! });
    await settle();
    network.last.breakOff();
    expect(await post.ended).toEqual({ kind: "failed", why: "the answer ended early" });
    expect([acked, outbox.frames.length]).toEqual([[0], 1]);
    network.onPost = (p) => p.fail("connection refused");
    expect(await livePost(options, minute))
      .toEqual({ kind: "failed", why: "connection refused", stalled: false });
  });

  test("passes on the flush time that the receiver asks for", async () => {
    const { network, flushes, options } = setUp();
    start(livePost(options, minute));
    await settle();
    network.last.line({ acked: 0, flush_ms: 3_000 });
    await settle();
    expect(flushes).toEqual([3_000]);
  });

  test("takes the page of a captive portal for no answer", async () => {
    const { outbox, network, options } = setUp(1);
    network.onPost = (post) => post.line("<html>Please log in</html>\n");
    expect(await livePost(options, minute)).toMatchObject({ kind: "failed", stalled: true });
    expect(outbox.frames.length).toBe(1);
  });

  test.each([
    ["bad_frame", "refused"],
    ["bad_header", "refused"],
    ["frame_too_large", "refused"],
    ["body_too_large", "refused"],
    ["unsupported_encoding", "refused"],
    ["busy", "failed"],
    ["storage", "failed"],
    ["stopping", "failed"],
    ["revoked", "failed"],
    ["cut_off", "failed"],
    ["internal", "failed"],
    ["a_code_of_next_year", "failed"],
  ])("that ends with the error %s is %s", async (error, kind) => {
    const { network, options } = setUp(1);
    network.onPost = (post) => post.line({ acked: 0, error });
    expect(await livePost(options, minute)).toEqual({ kind, why: error } as Outcome);
  });
});

describe("a short POST", () => {
  test("sends a clock record and what waits, and the status answers for all of it", async () => {
    const { outbox, network, acked, options } = setUp(3);
    network.onPost = (post) => post.accept();
    expect(await shortPost(options, Infinity)).toEqual({ kind: "done" });
    expect(network.last.records.map(({ flag }) => flag)).toEqual(["s", "-", "-", "-"]);
    expect(network.last.headers.get("Logmill-Ack")).toBe("end");
    expect([acked, outbox.frames.length]).toEqual([[0, 1, 2], 0]);
  });

  test("sends no more frames than asked for", async () => {
    const { outbox, network, options } = setUp(3);
    network.onPost = (post) => post.accept();
    await shortPost(options, 1);
    expect([network.last.seqs, outbox.frames.length]).toEqual([[0], 2]);
  });

  test("moves nothing for the 200 of a captive portal", async () => {
    for (const page of ["<html>Please log in</html>", "", '{"ok":true}', '{"acked":0}']) {
      const { outbox, network, acked, options } = setUp(2);
      network.onPost = (post) => post.status(200, page);
      expect(await shortPost(options, Infinity)).toMatchObject({ kind: "failed" });
      expect([acked, outbox.frames.length]).toEqual([[], 2]);
    }
  });

  test("is given up when no status comes: stalled", async () => {
    const { clock, network, options } = setUp(1);
    const post = start(shortPost(options, Infinity));
    await clock.advance(limits.ackTimeoutMs + 2_000);
    expect(post.outcome).toMatchObject({ kind: "failed", stalled: true });
    expect(network.last.aborted).toBe(true);
  });
});

describe("a status", () => {
  test.each([400, 413, 415])("of %d is about this batch", async (status) => {
    const { network, options } = setUp(1);
    network.onPost = (post) => post.status(status, "no");
    for (const post of [livePost(options, minute), shortPost(options, 1)]) {
      expect(await post).toEqual({ kind: "refused", why: `${status} no` });
    }
  });

  test.each([204, 301, 401, 403, 404, 408, 429, 500, 502, 503, 504])(
    "of %d is no network now",
    async (status) => {
      const { network, outbox, options } = setUp(1);
      network.onPost = (post) => post.response.resolve(new Response(null, { status }));
      for (const post of [livePost(options, minute), shortPost(options, 1)]) {
        expect(await post).toEqual({ kind: "failed", why: `${status} ` });
      }
      expect(outbox.frames.length).toBe(1);
    },
  );

  test("of 401 tells the server's time, and no other does", async () => {
    const { network, options } = setUp(1);
    const headers = { "Date": "Sun, 22 Nov 2026 12:34:56 GMT" };
    const serverMs = Date.UTC(2026, 10, 22, 12, 34, 56);
    network.onPost = (post) => post.status(401, "", headers);
    expect(await livePost(options, minute)).toEqual({ kind: "failed", why: "401 ", serverMs });
    network.onPost = (post) => post.status(403, "", headers);
    expect(await livePost(options, minute)).toEqual({ kind: "failed", why: "403 " });
  });

  test("with a page of any length is told in few words", async () => {
    const { network, options } = setUp(1);
    network.onPost = (post) => post.status(502, "x".repeat(1_000_000));
    const { why } = await livePost(options, minute) as { why: string };
    expect(why.length).toBeLessThan(400);
  });
});
