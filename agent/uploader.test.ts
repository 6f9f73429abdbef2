import { describe, expect, test } from "bun:test";
import { formatAck } from "../shared/acks.ts";
import { limits } from "../shared/limits.ts";
import { gapRecord, parseGap, parseSync } from "../shared/record.ts";
import { uploadBlocks } from "../shared/upload.ts";
import { FakeNetwork, type FakePost } from "../tests/fake_network.ts";
import { FakeClock, ordinary, settle } from "../tests/fixtures.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { type Frame, frameOf } from "./encoder.ts";
import { Outbox } from "./outbox.ts";
import { Uploader, type UploaderOptions } from "./uploader.ts";

const minute = 60_000;

function setUp(
  options: Partial<UploaderOptions> = {},
  onPost: (post: FakePost) => unknown = () => {},
) {
  const clock = new FakeClock();
  const outbox = new Outbox();
  const network = new FakeNetwork(onPost);
  const acked: number[] = [];
  const reports: string[] = [];
  const uploader = new Uploader({
    receivers: ["http://one"],
    token: (nowMs) => Promise.resolve(String(nowMs)),
    names: { boot: "b1", source: "kmsg", stream: "b1" },
    outbox,
    acked: ({ range }: Frame) => void acked.push(range?.first ?? NaN),
    flushMs: () => {},
    kernelUs: () => 5_000,
    wallSynced: () => true,
    report: (text) => void reports.push(text),
    clock,
    random: () => 0.5,
    fetch: network.fetch,
    ...options,
  });
  const push = (...seqs: number[]) => {
    for (const seq of seqs) void outbox.push(frameOf(ordinary(seq)));
  };
  return { clock, outbox, network, acked, reports, uploader, push };
}

/** The time at which a POST's token is good. */
const tokenMs = ({ headers }: FakePost) =>
  Number(headers.get("Authorization")!.slice("Bearer ".length));

const hosts = (network: FakeNetwork) => network.posts.map(({ url }) => new URL(url).hostname);

describe("an uploader", () => {
  test("names the stream, and signs each POST anew", async () => {
    const { clock, network, uploader, push } = setUp({}, (post) => post.accept());
    push(0);
    void uploader.run();
    await clock.until(() => network.posts.length === 2, 2 * minute);
    const { url, headers } = network.posts[0]!;
    expect(url).toBe("http://one/v1/logs");
    expect(["Boot", "Source", "Stream", "Mode"].map((name) => headers.get(`Logmill-${name}`)))
      .toEqual(["b1", "kmsg", "b1", "live"]);
    const [first, second] = network.posts.map(tokenMs) as [number, number];
    expect(second - first).toBe(minute); // The middle of 30 to 90 s, by this test's random.
  });

  test("ends when the outbox has ended and all of it is acknowledged", async () => {
    const { outbox, acked, uploader, push } = setUp({}, (post) => post.accept());
    push(0, 1);
    outbox.end();
    await uploader.run();
    expect(acked).toEqual([0, 1]);
  });

  test("ends without a POST where there was nothing", async () => {
    const { outbox, network, uploader } = setUp();
    outbox.end();
    await uploader.run();
    expect(network.posts).toEqual([]);
  });

  test("sends again from the first record that isn't acknowledged", async () => {
    const { clock, outbox, network, acked, uploader, push } = setUp();
    push(0, 1, 2, 3);
    const running = uploader.run();
    await clock.until(() => network.last?.seqs.length === 4, minute);
    network.last.line({ acked: network.last.frameEnds[2]! });
    await settle();
    network.last.breakOff();
    network.onPost = (post) => post.accept();
    outbox.end();
    await clock.until(() => network.posts.length === 2, minute);
    await running;
    expect(network.last.seqs).toEqual([2, 3]);
    expect(acked).toEqual([0, 1, 2, 3]);
  });

  test("obeys Retry-After, within the normal interval", async () => {
    for (const [asked, least, most] of [[7, 7, 8], [45, 45, 60], [3600, 54, 60]] as const) {
      const headers = { "Retry-After": String(asked) };
      const { clock, network, uploader, push } = setUp({}, (post) => post.status(503, "", headers));
      push(0);
      void uploader.run();
      await settle();
      expect(network.posts.length).toBe(1);
      await clock.advance(least * 1_000 - 1);
      expect([asked, network.posts.length]).toEqual([asked, 1]);
      await clock.advance((most - least) * 1_000 + 1);
      expect([asked, network.posts.length]).toEqual([asked, 2]);
    }
  });

  test("that is told too_fast sends what waits as a bulk stream, and is live again after it", async () => {
    const { clock, network, acked, uploader, push } = setUp();
    push(0, 1);
    void uploader.run();
    await clock.until(() => network.last?.seqs.length === 2, minute);
    network.last.line({ error: "too_fast", acked: 0 });
    network.onPost = (post) => post.accept();
    await clock.until(() => network.posts.length === 3, minute);
    expect(network.posts.map(({ headers }) => headers.get("Logmill-Mode")))
      .toEqual(["live", "bulk", "live"]);
    expect(acked).toEqual([0, 1]);
  });

  test("meets a frozen receiver with short POSTs, and tries live again later", async () => {
    const { clock, network, acked, uploader, push } = setUp();
    push(0, 1);
    void uploader.run();
    await clock.until(() => network.posts.length === 2, minute);
    expect(network.posts.map(({ live }) => live)).toEqual([true, false]);
    expect(network.posts[0]!.aborted).toBe(true);
    expect(network.last.seqs).toEqual([0, 1]);
    network.last.accept();
    await settle();
    expect(acked).toEqual([0, 1]);
    network.onPost = (post) => post.accept();
    for (let seq = 2; seq < 12; seq++) {
      push(seq);
      await clock.advance(limits.shortPostsMs / 20);
    }
    expect(acked.length).toBe(12); // All in time, each within seconds.
    expect(network.posts.slice(1).every(({ live }) => !live)).toBe(true);
    await clock.until(() => network.last.live, limits.shortPostsMs);
  });

  test("sends less in each short POST while none gets through: a slow link gets there", async () => {
    let slowest = 0;
    // So slow that no more than ten frames make it within the time-out.
    const { clock, outbox, network, acked, uploader, push } = setUp({}, (post) => {
      if (!post.live && post.records.length === 0) {
        void settle().then(() => {
          slowest = Math.max(slowest, post.seqs.length);
          if (post.seqs.length <= 10) post.accept();
        });
      }
    });
    push(...Array.from({ length: 60 }, (_, seq) => seq));
    outbox.end();
    const running = uploader.run();
    await clock.until(() => outbox.frames.length === 0, 30 * minute, 1_000);
    await running;
    expect(acked).toEqual(Array.from({ length: 60 }, (_, seq) => seq));
    expect(slowest).toBeGreaterThan(10);
    expect(network.posts.length).toBeLessThan(40);
  });

  test("refused for its clock signs again with the server's time", async () => {
    const serverMs = Date.UTC(2030, 0, 1);
    const { clock, outbox, network, uploader, push } = setUp({}, (post) => {
      const right = Math.abs(tokenMs(post) - serverMs) < 10_000;
      if (right) return post.accept();
      post.status(401, "", { Date: new Date(serverMs).toUTCString() });
    });
    push(0);
    outbox.end();
    const running = uploader.run();
    await clock.until(() => network.posts.length === 2, minute);
    await running;
    // What is said of the clock in the log is the device's own.
    const wallUs = parseSync(network.last.records[0]!)!.wallUs;
    expect(Math.abs(wallUs / 1_000 - clock.nowMs())).toBeLessThan(10_000);
  });

  test("that isn't let in loses nothing, however long that lasts", async () => {
    const { clock, outbox, network, acked, uploader, push } = setUp({}, (post) => post.status(403));
    push(0, 1, 2);
    const running = uploader.run();
    await clock.advance(60 * minute);
    expect(network.posts.length).toBeGreaterThan(30);
    expect([acked, outbox.frames.length]).toEqual([[], 3]);
    network.onPost = (post) => post.accept();
    outbox.end();
    await clock.until(() => outbox.frames.length === 0, 2 * minute);
    await running;
    expect(acked).toEqual([0, 1, 2]);
  });

  test("takes the next receiver after a failure, and stays with the one that works", async () => {
    const receivers = ["http://one", "http://two", "http://three"];
    const { clock, network, uploader, push } = setUp({ receivers }, (post) => {
      if (new URL(post.url).hostname === "three") return post.accept();
      post.fail("connection refused");
    });
    push(0);
    void uploader.run();
    await clock.until(() => network.posts.length === 6, 10 * minute);
    expect(hosts(network)).toEqual(["one", "two", "three", "three", "three", "three"]);
    network.onPost = (post) => post.fail("connection refused");
    await clock.until(() => network.posts.length === 10, 10 * minute);
    expect(hosts(network).slice(6)).toEqual(["three", "one", "two", "three"]);
  });

  test("tells of a failure once, and of its end once, as soon as something is durable", async () => {
    const { clock, network, reports, uploader, push } = setUp({}, (post) => post.fail("no route"));
    push(0);
    void uploader.run();
    await clock.advance(30 * minute);
    expect(reports).toEqual(["kmsg: can't upload now: no route"]);
    network.onPost = () => {};
    const { length } = network.posts;
    await clock.until(() => network.posts.length > length && network.last.seqs.length > 0, minute);
    expect(reports.length).toBe(1);
    network.last.line({ acked: network.last.decodedBytes });
    await settle();
    expect(reports.length).toBe(2);
    expect(reports[1]).toMatch(/^kmsg: uploading again after 18\d\d s$/);
    for (let i = 0; i < 5; i++) {
      push(i + 1);
      await clock.advance(1_000);
      network.last.line({ acked: network.last.decodedBytes });
    }
    await settle();
    expect(reports.length).toBe(2);
  });
});

describe("a batch that is refused", () => {
  /** A receiver that refuses every POST with the record `bad` in it. */
  const refusing = (bad: number, status = 400) => (post: FakePost) => {
    void settle().then(() => {
      if (!post.seqs.includes(bad)) return post.accept();
      if (status === 400 || !post.live) return post.status(400, "bad_frame");
      const at = post.records.findIndex(({ seq, flag }) => seq === bad && flag === "-");
      post.line({ acked: post.frameEnds[at - 1] ?? 0, error: "bad_frame" });
    });
  };

  for (
    const [how, status] of [["with a status", 400], ["in the middle of a live POST", 200]] as const
  ) {
    test(`${how} is sent alone, and set aside after ${limits.refusalsMax} times`, async () => {
      const { clock, outbox, network, acked, reports, uploader, push } = setUp(
        {},
        refusing(2, status),
      );
      push(0, 1, 2, 3, 4);
      outbox.end();
      const running = uploader.run();
      await clock.until(() => outbox.frames.length === 0, 60 * minute);
      await running;
      expect(acked).toEqual([0, 1, NaN, 3, 4]);
      const alone = network.posts.filter(({ seqs }) => seqs.length === 1 && seqs[0] === 2);
      expect(alone.length).toBeGreaterThanOrEqual(limits.refusalsMax - 1);
      expect(network.posts.filter(({ seqs }) => seqs.includes(2)).length)
        .toBeLessThanOrEqual(limits.refusalsMax + 2);
      const gaps = network.posts.flatMap(({ records }) => records).filter(({ flag }) =>
        flag === "g"
      );
      expect(gaps.map(parseGap)).toEqual([{ first: 2, last: 2, count: 1, cause: "refused" }]);
      expect(reports.some((text) => /^records 2 to 2 are refused for good: /.test(text))).toBe(
        true,
      );
    });
  }

  test("behind a gap record is found as well: the gap alone goes through", async () => {
    const { clock, outbox, network, uploader, push } = setUp({}, refusing(2, 400));
    const gap = { first: 0, last: 1, count: 2, cause: "overrun" } as const;
    void outbox.push(frameOf(gapRecord(2, 1, gap)));
    push(2, 3);
    outbox.end();
    const running = uploader.run();
    await clock.until(() => outbox.frames.length === 0, 60 * minute);
    await running;
    const taken = network.posts.filter(({ seqs }) => !seqs.includes(2))
      .flatMap(({ records }) => records).filter(({ flag }) => flag !== "s");
    expect(taken.map((record) => parseGap(record)?.cause ?? record.seq))
      .toEqual(["overrun", "refused", 3]);
  });

  test("with a gap record in it says that gap again, in front of its own", async () => {
    const { clock, outbox, network, uploader } = setUp({}, refusing(2, 400));
    const gap = { first: 0, last: 1, count: 2, cause: "overrun" } as const;
    void outbox.push(frameOf(gapRecord(2, 1, gap), ordinary(2)));
    outbox.end();
    const running = uploader.run();
    await clock.until(() => outbox.frames.length === 0, 60 * minute);
    await running;
    const said = network.last.records.filter(({ flag }) => flag === "g").map(parseGap);
    expect(said).toEqual([gap, { first: 2, last: 2, count: 1, cause: "refused" }]);
  });

  test("is not to blame for refusals from before it was there", async () => {
    const { clock, network, acked, uploader, push } = setUp({}, (post) => post.status(400));
    void uploader.run();
    await clock.until(() => network.posts.length === 2 * limits.refusalsMax, 60 * minute);
    push(0);
    const { length } = network.posts;
    await clock.until(() => network.posts.length === length + 2, 60 * minute);
    network.onPost = (post) => post.accept();
    await clock.until(() => acked.length > 0, 10 * minute);
    expect(acked).toEqual([0]); // The record itself, not a gap.
  });

  test("and is a gap already is kept as it is: what it says can't be said in fewer words", async () => {
    const { clock, outbox, network, uploader } = setUp({}, (post) => post.status(400));
    const gap = { first: 5, last: 90, count: 86, cause: "overrun" } as const;
    void outbox.push(frameOf(gapRecord(91, 1, gap)));
    const running = uploader.run();
    await clock.until(() => network.posts.length === 3 * limits.refusalsMax, 120 * minute);
    network.onPost = (post) => post.accept();
    outbox.end();
    await clock.until(() => outbox.frames.length === 0, 10 * minute);
    await running;
    expect(parseGap(network.last.records[1]!)).toEqual(gap);
  });
});

describe("waiting", () => {
  test("begins anew after a POST that was fine for a while and was cut", async () => {
    const { clock, network, uploader } = setUp({}, () => {});
    void uploader.run();
    for (let posts = 1; posts < 12; posts++) {
      await clock.until(() => network.posts.length === posts, 10 * minute);
      const post = network.last;
      const openedMs = clock.monotonicMs();
      post.line({ acked: post.frameEnds[0] ?? 0 });
      await clock.until(() => clock.monotonicMs() - openedMs > limits.settledMs + 1000, minute);
      post.breakOff();
      const cutMs = clock.monotonicMs();
      await clock.until(() => network.posts.length === posts + 1, 10 * minute);
      expect(clock.monotonicMs() - cutMs).toBeLessThanOrEqual(limits.backoffBaseMs + 1000);
    }
  });

  test("is never longer than the normal interval, whatever fails and however often", async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const random = seededRandom(seed);
      const endsMs: number[] = [];
      const waitsMs: number[] = [];
      const failures: Array<(post: FakePost) => void> = [
        (post) => post.fail("no route"),
        (post) => post.status(500),
        (post) => post.status(403),
        (post) => post.status(400),
        (post) => post.status(429, "", { "Retry-After": String(Math.floor(random() * 1e6)) }),
        (post) => post.status(503, "", { "Retry-After": String(Math.floor(random() * 100)) }),
        (post) => post.status(503, "", { "Retry-After": "Fri, 31 Dec 2100 00:00:00 GMT" }),
        (post) => post.status(401, "", { Date: new Date(random() * 1e13).toUTCString() }),
        (post) => {
          post.line("<html>a captive portal</html>\n");
          post.breakOff();
        },
        (post) => post.status(200, "<html>a captive portal</html>"),
        (post) => post.line({ acked: 0, error: "busy" }),
      ];
      const { clock, network, uploader, push } = setUp({ random });
      network.onPost = (post) => {
        if (endsMs.length > 0) waitsMs.push(clock.monotonicMs() - endsMs.at(-1)!);
        failures[Math.floor(random() * failures.length)]!(post);
        endsMs.push(clock.monotonicMs());
      };
      if (seed % 2) push(0, 1, 2); // And with nothing to send but the clock.
      void uploader.run();
      await clock.until(() => network.posts.length >= 150, 24 * 60 * minute, minute);
      expect(Math.max(...waitsMs)).toBeLessThanOrEqual(limits.intervalMs);
      // And it isn't a fixed rhythm, nor a busy loop.
      expect(new Set(waitsMs.map(Math.round)).size).toBeGreaterThan(100);
      expect(waitsMs.slice(10).reduce((a, b) => a + b) / waitsMs.slice(10).length)
        .toBeGreaterThan(10_000);
    }
  }, 60_000);

  test("is followed by a knock: a backlog isn't sent before the receiver has let it in", async () => {
    const { clock, network, uploader, push } = setUp({}, (post) => post.status(503));
    push(0, 1);
    void uploader.run();
    await clock.until(() => network.posts.length === 2, 2 * minute);
    await settle();
    expect([network.last.records.length, network.last.seqs]).toEqual([1, []]);
    network.onPost = (post) => void post.line({ acked: 0 });
    await clock.until(() => network.posts.length === 3, 2 * minute);
    await settle();
    expect(network.last.seqs).toEqual([0, 1]);
  });

  test("begins anew with a second at most, once something was acknowledged", async () => {
    const { clock, network, uploader, push } = setUp({ random: () => 0.999 }, (p) => p.status(500));
    push(0);
    void uploader.run();
    await clock.advance(20 * minute);
    network.onPost = async (post) => {
      post.line({ acked: 0 });
      await settle();
      post.line({ acked: post.decodedBytes });
      setImmediate(() => post.breakOff());
    };
    const { length } = network.posts;
    await clock.until(() => network.posts.length === length + 1, 2 * minute);
    await clock.advance(limits.backoffBaseMs);
    expect(network.posts.length).toBe(length + 2);
  });
});

test("a commit that ends with a sync record, and the next record printed after the crash", async () => {
  // A sync record carries the seq of the record that comes next. Were it taken for that record, the
  // checkpoint would pass it, and the record printed after the crash would never be sent.
  const { clock, outbox, network, acked, uploader, push } = setUp();
  push(0, 1);
  void uploader.run();
  await clock.advance(limits.ackTimeoutMs - 1_000);
  network.last.line({ acked: network.last.decodedBytes });
  await clock.advance(limits.heartbeatMs - limits.ackTimeoutMs + 2_000);
  const { records, decodedBytes } = network.last;
  expect(records.map(({ flag, seq }) => `${flag}${seq}`)).toEqual(["s0", "-0", "-1", "s2"]);
  network.last.line({ acked: decodedBytes });
  await settle();
  expect(acked).toEqual([0, 1]);
  expect(frameOf(records.at(-1)!).range).toBeUndefined();
  expect([outbox.frames.length, network.posts.length]).toEqual([0, 1]);
});

describe("a real server", () => {
  /** Real time, short waits. */
  const clock = {
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    sleep: (ms: number) => new Promise<void>((wake) => setTimeout(wake, Math.min(ms, 50)).unref()),
  };

  test(
    "that cuts the connection in the middle gets the rest from the first unacknowledged on",
    async () => {
      const seen: number[][] = [];
      using server = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        async fetch(request, bun) {
          const seqs: number[] = [];
          let acked = 0;
          const first = seen.push(seqs) === 1;
          for await (const { header, decodedBytes } of uploadBlocks(request.body!, "zstd")) {
            if (header.count > 0) seqs.push(header.first);
            if (!first || seqs.length <= 2) acked += decodedBytes;
            if (first && seqs.length === 4) break;
          }
          if (!first) return new Response(formatAck({ acked, done: true }));
          const lines = new ReadableStream<Uint8Array>({
            async start(controller) {
              controller.enqueue(new TextEncoder().encode(formatAck({ acked })));
              await new Promise((resolve) => setTimeout(resolve, 100));
              await bun.stop(true);
            },
          });
          return new Response(lines);
        },
      });
      const { port } = server;
      const { outbox, acked, uploader, push } = setUp({
        clock: { ...clock, sleep: (ms) => ms > 20_000 ? new Promise(() => {}) : clock.sleep(ms) },
        receivers: [`http://127.0.0.1:${port}`, "http://127.0.0.1:1"],
        fetch,
      });
      push(0, 1, 2, 3);
      const running = uploader.run();
      while (acked.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
      while (server.pendingRequests > 0) await new Promise((resolve) => setTimeout(resolve, 5));
      using again = Bun.serve({
        port: port!,
        hostname: "127.0.0.1",
        async fetch(request) {
          const seqs: number[] = [];
          let all = 0;
          seen.push(seqs);
          for await (const { header, decodedBytes } of uploadBlocks(request.body!, "zstd")) {
            if (header.count > 0) seqs.push(header.first);
            all += decodedBytes;
          }
          return new Response(formatAck({ acked: all, done: true }));
        },
      });
      outbox.end();
      await running;
      expect(again.port).toBe(port!);
      expect([seen[0], seen.at(-1), acked]).toEqual([[0, 1, 2, 3], [2, 3], [0, 1, 2, 3]]);
    },
    20_000,
  );

  test("that says 503 before the body is seen at once, though frames are being sent", async () => {
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () =>
        Response.json({ error: "busy" }, { status: 503, headers: { "Retry-After": "1" } }),
    });
    const reported = Promise.withResolvers<string>();
    const { outbox, acked, uploader, push } = setUp({
      clock: { ...clock, sleep: (ms) => ms > 20_000 ? new Promise(() => {}) : clock.sleep(ms) },
      receivers: [server.url.href],
      fetch,
      report: (text) => reported.resolve(text),
    });
    const sender = setInterval(() => outbox.frames.length < 200 && push(outbox.frames.length), 1);
    void uploader.run();
    const startMs = performance.now();
    expect(await reported.promise).toContain("503");
    expect(performance.now() - startMs).toBeLessThan(2_000);
    clearInterval(sender);
    expect(acked).toEqual([]);
  });
});
