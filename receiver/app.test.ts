import { Buffer } from "node:buffer";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "bun:test";
import { parseAck } from "../shared/acks.ts";
import type { Device } from "../shared/allowlist.ts";
import { readBlocks } from "../shared/block.ts";
import type { Sink } from "../shared/commit_queue.ts";
import type { Identity } from "../shared/identity.ts";
import { limits } from "../shared/limits.ts";
import { decodeSegment } from "../shared/segment_reader.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { type EpochWriter, StorageError } from "../shared/storage/storage.ts";
import { signToken } from "../shared/token.ts";
import { compressFrame } from "../shared/zstd.ts";
import { newIdentity, settle, TemporaryFolder } from "../tests/fixtures.ts";
import { newReceiver } from "../tests/receiver.ts";

const nowMs = Date.UTC(2026, 10, 22, 12);
const kiosk = await newIdentity();
const router = await newIdentity();
const stranger = await newIdentity();

/** A sink whose commits the test ends; what was committed is there to read. */
class HeldSink implements Sink {
  frames: Uint8Array[] = [];
  #ends: Array<(error?: Error) => void> = [];
  #failures: Error[] = [];
  /** Commits end by themselves. */
  free: boolean;

  constructor({ free = true } = {}) {
    this.free = free;
  }

  async commit(frames: Uint8Array[]): Promise<void> {
    const error = this.free
      ? this.#failures.shift()
      : await new Promise<Error | undefined>((end) => this.#ends.push(end));
    if (error) throw error;
    this.frames.push(...frames);
  }

  readonly pace = { companyMs: 0, batchBytes: Infinity, parallel: 1 };
  probe = () => Promise.resolve();
  close = () => Promise.resolve();

  /** The next commit of a free sink fails. */
  failNext(error: Error): void {
    this.#failures.push(error);
  }

  get waiting(): boolean {
    return this.#ends.length > 0;
  }

  async end(error?: Error): Promise<void> {
    await until(() => this.waiting);
    this.#ends.shift()!(error);
    await settle();
  }

  /** All that is stored, as blocks. */
  get blocks() {
    return blocksOf(Buffer.concat(this.frames));
  }
}

function blocksOf(segment: Uint8Array) {
  return decodeSegment(segment).flatMap(({ text, damage }) => {
    expect(damage).toBeUndefined();
    return [...readBlocks(text!, (bad) => expect.unreachable(`no block: ${bad}`))];
  });
}

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2_000 && !holds(); turn++) await new Promise((r) => setTimeout(r, 1));
  expect(holds()).toBe(true);
}

interface Options {
  sink?: Sink;
  live?: number;
  bulk?: number;
  bytes?: number;
  monotonicMs?: () => number;
}

function setUp(
  {
    sink = new HeldSink(),
    live = 4,
    bulk = 2,
    bytes = 4 << 20,
    monotonicMs = () => performance.now(),
  }: Options = {},
) {
  const devices = new Map<string, Device>();
  const allow = ({ thumbprint }: Identity, name: string) =>
    devices.set(thumbprint, { thumbprint, name, labels: {} });
  allow(kiosk, "kiosk-7");
  allow(router, "router-1");
  const { receiver, admission, commits } = newReceiver({
    sink,
    allowed: (thumbprint) => devices.get(thumbprint),
    budget: { liveStreams: live, bulkStreams: bulk, liveBytes: bytes, bulkBytes: bytes },
    nowMs: () => nowMs,
    monotonicMs,
    random: () => 0.5,
  });
  const used = () => [
    admission.open("live"),
    admission.open("bulk"),
    ...[admission.bytes.live, admission.bytes.bulk].map((b) => b.permits - b.available),
  ];
  return { receiver, admission, devices, commits, used };
}

const nothing = [0, 0, 0, 0];

const token = (identity: Identity, audience = "logmill", atMs = nowMs) =>
  signToken(identity, audience, atMs);

type Body = Uint8Array | string | ReadableStream<Uint8Array>;

/** A POST of frames by the kiosk; a header that is `undefined` is left out. */
async function request(
  body: Body,
  headers: Record<string, string | undefined> = {},
  { by = kiosk, method = "POST" } = {},
): Promise<Request> {
  const all: Record<string, string | undefined> = {
    "Authorization": `Bearer ${await token(by)}`,
    "Content-Encoding": "zstd",
    "Logmill-Boot": "boot-1",
    "Logmill-Source": "kmsg",
    "Logmill-Stream": "stream-1",
    ...headers,
  };
  const given = Object.entries(all).filter((pair): pair is [string, string] =>
    pair[1] !== undefined
  );
  const init = { method, headers: given, body, duplex: "half" };
  return new Request("http://receiver/v1/logs", init as RequestInit);
}

const frame = (first: number, last: number, text = records(first, last)) =>
  compressFrame(Buffer.from(`#0 ${first} ${last} ${last - first + 1}\n${text}`, "latin1"));

function records(first: number, last: number): string {
  return Array.from({ length: last - first + 1 }, (_, i) => `6,${first + i},1,-;line\n`).join("");
}

/** Bytes of text in a frame made by `frame`. */
const textBytes = (first: number, last: number) =>
  `#0 ${first} ${last} ${last - first + 1}\n${records(first, last)}`.length;

/** A body that the test writes. */
function openBody() {
  let cancelled: unknown;
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const stream = new ReadableStream<Uint8Array>({
    start: (c) => void (controller = c),
    cancel: (reason) => void (cancelled = reason ?? true),
  });
  return {
    stream,
    send: (bytes: Uint8Array) => controller.enqueue(bytes),
    close: () => controller.close(),
    fail: (error: unknown) => controller.error(error),
    get cancelled() {
      return cancelled;
    },
  };
}

/** The lines of a live answer behind the first, which lets its sender in, one by one. */
function ackLines(response: Response) {
  expect([response.status, response.headers.get("Content-Type")]).toEqual([
    200,
    "application/x-ndjson",
  ]);
  const reader = response.body!.getReader();
  let held = "";
  let letIn = false;
  return {
    async next() {
      const line = await this.any();
      if (letIn) return line;
      letIn = true;
      expect(line).toEqual({ acked: 0 });
      return await this.any();
    },
    async any() {
      while (!held.includes("\n")) {
        const { done, value } = await reader.read();
        if (done) return undefined;
        held += Buffer.from(value).toString();
      }
      const [line] = held.split("\n", 1);
      held = held.slice(line!.length + 1);
      return parseAck(line!);
    },
    async rest() {
      const lines = [];
      for (let line = await this.next(); line; line = await this.next()) lines.push(line);
      return lines;
    },
  };
}

const answer = async (response: Response) => [
  response.status,
  (await response.json() as { error?: string; acked?: number }).error,
];

describe("an upload", () => {
  test("of frames is stored under the authenticated device's name and nothing else", async () => {
    using folder = new TemporaryFolder();
    const epoch = await new FolderStorage(folder.path).createEpoch("r1");
    const { receiver, commits, used } = setUp({ sink: epoch });
    const body = Buffer.concat([frame(0, 2), frame(3, 3)]);
    const forged = { "Logmill-Device": "router-1", "X-Device": "router-1" };
    const response = await receiver.fetch(await request(body, forged));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ acked: textBytes(0, 2) + textBytes(3, 3) });
    await commits.close();
    const text = storedText(folder.path, epoch);
    expect(text).toBe(
      "#1 kiosk-7 boot-1 kmsg stream-1 1795348800000000 0 2 3\n" + records(0, 2) +
        "#1 kiosk-7 boot-1 kmsg stream-1 1795348800000000 3 3 1\n" + records(3, 3) + "#end\n",
    );
    expect(used()).toEqual(nothing);
  });

  test("is taken by PUT as well, which is what curl -T sends", async () => {
    const sink = new HeldSink();
    const { receiver } = setUp({ sink });
    const headers = { "Content-Encoding": undefined };
    const response = await receiver.fetch(await request("a\n", headers, { method: "PUT" }));
    expect(response.status).toBe(200);
    expect(sink.blocks.map(({ text }) => text)).toEqual(["a\n"]);
  });

  test("is answered 200 only once it is committed", async () => {
    const sink = new HeldSink({ free: false });
    const { receiver, used } = setUp({ sink });
    let status: number | undefined;
    const answered = Promise.resolve(receiver.fetch(await request(frame(0, 0))))
      .then((response) => status = response.status);
    await until(() => sink.waiting);
    await settle();
    expect(status).toBeUndefined();
    expect(used()).not.toEqual(nothing);
    await sink.end();
    expect(await answered).toBe(200);
    expect(used()).toEqual(nothing);
  });

  test("without a byte is answered 200, and nothing is stored", async () => {
    const sink = new HeldSink();
    const { receiver, used } = setUp({ sink });
    const response = await receiver.fetch(await request(""));
    expect(await response.json()).toEqual({ acked: 0 });
    expect([sink.blocks, used()]).toEqual([[], nothing]);
  });

  test("whose FIRST LAST COUNT lie is stored as it is, under a header line of the right form", async () => {
    const sink = new HeldSink();
    const { receiver } = setUp({ sink });
    const lies = ["9 3 7", "0 99999999999999999999 1", "18446744073709551615 5 5", "000 0 0"];
    const frames = lies.map((lie) => compressFrame(Buffer.from(`#0 ${lie}\n6,1,1,-;a\n`)));
    const response = await receiver.fetch(await request(Buffer.concat(frames)));
    expect(response.status).toBe(200);
    const stored = sink.blocks.map(({ header: { first, last, count } }) => [first, last, count]);
    expect(stored).toEqual([[9, 3, 7], [0, 0, 1], [0, 5, 5], [0, 0, 0]]);
  });

  test("holds any bytes, and they are stored as they are", async () => {
    const sink = new HeldSink();
    const { receiver } = setUp({ sink });
    const text = "6,1,1,-;\xff\xfe\x00 caf\xe9\n KEY=\x80\n";
    expect((await receiver.fetch(await request(frame(1, 1, text)))).status).toBe(200);
    expect(sink.blocks[0]!.text).toBe(text);
  });

  test("with the longest names and numbers fits a header line, which can be read", async () => {
    const sink = new HeldSink();
    const { receiver, devices } = setUp({ sink });
    const { thumbprint } = kiosk;
    devices.set(thumbprint, { thumbprint, name: "d".repeat(128), labels: {} });
    const names = {
      "Logmill-Boot": "b".repeat(128),
      "Logmill-Source": `file:${"s".repeat(123)}`,
      "Logmill-Stream": "t".repeat(128),
    };
    const max = Number.MAX_SAFE_INTEGER;
    const body = compressFrame(Buffer.from(`#0 ${max} ${max} ${max}\n6,1,1,-;a\n`));
    expect((await receiver.fetch(await request(body, names))).status).toBe(200);
    const { header } = sink.blocks[0]!;
    expect([header.device.length, header.boot.length, header.last]).toEqual([128, 128, max]);
  });
});

describe("a raw upload", () => {
  const raw = { "Content-Encoding": undefined, "Logmill-Boot": undefined };

  test("is stored line by line, plain and gzip, without any Logmill header", async () => {
    const bare = { "Logmill-Source": undefined, "Logmill-Stream": undefined };
    for (const encoding of [undefined, "identity", "gzip"]) {
      const sink = new HeldSink();
      const { receiver } = setUp({ sink });
      const text = "# a comment\n<6>one\n two\nlast without an end";
      const body = encoding === "gzip" ? gzipSync(text) : text;
      const headers = { ...raw, ...bare, "Content-Encoding": encoding };
      const response = await receiver.fetch(await request(body, headers));
      expect(await response.json()).toEqual({ acked: text.length });
      const [{ header, text: stored }] = sink.blocks as [ReturnType<typeof blocksOf>[0]];
      expect(stored).toBe("\\x23 a comment\n<6>one\n two\nlast without an end\n");
      expect(header).toMatchObject({ device: "kiosk-7", boot: "-", source: "raw", stream: "-" });
      expect([header.first, header.last, header.count]).toEqual([0, 3, 4]);
    }
  });

  test("can't name a source or a stream, nor forge a block or a segment's end", async () => {
    const sink = new HeldSink();
    const { receiver } = setUp({ sink });
    const text = "#1 router-1 b kmsg s 1 0 0 1\n6,0,1,-;forged\n#end\n";
    expect((await receiver.fetch(await request(text, raw))).status).toBe(200);
    expect(sink.blocks.length).toBe(1);
    expect(sink.blocks[0]!.header).toMatchObject({ device: "kiosk-7", source: "raw", stream: "-" });
    expect(sink.blocks[0]!.text).toBe(text.replaceAll("#", "\\x23"));
  });

  test("that begins with a continuation line is stored", async () => {
    const sink = new HeldSink();
    const { receiver } = setUp({ sink });
    expect((await receiver.fetch(await request(" SUBSYSTEM=usb\n6,1,1,-;a\n", raw))).status).toBe(
      200,
    );
    expect(sink.blocks[0]!.text).toBe(" SUBSYSTEM=usb\n6,1,1,-;a\n");
  });

  test("of one line of 10 MB is stored in lines that fit, with every byte", async () => {
    const sink = new HeldSink();
    const { receiver, used } = setUp({ sink });
    const line = Buffer.alloc(10_000_000, "0123456789abcdef");
    const chunks = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < line.length; at += 1 << 20) {
          controller.enqueue(line.subarray(at, at + (1 << 20)));
        }
        controller.close();
      },
    });
    const response = await receiver.fetch(await request(chunks, raw));
    expect(await response.json()).toEqual({ acked: line.length });
    const lines = sink.blocks.flatMap(({ text }) => text.trimEnd().split("\n"));
    expect(Math.max(...lines.map((l) => l.length))).toBeLessThanOrEqual(limits.rawLineBytesMax);
    expect(lines.join("") === line.toString("latin1")).toBe(true);
    expect(used()).toEqual(nothing);
  });

  test("of gzip that is cut off, or isn't gzip, is refused", async () => {
    const { receiver, used } = setUp();
    const whole = gzipSync("a\n".repeat(1_000));
    for (const body of [whole.subarray(0, whole.length - 4), Buffer.from("no gzip")]) {
      const headers = { ...raw, "Content-Encoding": "gzip" };
      expect(await answer(await receiver.fetch(await request(body, headers))))
        .toEqual([400, "bad_frame"]);
    }
    expect(used()).toEqual(nothing);
  });
});

describe("checks before the body", () => {
  /** A body that fails the test if anything reads it. */
  function untouched() {
    let read = false;
    const body = new ReadableStream<Uint8Array>({
      pull() {
        read = true;
        throw new Error("the body was read");
      },
    }, { highWaterMark: 0 });
    return { body, wasRead: () => read };
  }

  const unsigned = (alg: string) => {
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const { thumbprint: kid, publicJwk: jwk } = kiosk;
    const iat = nowMs / 1000;
    return `${part({ alg, kid, jwk })}.${part({ aud: "logmill", iat, exp: iat + 300 })}.`;
  };
  const minute = 60_000;
  const refusals: Array<
    [string, number, string, () => Promise<Record<string, string | undefined>>]
  > = [
    ["no token", 401, "no_token", () => Promise.resolve({ Authorization: undefined })],
    [
      "alg none",
      401,
      "bad_token",
      () => Promise.resolve({ Authorization: `Bearer ${unsigned("none")}` }),
    ],
    ["an expired token", 401, "expired_token", async () => ({
      Authorization: `Bearer ${await token(kiosk, "logmill", nowMs - 6 * minute)}`,
    })],
    ["a token of the future", 401, "future_token", async () => ({
      Authorization: `Bearer ${await token(kiosk, "logmill", nowMs + 6 * minute)}`,
    })],
    ["a token for another service", 401, "wrong_audience", async () => ({
      Authorization: `Bearer ${await token(kiosk, "another")}`,
    })],
    ["a stranger", 403, "unknown_device", async () => ({
      Authorization: `Bearer ${await token(stranger)}`,
      // Not even asked for: the token comes first.
      "Logmill-Boot": "../etc",
    })],
    ["no boot", 400, "bad_header", () => Promise.resolve({ "Logmill-Boot": undefined })],
    ["a boot with a slash", 400, "bad_header", () => Promise.resolve({ "Logmill-Boot": "a/b" })],
    [
      "a stream with a space",
      400,
      "bad_header",
      () => Promise.resolve({ "Logmill-Stream": "a b" }),
    ],
    [
      "a source that is too long",
      400,
      "bad_header",
      () => Promise.resolve({ "Logmill-Source": "s".repeat(129) }),
    ],
    ["a stream named ..", 400, "bad_header", () => Promise.resolve({ "Logmill-Stream": ".." })],
  ];

  for (const [what, status, code, headers] of refusals) {
    for (const ack of ["end", "live"]) {
      test(`refuse ${what} with ${status}, Ack: ${ack}`, async () => {
        const { receiver, used } = setUp();
        const { body, wasRead } = untouched();
        const response = await receiver.fetch(
          await request(body, { ...await headers(), "Logmill-Ack": ack }),
        );
        expect(await answer(response)).toEqual([status, code]);
        expect(wasRead()).toBe(false);
        expect(used()).toEqual(nothing);
      });
    }
  }

  test("refuse with 503 and Retry-After when the slots of its mode are taken", async () => {
    const { receiver, admission, used } = setUp({ live: 1, bulk: 1 });
    const bodies = [openBody(), openBody()];
    const open = [
      receiver.fetch(await request(bodies[0]!.stream)),
      receiver.fetch(await request(bodies[1]!.stream, { "Logmill-Mode": "bulk" })),
    ];
    await until(() => admission.open("live") + admission.open("bulk") === 2);
    for (const mode of ["live", "bulk"]) {
      const { body, wasRead } = untouched();
      const response = await receiver.fetch(await request(body, { "Logmill-Mode": mode }));
      expect(response.headers.get("Retry-After")).toMatch(/^([1-9]|[1-5][0-9]|60)$/);
      expect([...await answer(response), wasRead()]).toEqual([503, "busy", false]);
    }
    // A full house looks at nobody's papers: a signature costs a hundred times what a refusal does.
    const response = await receiver.fetch(await request("", {}, { by: stranger }));
    expect(await answer(response)).toEqual([503, "busy"]);
    for (const body of bodies) body.close();
    expect((await Promise.all(open)).map((r) => r.status)).toEqual([200, 200]);
    expect(used()).toEqual(nothing);
    expect((await receiver.fetch(await request(frame(0, 0)))).status).toBe(200);
  });

  test("know one mode's slots from the other's", async () => {
    const { receiver, admission } = setUp({ live: 1, bulk: 1 });
    const body = openBody();
    const open = receiver.fetch(await request(body.stream, { "Logmill-Mode": "bulk" }));
    await until(() => admission.open("bulk") === 1);
    expect((await receiver.fetch(await request(frame(0, 0)))).status).toBe(200);
    body.close();
    await open;
  });
});

describe("Ack: live", () => {
  const live = { "Logmill-Ack": "live" };

  test("acknowledges while the body is still open, then says done", async () => {
    const { receiver, used } = setUp();
    const body = openBody();
    const lines = ackLines(await receiver.fetch(await request(body.stream, live)));
    body.send(frame(0, 0));
    expect(await lines.next()).toEqual({ acked: textBytes(0, 0) });
    expect(used()[0]).toBe(1);
    body.send(frame(1, 1));
    body.close();
    expect(await lines.rest()).toEqual([{ done: true, acked: textBytes(0, 0) + textBytes(1, 1) }]);
    expect(used()).toEqual(nothing);
  });

  test("acknowledges nothing that isn't committed", async () => {
    const sink = new HeldSink({ free: false });
    const { receiver } = setUp({ sink });
    const body = openBody();
    const lines = ackLines(await receiver.fetch(await request(body.stream, live)));
    body.send(frame(0, 0));
    let line: unknown;
    const told = lines.next().then((l) => line = l);
    await until(() => sink.waiting);
    await settle();
    expect(line).toBeUndefined();
    await sink.end();
    expect(await told).toEqual({ acked: textBytes(0, 0) });
    body.close();
    expect(await lines.next()).toEqual({ done: true, acked: textBytes(0, 0) });
  });

  test("writes a line at most once a second, and what it says is the newest", async () => {
    const { receiver } = setUp();
    const body = openBody();
    const lines = ackLines(await receiver.fetch(await request(body.stream, live)));
    const startMs = performance.now();
    let sent = 0;
    const sender = setInterval(() => {
      body.send(frame(0, 0));
      sent++;
    }, 20);
    const times: number[] = [];
    const acked: number[] = [];
    for (let i = 0; i < 3; i++) {
      acked.push((await lines.next())!.acked);
      times.push(performance.now() - startMs);
    }
    clearInterval(sender);
    // The first one waits for some milliseconds, so that it doesn't stand for a clock record alone.
    expect(acked[0]).toBeLessThanOrEqual(3 * textBytes(0, 0));
    expect(times[1]! - times[0]!).toBeGreaterThan(limits.ackIntervalMs * 0.95);
    expect(times[2]! - times[1]!).toBeGreaterThan(limits.ackIntervalMs * 0.95);
    expect(acked[2]!).toBeGreaterThan(acked[1]! + 10 * textBytes(0, 0));
    body.close();
    expect((await lines.rest()).at(-1)).toEqual({ done: true, acked: sent * textBytes(0, 0) });
  });

  test("ends with the error of a bad frame; what came before is stored and acknowledged", async () => {
    const sink = new HeldSink({ free: false });
    const { receiver, used } = setUp({ sink });
    const body = openBody();
    const lines = ackLines(await receiver.fetch(await request(body.stream, live)));
    body.send(Buffer.concat([frame(0, 4), Buffer.from("this is no frame")]));
    await sink.end();
    expect((await lines.rest()).at(-1)).toEqual({ error: "bad_frame", acked: textBytes(0, 4) });
    expect(sink.blocks.map(({ text }) => text)).toEqual([records(0, 4)]);
    expect(used()).toEqual(nothing);
  });
});

describe("bad input", () => {
  /** A frame whose header claims `claimed` bytes and whose RLE blocks hold `blocks` x 128 KiB. */
  function bomb(claimed: number, blocks: number): Buffer {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(claimed);
    const block = (last: boolean) => {
      const head = Buffer.alloc(4);
      head.writeUIntLE((128 * 1024) << 3 | 1 << 1 | (last ? 1 : 0), 0, 3);
      head[3] = 0x61;
      return head;
    };
    const all = Array.from({ length: blocks }, (_, i) => block(i === blocks - 1));
    // Descriptor: 4 bytes of content size, a window, no checksum. Window: 1 MiB.
    return Buffer.concat([Buffer.from("28b52ffd8050", "hex"), size, ...all]);
  }

  const text = (content: string) => compressFrame(Buffer.from(content, "latin1"));
  const noSize = () => {
    const sized = compressFrame(Buffer.from("#0 0 0 1\n6,0,1,-;a\n"));
    // Without single segment, and so a window byte in the size's place.
    const unsized = Buffer.from(sized);
    unsized[4] = 0x04;
    unsized[5] = 0x50;
    return unsized;
  };
  const badFrames: Array<[string, number, string, Buffer]> = [
    ["garbage", 400, "bad_frame", Buffer.from("garbage in the place of a frame")],
    ["a frame that is cut off", 400, "bad_frame", frame(0, 9).subarray(0, 30)],
    ["a frame whose checksum fails", 400, "bad_frame", flipped(frame(0, 9), -1)],
    ["a frame without content size", 400, "bad_frame", noSize()],
    [
      "a frame that claims 1 MiB less 1 KiB and holds 1 GiB",
      400,
      "bad_frame",
      bomb(limits.uploadFrameTextBytesMax, 8192),
    ],
    ["a frame that claims 1 GiB", 413, "frame_too_large", bomb(1 << 30, 8192)],
    [
      "a frame that claims 1 byte more than there may be",
      413,
      "frame_too_large",
      text("x".repeat(limits.uploadFrameTextBytesMax + 1)),
    ],
    ["a frame that holds less than it claims", 400, "bad_frame", bomb(500_000, 1)],
    [
      "a forged header inside a frame",
      400,
      "bad_frame",
      text("#0 0 1 2\n6,0,1,-;a\n#1 router-1 b kmsg s 1 0 0 1\n6,1,1,-;b\n"),
    ],
    [
      "a forged header as the first line",
      400,
      "bad_frame",
      text("#1 router-1 b kmsg s 1 0 0 1\n6,1,1,-;b\n"),
    ],
    [
      "a forged header right behind the first line",
      400,
      "bad_frame",
      text("#0 0 0 1\n#1 router-1 b kmsg s 1 0 0 1\n"),
    ],
    ["a forged end of the segment", 400, "bad_frame", text("#0 0 0 1\n6,0,1,-;a\n#end\n")],
    ["a frame that doesn't end in a newline", 400, "bad_frame", text("#0 0 0 1\n6,0,1,-;a")],
    ["a frame without a header line", 400, "bad_frame", text("6,0,1,-;a\n")],
    [
      "a frame that begins with a continuation",
      400,
      "bad_frame",
      text("#0 0 0 1\n KEY=value\n6,0,1,-;a\n"),
    ],
    ["an empty frame", 400, "bad_frame", text("")],
  ];

  for (const [what, status, code, bad] of badFrames) {
    test(`${what} is refused and nothing of it is stored; what came before is`, async () => {
      const sink = new HeldSink();
      const { receiver, used } = setUp({ sink });
      const rssBefore = process.memoryUsage().rss;
      expect(await answer(await receiver.fetch(await request(bad)))).toEqual([status, code]);
      expect(sink.blocks).toEqual([]);
      const body = Buffer.concat([frame(0, 1), bad]);
      const ended = await receiver.fetch(await request(body));
      expect(await answer(ended)).toEqual([status, code]);
      expect(sink.blocks.map((block) => block.text)).toEqual([records(0, 1)]);
      const live = ackLines(await receiver.fetch(await request(body, { "Logmill-Ack": "live" })));
      expect((await live.rest()).at(-1)).toEqual({ error: code, acked: textBytes(0, 1) });
      expect(process.memoryUsage().rss - rssBefore).toBeLessThan(256 << 20);
      expect(used()).toEqual(nothing);
    });
  }

  test("in an encoding that isn't known is refused with 415", async () => {
    const { receiver, used } = setUp();
    const response = await receiver.fetch(await request("x", { "Content-Encoding": "br" }));
    expect(await answer(response)).toEqual([415, "unsupported_encoding"]);
    expect(used()).toEqual(nothing);
  });

  test("a bad frame cancels the rest of the body", async () => {
    const { receiver } = setUp();
    const body = openBody();
    const response = receiver.fetch(await request(body.stream));
    body.send(Buffer.from("garbage"));
    expect((await response).status).toBe(400);
    await settle();
    expect(body.cancelled).toBeDefined();
  });

  test("of one device has no effect on another's concurrent upload", async () => {
    const sink = new HeldSink();
    const { receiver } = setUp({ sink });
    const good = openBody();
    const live = { "Logmill-Ack": "live" };
    const lines = ackLines(
      await receiver.fetch(await request(good.stream, live, { by: router })),
    );
    for (const [, , , bad] of badFrames) {
      good.send(frame(0, 0));
      const [response] = await Promise.all([
        receiver.fetch(await request(Buffer.concat([frame(7, 7), bad]))),
        settle(),
      ]);
      expect(response.ok).toBe(false);
    }
    good.close();
    const acked = badFrames.length * textBytes(0, 0);
    expect((await lines.rest()).at(-1)).toEqual({ done: true, acked });
    const devices = sink.blocks.map(({ header, text: t }) => `${header.device} ${t}`);
    expect(new Set(devices)).toEqual(
      new Set([`router-1 ${records(0, 0)}`, `kiosk-7 ${records(7, 7)}`]),
    );
  });
});

describe("slots and bytes in flight come back", () => {
  test("after a body that throws, which is said in the log", async () => {
    const { receiver, admission, used } = setUp();
    const seen = mutedErrors();
    for (const ack of ["end", "live"]) {
      const body = openBody();
      const response = receiver.fetch(await request(body.stream, { "Logmill-Ack": ack }));
      body.send(frame(0, 0));
      await until(() => admission.open("live") > 0);
      body.fail(new TypeError("a programmer's mistake"));
      if (ack === "end") expect(await answer(await response)).toEqual([500, "internal"]);
      else {expect((await ackLines(await response).rest()).at(-1)).toMatchObject({
          error: "internal",
        });}
      expect(used()).toEqual(nothing);
    }
    expect(seen.restore()).toEqual([["a programmer's mistake"], ["a programmer's mistake"]]);
  });

  test("after a client that goes away, of which nothing is said in the log", async () => {
    const sink = new HeldSink();
    const { receiver, used } = setUp({ sink });
    const seen = mutedErrors();
    for (const [round, ack] of ["end", "live"].entries()) {
      const body = openBody();
      const response = receiver.fetch(await request(body.stream, { "Logmill-Ack": ack }));
      body.send(Buffer.concat([frame(0, 0), frame(1, 1).subarray(0, 20)]));
      await until(() => sink.blocks.length === round + 1);
      body.fail(new DOMException("The connection was closed.", "AbortError"));
      if (ack === "end") expect(await answer(await response)).toEqual([408, "cut_off"]);
      else {
        expect((await ackLines(await response).rest()).at(-1))
          .toEqual({ error: "cut_off", acked: textBytes(0, 0) });
      }
      expect(used()).toEqual(nothing);
    }
    expect(seen.restore()).toEqual([]);
    expect(sink.blocks.map(({ text }) => text)).toEqual([records(0, 0), records(0, 0)]);
  });

  test("after a live client that reads no answer and cancels it", async () => {
    const { receiver, admission, used } = setUp();
    const body = openBody();
    const response = await receiver.fetch(await request(body.stream, { "Logmill-Ack": "live" }));
    body.send(frame(0, 0));
    await response.body!.cancel();
    body.send(frame(1, 1));
    body.close();
    await until(() => admission.open("live") === 0);
    expect(used()).toEqual(nothing);
  });

  test("after a hundred uploads of every kind at once", async () => {
    const sink = new HeldSink();
    const { receiver, used } = setUp({ sink, live: 200, bulk: 200 });
    const responses = await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      if (i % 10 === 0) sink.failNext(new StorageError("disk full"));
      const body = i % 3 === 0 ? frame(i, i).subarray(0, 20) : frame(i, i);
      const headers = {
        "Logmill-Ack": i % 2 ? "live" : "end",
        "Logmill-Mode": i % 5 ? "live" : "bulk",
      };
      return receiver.fetch(await request(body, headers));
    }));
    await Promise.all(responses.map((response) => response.text()));
    expect(used()).toEqual(nothing);
  });

  /** Keeps what is said on stderr; returns the messages of it. */
  function mutedErrors() {
    const { error } = console;
    const seen: string[][] = [];
    console.error = (...words: unknown[]) => void seen.push(words.map((w) => (w as Error).message));
    return {
      restore: () => {
        console.error = error;
        return seen;
      },
    };
  }
});

describe("a commit that fails", () => {
  test("is told as a storage error, and the next upload works", async () => {
    const sink = new HeldSink();
    const { receiver, used } = setUp({ sink });
    sink.failNext(new StorageError("Cannot write: ENOSPC"));
    const response = await receiver.fetch(await request(frame(0, 0)));
    expect(response.headers.get("Retry-After")).toMatch(/^([1-9]|[1-5][0-9]|60)$/);
    expect(await answer(response)).toEqual([503, "storage"]);
    sink.failNext(new StorageError("Cannot write: ENOSPC"));
    const live = await receiver.fetch(await request(frame(0, 0), { "Logmill-Ack": "live" }));
    expect(await ackLines(live).rest()).toEqual([{ error: "storage", acked: 0 }]);
    expect((await receiver.fetch(await request(frame(0, 0)))).status).toBe(200);
    expect(sink.blocks.length).toBe(1);
    expect(used()).toEqual(nothing);
  });

  test("ends an open live stream at once, with what was durable before it", async () => {
    const sink = new HeldSink({ free: false });
    const { receiver, used } = setUp({ sink });
    const body = openBody();
    const lines = ackLines(
      await receiver.fetch(await request(body.stream, { "Logmill-Ack": "live" })),
    );
    body.send(frame(0, 0));
    await sink.end();
    expect(await lines.next()).toEqual({ acked: textBytes(0, 0) });
    body.send(frame(1, 1));
    await until(() => sink.waiting);
    body.send(frame(2, 2)); // In the next batch, which will succeed: it must not be acknowledged.
    await sink.end(new StorageError("EIO"));
    await sink.end();
    expect(await lines.rest()).toEqual([{ error: "storage", acked: textBytes(0, 0) }]);
    expect(body.cancelled).toBeDefined();
    expect(used()).toEqual(nothing);
  });

  test("in the middle of a batch leaves a segment that can be read, and none of it is acknowledged", async () => {
    using folder = new TemporaryFolder();
    const epoch = await new FolderStorage(folder.path).createEpoch("r1");
    let full = false;
    // A disk that takes one frame of a batch and has no room for the rest.
    const sink: Sink = {
      async commit(frames) {
        if (!full) return await epoch.commit(frames);
        await epoch.commit(frames.slice(0, 1));
        throw new StorageError("ENOSPC");
      },
      pace: epoch.pace,
      probe: () => epoch.probe(),
      close: () => epoch.close(),
    };
    const { receiver, commits, used } = setUp({ sink });
    expect((await receiver.fetch(await request(frame(0, 0)))).status).toBe(200);
    full = true;
    const big = () => compressFrame(Buffer.from(`#0 1 1 1\n6,1,1,-;${"x".repeat(900_000)}\n`));
    const refused = await Promise.all([
      receiver.fetch(await request(big())),
      receiver.fetch(await request(big(), {}, { by: router })),
    ]);
    expect(await Promise.all(refused.map(answer))).toEqual([[503, "storage"], [503, "storage"]]);
    full = false;
    expect((await receiver.fetch(await request(frame(2, 2)))).status).toBe(200);
    await commits.close();
    const text = storedText(folder.path, epoch);
    expect(text).toContain(records(0, 0));
    expect(text).toContain(records(2, 2));
    expect(used()).toEqual(nothing);
  });
});

describe("revocation", () => {
  test("cuts the device's open streams and no other's", async () => {
    const { receiver, admission, devices, used } = setUp();
    const bodies = { kiosk: openBody(), end: openBody(), router: openBody() };
    const live = { "Logmill-Ack": "live" };
    const cut = ackLines(await receiver.fetch(await request(bodies.kiosk.stream, live)));
    const ended = receiver.fetch(await request(bodies.end.stream));
    const other = ackLines(
      await receiver.fetch(await request(bodies.router.stream, live, { by: router })),
    );
    bodies.kiosk.send(frame(0, 0));
    expect(await cut.next()).toEqual({ acked: textBytes(0, 0) });
    await until(() => admission.open("live") === 3);
    devices.delete(kiosk.thumbprint);
    admission.cutRevoked((thumbprint) => devices.has(thumbprint));
    expect(await cut.rest()).toEqual([{ error: "revoked", acked: textBytes(0, 0) }]);
    expect(await answer(await ended)).toEqual([503, "revoked"]);
    expect(bodies.kiosk.cancelled).toBeDefined();
    expect(await answer(await receiver.fetch(await request(frame(1, 1)))))
      .toEqual([403, "unknown_device"]);
    bodies.router.send(frame(5, 5));
    bodies.router.close();
    expect((await other.rest()).at(-1)).toEqual({ done: true, acked: textBytes(5, 5) });
    expect(used()).toEqual(nothing);
  });
});

describe("stop", () => {
  test("ends open streams after acknowledging what was committed, and refuses new ones", async () => {
    const sink = new HeldSink({ free: false });
    const { receiver, admission, used } = setUp({ sink });
    const body = openBody();
    const lines = ackLines(
      await receiver.fetch(await request(body.stream, { "Logmill-Ack": "live" })),
    );
    expect(await (await receiver.fetch(new Request("http://receiver/healthz"))).text()).toBe(
      "ok\n",
    );
    body.send(frame(0, 0));
    await until(() => sink.waiting);
    let stopped = false;
    const stop = admission.stop().then(() => stopped = true);
    await settle();
    expect(stopped).toBe(false);
    expect(await answer(await receiver.fetch(await request(frame(1, 1)))))
      .toEqual([503, "stopping"]);
    const health = await receiver.fetch(new Request("http://receiver/healthz"));
    expect(await health.text()).toBe("stopping\n");
    await sink.end();
    expect((await lines.rest()).at(-1)).toEqual({ error: "stopping", acked: textBytes(0, 0) });
    await stop;
    expect(used()).toEqual(nothing);
  });

  test("wakes an upload that waits for room", async () => {
    const sink = new HeldSink({ free: false });
    const { receiver, admission, used } = setUp({ sink, bytes: textBytes(0, 0) });
    const first = receiver.fetch(await request(frame(0, 0)));
    await until(() => sink.waiting);
    const waiting = receiver.fetch(await request(frame(1, 1)));
    await until(() => admission.bytes.live.waiting === 1);
    const stop = admission.stop();
    expect(await answer(await waiting)).toEqual([503, "stopping"]);
    await sink.end();
    await first;
    await stop;
    expect(used()).toEqual(nothing);
  });
});

describe("bytes in flight", () => {
  test("over the budget end a live stream with busy; what was taken is acknowledged", async () => {
    const sink = new HeldSink({ free: false });
    const { receiver, admission, used } = setUp({ sink, bytes: textBytes(0, 0) + 10 });
    const body = openBody();
    const lines = ackLines(
      await receiver.fetch(await request(body.stream, { "Logmill-Ack": "live" })),
    );
    body.send(frame(0, 0));
    await until(() => sink.waiting);
    expect(admission.bytes.live.available).toBe(10);
    body.send(frame(1, 1));
    await until(() => body.cancelled !== undefined);
    await sink.end();
    expect((await lines.rest()).at(-1)).toEqual({ error: "busy", acked: textBytes(0, 0) });
    expect(used()).toEqual(nothing);
  });

  test("over the budget make an end stream wait, and it is stored in full", async () => {
    const sink = new HeldSink({ free: false });
    const { receiver, admission, used } = setUp({ sink, bytes: textBytes(0, 0) + 10 });
    const body = Buffer.concat([frame(0, 0), frame(1, 1), frame(2, 2)]);
    const response = receiver.fetch(await request(body));
    for (let commit = 0; commit < 3; commit++) {
      await until(() => sink.waiting);
      expect(admission.bytes.live.available).toBe(10);
      await sink.end();
    }
    expect(await (await response).json()).toEqual({ acked: 3 * textBytes(0, 0) });
    expect(sink.blocks.map(({ header }) => header.first)).toEqual([0, 1, 2]);
    expect(used()).toEqual(nothing);
  });
});

describe("the read-idle time-out", () => {
  test("is set at the start and with chunks, but not more often than it matters", async () => {
    let passedMs = 0;
    const { receiver } = setUp({ monotonicMs: () => passedMs });
    const body = openBody();
    const sent = await request(body.stream);
    const touched: Array<[Request, number]> = [];
    const server = { timeout: (r: Request, seconds: number) => void touched.push([r, seconds]) };
    const response = receiver.fetch(sent, server);
    await until(() => touched.length > 0);
    expect(touched.map(([, seconds]) => seconds)).toEqual([limits.readIdleMs / 1000]);
    expect(touched[0]![0]).toBe(sent);
    const bytes = frame(0, 0);
    body.send(bytes.subarray(0, 10));
    await settle();
    expect(touched.length).toBe(1);
    for (const [i, at] of [10, 12].entries()) {
      passedMs += limits.readIdleMs / 10;
      body.send(bytes.subarray(at, at + 2));
      await until(() => touched.length === i + 2);
    }
    body.send(bytes.subarray(14));
    body.close();
    expect((await response).status).toBe(200);
    expect(touched.length).toBe(3);
  });
});

test("any other path or method is not found, and tells nothing", async () => {
  const { receiver } = setUp();
  for (const [method, path] of [["GET", "/v1/logs"], ["POST", "/"], ["POST", "/v1/logs/x"]]) {
    expect((await receiver.fetch(new Request(`http://r${path}`, { method: method! }))).status).toBe(
      404,
    );
  }
});

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[(at + copy.length) % copy.length]! ^= 1;
  return copy;
}

/** The text of all segments of an epoch. */
function storedText(root: string, epoch: EpochWriter): string {
  const folder = join(root, "segments", epoch.receiver, epoch.epoch);
  return readdirSync(folder).filter((file) => file.endsWith(".zst")).sort()
    .flatMap((file) => decodeSegment(readFileSync(join(folder, file))))
    .map(({ text, damage }) => text ?? expect.unreachable(damage)).join("");
}
