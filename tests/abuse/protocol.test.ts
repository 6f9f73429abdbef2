import { afterAll, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { killAll } from "../programs.ts";
import {
  asEver,
  chunk,
  chunked,
  device,
  frame,
  lastChunk,
  Line,
  pause,
  state,
  Target,
} from "./target.ts";

/** Much of what is asserted here is the runtime's own answer: it is told when another one comes. */
const target = await Target.start();
afterAll(async () => {
  await target[Symbol.asyncDispose]();
  killAll();
});

const body = frame(0);
const lengthOf = (value: number | string) => ({ "Content-Length": String(value) });
const right = lengthOf(body.length);
const post = async (headers: Record<string, string>, requestLine?: string) =>
  Buffer.concat([Buffer.from(await target.head(headers, requestLine), "latin1"), body]);

/** Sends, waits until it is answered or ended, and for as long as more could come. */
async function answersTo(bytes: Uint8Array | string): Promise<{ statuses: number[]; line: Line }> {
  const line = target.line();
  line.send(bytes);
  await line.says(/\r\n\r\n/);
  await pause(50);
  line.close();
  return { statuses: line.statuses, line };
}

interface Shape {
  name: string;
  /** All that is sent. */
  bytes: () => Promise<Uint8Array | string>;
  statuses: number[];
}

function testShapes(shapes: Shape[]): void {
  for (const { name, bytes, statuses } of shapes) {
    test(`${name} is answered with ${statuses.join(" and ") || "nothing"}`, async () => {
      expect((await answersTo(await bytes())).statuses).toEqual(statuses);
      expect(await state(target)).toEqual(asEver);
    });
  }
}

const length = (name: string, value: string, ...statuses: number[]): Shape => ({
  name: `a Content-Length that is ${name}`,
  bytes: () => post(lengthOf(value)),
  statuses,
});

const headers = (name: string, more: Record<string, string>, ...statuses: number[]): Shape => ({
  name,
  bytes: () => post({ ...right, ...more }),
  statuses,
});

describe("a body's length", () => {
  testShapes([
    length("negative", "-1", 400),
    length("empty", "", 400),
    length("no number", "12x", 400),
    length("signed", `+${body.length}`, 400),
    length("of 20 digits", "9".repeat(20), 400),
    length("2^53", String(2 ** 53), 413),
    headers("two Content-Lengths that differ", { "content-length": "3" }, 400),
    headers("two Content-Lengths that agree", { "content-length": String(body.length) }, 200),
    headers("a Content-Length beside chunks", chunked, 400),
    headers("chunks in gzip", { "Transfer-Encoding": "gzip, chunked" }, 400),
    headers("gzip in chunks", { "Transfer-Encoding": "chunked, gzip" }, 400),
    headers("another Transfer-Encoding", { "Transfer-Encoding": "xchunked" }, 400),
  ]);

  test("that is too short cuts the frame, and what is left over is no request", async () => {
    const line = target.line();
    line.send(await post(lengthOf(body.length - 10)));
    await line.ended;
    expect(line.statuses[0]).toBe(400);
    expect(new Set(line.statuses)).toEqual(new Set([400]));
    expect(await state(target)).toEqual(asEver);
  });

  test("that is too long is waited for, holds one stream, and is cut off with its connection", async () => {
    const line = target.line();
    line.send(await post(lengthOf(body.length + 100)));
    expect(await line.says(/HTTP/, 300)).toBe("");
    expect(await target.metric("logmill_streams{")).toBe(1);
    line.halfClose();
    await line.ended;
    expect(await state(target)).toEqual(asEver);
  });
});

const chunks = (name: string, sent: Array<string | Uint8Array>, ...statuses: number[]): Shape => ({
  name: `a chunk ${name}`,
  bytes: async () =>
    Buffer.concat([await target.head(chunked), ...sent].map((part) => Buffer.from(part))),
  statuses,
});

const hex = (n: number) => n.toString(16);

describe("chunk sizes that lie", () => {
  testShapes([
    chunks("of the right size", [chunk(body), lastChunk], 200),
    chunks("with an extension", [`${hex(body.length)};x=y\r\n`, body, "\r\n", lastChunk], 200),
    // What comes behind the frame, `\r\n0\r\n\r\n`, is taken for the next one.
    chunks("said to be larger", [`${hex(body.length + 50)}\r\n`, body, `\r\n${lastChunk}`], 400),
    chunks("said to be smaller", [`${hex(body.length - 9)}\r\n`, body, `\r\n${lastChunk}`], 400),
    chunks("of negative size", ["-5\r\n", body, `\r\n${lastChunk}`], 400),
    chunks("whose size is no number", ["zz\r\n", body, `\r\n${lastChunk}`], 400),
    chunks("whose size begins with 0x", [`0x${hex(body.length)}\r\n`, body, "\r\n"], 400),
    chunks("of 2^64 - 1 bytes", ["ffffffffffffffff\r\n", body], 400),
    chunks("of 2^64 + 5 bytes", ["10000000000000005\r\n", body, "\r\n"], 400),
    chunks("without a line end behind it", [`${hex(body.length)}\r\n`, body, lastChunk], 400),
    chunks("with half a line end", [`${hex(body.length)}\n`, body, "\n0\n\n"], 400),
    chunks("with an endless extension", [`5;${"x".repeat(1_000_000)}`], 413),
    chunks("with a trailer behind the last", [chunk(body), "0\r\nX: y\r\n\r\n"], 400),
  ]);
});

const many = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`X${i}`, "y"]));

describe("headers", () => {
  testShapes([
    headers("a header of 15 KB", { X: "y".repeat(15_000) }, 200),
    headers("a header of 100 KB", { X: "y".repeat(100_000) }, 431),
    headers("150 headers", many(150), 200),
    headers("1,000 headers", many(1_000), 431),
    headers("a NUL in a header", { X: "a\0b" }, 400),
    headers("a CR in a header", { X: "a\rb" }, 400),
    headers("a header that goes on in the next line", { X: "a\r\n b" }, 400),
    headers("a name of bytes above ASCII", { "Logmill-Stream": "a\xe4" }, 400),
    headers("a stream with slashes", { "Logmill-Stream": "../../etc/passwd" }, 400),
    headers("a stream named ..", { "Logmill-Stream": ".." }, 400),
    headers("another device's name", { "Logmill-Device": "../victim" }, 200),
    headers("an upgrade to a WebSocket", {
      "Connection": "Upgrade",
      "Upgrade": "websocket",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      "Sec-WebSocket-Version": "13",
    }, 200),
    headers("an upgrade to HTTP/2", {
      "Connection": "Upgrade, HTTP2-Settings",
      "Upgrade": "h2c",
      "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA",
    }, 200),
  ]);
});

const asked = (name: string, requestLine: string, ...statuses: number[]): Shape => ({
  name,
  bytes: () => post(right, requestLine),
  statuses,
});

const plain = (name: string, bytes: string, ...statuses: number[]): Shape => ({
  name,
  bytes: () => Promise.resolve(Buffer.from(bytes, "latin1")),
  statuses,
});

describe("request lines", () => {
  testShapes([
    asked("HTTP/1.0", "POST /v1/logs HTTP/1.0", 200),
    asked("HTTP/2.0 in words", "POST /v1/logs HTTP/2.0", 505),
    plain("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    plain("HTTP/0.9", "GET /healthz\r\n", 505),
    plain("a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    plain("no HTTP at all", "\0\0\0\xff\r\n\r\n", 400),
    plain("no Host", "GET /healthz HTTP/1.1\r\n\r\n", 400),
    plain("CONNECT", "CONNECT other:80 HTTP/1.1\r\nHost: other\r\n\r\n", 404),
    plain("TRACE", "TRACE / HTTP/1.1\r\nHost: other\r\nX: secret\r\n\r\n", 404),
    plain("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: other\r\n\r\n", 400),
    asked("an absolute target", "POST http://other/v1/logs HTTP/1.1", 200),
    asked("a path without its slash", "POST v1/logs HTTP/1.1", 400),
    asked("a path with .. that leads to ours", "POST /x/../v1/logs HTTP/1.1", 200),
    asked("a path with .. that leads elsewhere", "POST /v1/logs/../../etc/passwd HTTP/1.1", 404),
    asked("a path with .. beyond the root", "POST /../../../etc/passwd HTTP/1.1", 404),
    asked("a path with %2e%2e", "POST /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", 404),
    asked("a path with two slashes", "POST //v1/logs HTTP/1.1", 404),
    asked("a path with %00", "POST /v1/logs%00 HTTP/1.1", 404),
    asked("a path with NUL", "POST /v1/logs\0 HTTP/1.1", 505),
  ]);
});

describe("pipelined requests", () => {
  /** Of those that were sent in one write: how many are stored, and how many were acknowledged. */
  async function pipelined(name: string, more: Record<string, string>, end: Uint8Array) {
    const heads = await Promise.all(
      [1, 2, 3].map((i) => target.head({ ...more, "Logmill-Boot": `${name}-${i}` })),
    );
    const { line } = await answersTo(
      Buffer.concat(heads.flatMap((head) => [Buffer.from(head), end])),
    );
    await target.held();
    const stored = (await target.blocks()).filter(({ header }) => header.boot.startsWith(name));
    expect(stored.map(({ header }) => header.device)).toEqual(stored.map(() => device));
    const acked = line.got.split(`"acked":${"#0 0 0 1\n6,0,1,-;line 0\n".length}`).length - 1;
    return { acked, stored: new Set(stored.map(({ header }) => header.boot)).size };
  }

  // Bun ends a connection on which a second request comes before the first one is answered. Nobody's agent
  // does that; what counts is that nothing is acknowledged that isn't stored, and nothing mixed.
  for (const ack of ["end", "live"]) {
    test(`acknowledge no more than is stored, Ack: ${ack}`, async () => {
      const live = { "Logmill-Ack": ack };
      const plain = await pipelined(`plain-${ack}`, { ...right, ...live }, body);
      expect(plain.acked).toBeLessThanOrEqual(plain.stored);
      expect(plain.stored).toBeGreaterThan(0);
      const end = Buffer.concat([chunk(body), Buffer.from(lastChunk)]);
      const inChunks = await pipelined(`chunks-${ack}`, { ...chunked, ...live }, end);
      expect(inChunks.acked).toBeLessThanOrEqual(inChunks.stored);
      expect(await state(target)).toEqual(asEver);
    });
  }

  test("behind a refused one don't become part of it", async () => {
    const refused = await post({
      ...right,
      Authorization: "Bearer x",
      "Logmill-Boot": "refused-1",
    });
    const good = await post({ ...right, "Logmill-Boot": "good-1" });
    const { statuses } = await answersTo(Buffer.concat([refused, good]));
    await target.held();
    const boots = (await target.blocks()).map(({ header }) => header.boot);
    expect(boots).not.toContain("refused-1");
    const stored = boots.filter((boot) => boot === "good-1").length;
    expect(stored).toBeGreaterThanOrEqual(statuses.filter((status) => status === 200).length);
    expect(await state(target)).toEqual(asEver);
  });
});

describe("connections that break", () => {
  // Bun takes a FIN for the end of the connection: an answer that isn't on its way yet never comes. (Agents
  // don't half-close; one that gets no answer sends again.)
  test("half closed after the body: an answer, if one comes, is true", async () => {
    for (let i = 0; i < 20; i++) {
      const line = target.line();
      line.send(await post({ ...right, "Logmill-Boot": `fin-${i}` }));
      line.halfClose();
      await line.ended;
      await target.held();
      const boots = (await target.blocks()).map(({ header }) => header.boot);
      if (line.got.includes("acked")) expect(boots).toContain(`fin-${i}`);
      else expect(line.got).not.toContain("200 OK");
    }
    expect(await state(target)).toEqual(asEver);
  });

  test("half closed in the middle of the body: the stream ends, what was whole stays", async () => {
    for (const ack of ["end", "live"]) {
      const boot = `half-${ack}`;
      const line = target.line();
      line.send(await target.head({ ...chunked, "Logmill-Ack": ack, "Logmill-Boot": boot }));
      line.send(Buffer.concat([chunk(body), chunk(body.subarray(0, 9))]));
      if (ack === "live") await line.says(/"acked":[1-9]/);
      else await line.says(/^$/, 200);
      line.halfClose();
      await line.ended;
      expect(line.got).not.toContain("done");
      expect(await state(target)).toEqual(asEver);
      expect((await target.blocks()).filter(({ header }) => header.boot === boot).length).toBe(1);
    }
  });

  test("reset at any place leave nothing behind", async () => {
    const whole = Buffer.concat([
      Buffer.from(await target.head(chunked)),
      chunk(body),
      chunk(body),
    ]);
    for (let at = 1; at < whole.length; at += 37) {
      const line = target.line();
      line.send(whole.subarray(0, at));
      await line.flushed(1_000);
      line.reset();
    }
    expect(await state(target)).toEqual(asEver);
  });

  test("one that asks before it sends (Expect: 100-continue) is told to", async () => {
    const line = target.line();
    line.send(await target.head({ ...right, Expect: "100-continue" }));
    expect(await line.says(/100 Continue/)).toContain("100 Continue");
    line.send(body);
    expect(await line.says(/acked/)).toContain("200 OK");
  });
});

test("at the end of it all only our device has anything stored", async () => {
  const blocks = await target.blocks();
  expect(new Set(blocks.map(({ header }) => header.device))).toEqual(new Set([device]));
  expect(blocks.length).toBeGreaterThan(50);
});
