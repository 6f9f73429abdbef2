import { Buffer } from "node:buffer";
import { constants, deflateRawSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "bun:test";
import { limits } from "./limits.ts";
import { readUploadFrame, type UploadBlock, uploadBlocks, UploadError } from "./upload.ts";
import { compressFrame } from "./zstd.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

/** mulberry32: numbers from 0 to 1, always the same. */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function noise(bytes: number, seed: number): Buffer {
  const random = seeded(seed);
  return Buffer.from(Array.from({ length: bytes }, () => Math.floor(random() * 256)));
}

function streamOf(chunks: Iterable<Uint8Array>): ReadableStream<Uint8Array> {
  const rest = chunks[Symbol.iterator]();
  return new ReadableStream({
    pull(controller) {
      const { value, done } = rest.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
}

function cutAt(body: Uint8Array, ...places: number[]): Uint8Array[] {
  const edges = [0, ...places, body.length];
  return edges.slice(1).map((end, i) => body.subarray(edges[i], end));
}

interface Outcome {
  blocks: UploadBlock[];
  error?: unknown;
}

/** All blocks of a body, up to its refusal. */
async function readBody(chunks: Iterable<Uint8Array>, encoding: string): Promise<Outcome> {
  const blocks: UploadBlock[] = [];
  try {
    for await (const block of uploadBlocks(streamOf(chunks), encoding)) blocks.push(block);
  } catch (error) {
    return { blocks, error };
  }
  return { blocks };
}

function recordsOf(outcome: Outcome): string {
  expect(outcome.error).toBeUndefined();
  return outcome.blocks.map((b) => Buffer.from(b.records).toString("latin1")).join("");
}

function expectRefusal(outcome: Outcome, status: number, code: string, message: RegExp): void {
  expect(outcome.error).toBeInstanceOf(UploadError);
  const error = outcome.error as UploadError;
  expect(`${error.status} ${error.code}`).toBe(`${status} ${code}`);
  expect(error.message).toMatch(message);
  expect(error.message).toStartWith("Cannot read the body because ");
}

const framed = (text: string) => compressFrame(Buffer.from(text, "latin1"));
const lines = "6,10,1,-;a\n K=V\n6,11,2,-;b #1 d b s t 1 1 1 1\n";
const frame = framed(`#0 10 11 2\n${lines}`);

describe("a zstd upload", () => {
  test("gives a block for each frame", async () => {
    const second = framed("#0 12 12 1\n6,12,3,-;c\n");
    const { blocks, error } = await readBody([Buffer.concat([frame, second])], "zstd");
    expect(error).toBeUndefined();
    expect(blocks.map((b) => b.header)).toEqual([
      { first: 10, last: 11, count: 2 },
      { first: 12, last: 12, count: 1 },
    ]);
    expect(blocks.map((b) => Buffer.from(b.records).toString())).toEqual([
      lines,
      "6,12,3,-;c\n",
    ]);
    expect(blocks.map((b) => b.decodedBytes)).toEqual([11 + lines.length, 22]);
  });

  test("reads the same wherever its chunks are cut", async () => {
    const body = Buffer.concat([frame, framed("#0 0 0 0\n"), frame]);
    const whole = recordsOf(await readBody([body], "zstd"));
    expect(whole).toBe(lines + lines);
    for (let at = 0; at <= body.length; at++) {
      expect(recordsOf(await readBody(cutAt(body, at), "zstd"))).toBe(whole);
    }
    const bytes = cutAt(body, ...Array.from({ length: body.length - 1 }, (_, i) => i + 1));
    expect(recordsOf(await readBody(bytes, "zstd"))).toBe(whole);
  });

  test("gives a frame's block as soon as the frame is whole", async () => {
    let sent = 0;
    const chunks = function* () {
      for (; sent < 3; sent++) yield frame;
    };
    const seen: number[] = [];
    for await (const _ of uploadBlocks(streamOf(chunks()), "zstd")) seen.push(sent);
    // A stream reads one chunk ahead.
    seen.forEach((count, i) => expect(count).toBeLessThanOrEqual(i + 2));
    expect(seen.length).toBe(3);
  });

  test("of nothing is nothing", async () => {
    expect(await readBody([], "zstd")).toEqual({ blocks: [] });
    expect(await readBody([new Uint8Array(0)], "zstd")).toEqual({ blocks: [] });
  });

  test("passes on FIRST LAST COUNT that lie: they hurt only their own device", async () => {
    for (
      const [line, header] of [
        ["#0 0 9223372036854775808 5", { first: 0, last: 2 ** 63, count: 5 }],
        ["#0 9 1 7", { first: 9, last: 1, count: 7 }],
        ["#0 0 0 0", { first: 0, last: 0, count: 0 }],
      ] as const
    ) {
      const { blocks } = await readBody([framed(`${line}\n${lines}`)], "zstd");
      expect(blocks.map((b) => b.header)).toEqual([header]);
    }
  });

  test("passes on bytes that are no UTF-8 and lines that are no records", async () => {
    const text = "6,1,2,-;\xff\xfe\x00\r\nrubbish\n\n\n";
    expect(recordsOf(await readBody([framed(`#0 1 1 1\n${text}`)], "zstd"))).toBe(text);
  });

  test("takes the largest frame, however little of it compresses", async () => {
    const text = noise(limits.uploadFrameTextBytesMax, 1).map((byte) =>
      byte === 0x0a ? 0x61 : byte
    );
    text.set(Buffer.from("#0 1 1 1\n"), 0);
    text.set(Buffer.from("\n"), text.length - 1);
    const body = compressFrame(text);
    expect(body.length).toBeGreaterThan(limits.uploadFrameTextBytesMax);
    const { blocks, error } = await readBody([body.subarray(0, 7), body.subarray(7)], "zstd");
    expect(error).toBeUndefined();
    expect(blocks[0]!.records.length).toBe(text.length - 9);
  });

  test("may come in one chunk of many frames (it was refused when 2 MiB were held)", async () => {
    const filler = noise(500 * KiB, 2).map((byte) => byte === 0x0a ? 0x61 : byte);
    const big = compressFrame(
      Buffer.concat([Buffer.from("#0 1 1 1\n6,1,2,-;"), filler, Buffer.from("\n")]),
    );
    const body = Buffer.concat(Array.from({ length: 10 }, () => big));
    expect((await readBody([body], "zstd")).blocks.length).toBe(10);
  });

  test("is refused from its first malformed frame on, and what came before stays", async () => {
    const silent = Buffer.from("28b52ffd005049000023302030203020300a", "hex");
    const refused: Array<[string, Uint8Array, RegExp]> = [
      ["text", Buffer.from(lines), /it must be zstd frames: no frame magic/],
      ["gzip", gzipSync(lines), /no frame magic/],
      ["a skippable frame", Buffer.from("502a4d180400000061626364", "hex"), /no frame magic/],
      ["a dictionary", Buffer.from("28b52ffd250705290000616263", "hex"), /dictionary/],
      ["a cut frame", frame.subarray(0, frame.length - 1), /last frame must be whole: \d+ bytes/],
      ["four bytes", frame.subarray(0, 4), /last frame must be whole: 4 bytes/],
      [
        "no content size",
        silent,
        /state its content size/,
      ],
    ];
    for (const [what, bytes, why] of refused) {
      const outcome = await readBody([Buffer.concat([frame, bytes])], "zstd");
      expectRefusal(outcome, 400, "bad_frame", why);
      expect([what, outcome.blocks.length]).toEqual([what, 1]);
    }
  });

  test("is refused where a frame's text isn't a header line and whole records", async () => {
    const refused: Array<[string, RegExp]> = [
      ["", /begin with a line `#0/],
      ["\n", /begin with a line `#0/],
      [lines, /begin with a line `#0/],
      ["#0 1 2\n6,1,2,-;x\n", /begin with a line `#0/],
      ["#0 1 1 1", /begin with a line `#0/],
      ["#1 dev boot s t 5 1 1 1\n6,1,2,-;x\n", /begin with a line `#0/],
      ["#0 1 1 1\n6,1,2,-;x", /end in a newline/],
      ["#0 1 1 1\n K=V\n6,1,2,-;x\n", /must not begin with a space/],
      ["#0 1 1 1\n6,1,2,-;x\n#1 other boot s t 5 1 1 1\n6,1,2,-;forged\n", /begin with #: one/],
      ["#0 1 1 1\n#1 other boot s t 5 1 1 1\n6,1,2,-;forged\n", /begin with #: one/],
      ["#0 1 1 1\n6,1,2,-;x\n#end\n", /begin with #: one/],
      ["#0 1 1 1\n#\n", /begin with #: one/],
    ];
    for (const [text, why] of refused) {
      expectRefusal(await readBody([framed(text)], "zstd"), 400, "bad_frame", why);
    }
  });

  test("is refused where a frame doesn't decode to what it says", async () => {
    const broken = Buffer.from(frame);
    broken[broken.length - 1]! ^= 1;
    expectRefusal(await readBody([broken], "zstd"), 400, "bad_frame", /decode to what it says/);
    expect(() => readUploadFrame(broken)).toThrow(UploadError);
    expect(() => readUploadFrame(frame.subarray(1))).toThrow("whole zstd frames");
  });

  test("is refused where a frame claims too much, before it is all there", async () => {
    const text = Buffer.alloc(limits.uploadFrameTextBytesMax + 1, "a");
    const big = compressFrame(text);
    const outcome = await readBody([big.subarray(0, 12)], "zstd");
    expectRefusal(
      outcome,
      413,
      "frame_too_large",
      /at most 1047552 bytes of text: it says 1047553/,
    );
    const endless = Buffer.from("28b52ffde0ffffffffffffffff", "hex");
    expectRefusal(await readBody([endless], "zstd"), 413, "frame_too_large", /it says 1844/);
  });

  test("is refused where a frame claims less than 1 MiB and holds 1 GiB", async () => {
    const rle = Array.from({ length: 8_192 }, (_, i) => {
      const block = Buffer.from("00000061", "hex");
      block.writeUIntLE((128 * KiB << 3) | 2 | (i === 8_191 ? 1 : 0), 0, 3);
      return block;
    });
    const head = Buffer.from("28b52ffda000000000", "hex");
    head.writeUInt32LE(limits.uploadFrameTextBytesMax, 5);
    const before = process.memoryUsage().rss;
    const outcome = await readBody([Buffer.concat([head, ...rle])], "zstd");
    expectRefusal(outcome, 400, "bad_frame", /decode to what it says/);
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * MiB);
  });

  test("in chunks of one byte isn't copied as a whole for each of them", async () => {
    const block = Buffer.concat([Buffer.from("000010", "hex"), Buffer.alloc(131_072)]);
    const chunks = function* () {
      yield Buffer.concat([Buffer.from("28b52ffd8068ffff0000", "hex"), ...Array(7).fill(block)]);
      yield block.subarray(0, 100_000);
      for (let i = 0; i < 3_000; i++) yield Buffer.from([0]);
    };
    const startMs = performance.now();
    expectRefusal(await readBody(chunks(), "zstd"), 400, "bad_frame", /must be whole/);
    // It took 0.27 ms for each chunk when it was, and 4 ms when a million empty blocks were walked.
    expect((performance.now() - startMs) / 3_000).toBeLessThan(0.1);
  });

  test("is refused where a frame never ends, before much of it is held", async () => {
    let sent = 0;
    const chunks = function* () {
      yield Buffer.from("28b52ffd0050", "hex"); // No content size.
      const empty = Buffer.alloc(30 * KiB); // Raw blocks of 0 bytes, none of them the last.
      for (; sent < 1_000; sent++) yield empty;
    };
    const outcome = await readBody(chunks(), "zstd");
    expectRefusal(outcome, 400, "bad_frame", /more than \d+ blocks/);
    expect(sent * 30 * KiB).toBeLessThan(2 * limits.uploadFrameBytesMax);
    // Neither in large blocks.
    const blocks = Array(9).fill(
      Buffer.concat([Buffer.from("000010", "hex"), Buffer.alloc(131_072)]),
    );
    const large = [Buffer.concat([Buffer.from("28b52ffd0050", "hex"), ...blocks])];
    expectRefusal(await readBody(large, "zstd"), 400, "bad_frame", /must take at most/);
    // All of it in one chunk, and whole, is no better.
    const whole = Buffer.concat([
      Buffer.from("28b52ffd2000", "hex"),
      Buffer.alloc(1_200 * KiB),
      Buffer.from("010000", "hex"),
    ]);
    expectRefusal(await readBody([whole], "zstd"), 400, "bad_frame", /more than \d+ blocks/);
  });

  test("passes on what its body throws", async () => {
    const cut = new Error("connection reset");
    const chunks = function* (first: Uint8Array) {
      yield first;
      throw cut;
    };
    expect((await readBody(chunks(frame), "zstd")).error).toBe(cut);
    expect((await readBody(chunks(gzipSync("a\nb\n").subarray(0, 15)), "gzip")).error).toBe(cut);
    expect((await readBody(chunks(Buffer.from("a\n")), "")).error).toBe(cut);
  });
});

describe("an upload's Content-Encoding", () => {
  test("must be zstd, gzip or none", () => {
    for (const encoding of ["br", "deflate", "zstd, gzip", "ZSTD", "x-gzip"]) {
      const attempt = () => uploadBlocks(streamOf([]), encoding);
      expect(attempt).toThrow(`must be zstd, gzip or none: it is ${encoding}`);
      try {
        attempt();
      } catch (error) {
        expect([(error as UploadError).status, (error as UploadError).code])
          .toEqual([415, "unsupported_encoding"]);
      }
    }
  });

  test("of none may be called identity", async () => {
    expect(recordsOf(await readBody([Buffer.from("a\n")], "identity"))).toBe("a\n");
    expect(recordsOf(await readBody([Buffer.from("a\n")], ""))).toBe("a\n");
  });
});

/** What a raw upload becomes: the slow and obvious way. */
function rawTwin(body: Buffer): string {
  const text = body.toString("latin1");
  const whole = text === "" || text.endsWith("\n") ? text : `${text}\n`;
  const max = limits.rawLineBytesMax;
  const cut = whole.split("\n").slice(0, -1).flatMap((line) =>
    line === "" ? [""] : Array.from(
      { length: Math.ceil(line.length / max) },
      (_, i) => line.slice(i * max, (i + 1) * max),
    )
  );
  return cut.map((line) => `${line.replace(/^#/, "\\x23")}\n`).join("");
}

async function expectRaw(body: Buffer, chunks: Uint8Array[]): Promise<UploadBlock[]> {
  const outcome = await readBody(chunks, "");
  const records = recordsOf(outcome);
  const twin = rawTwin(body);
  // Not `toBe`, which would print megabytes.
  if (records !== twin) {
    const at = [...records].findIndex((char, i) => char !== twin[i]);
    const near = (text: string) => text.slice(at - 20, at + 20);
    expect([at, records.length, near(records)]).toEqual([at, twin.length, near(twin)]);
  }
  const decoded = outcome.blocks.reduce((sum, b) => sum + b.decodedBytes, 0);
  expect(decoded).toBe(body.length);
  return outcome.blocks;
}

describe("a raw upload", () => {
  test("gives its lines as they came, counted from 0 in each block", async () => {
    const body = Buffer.from("[    0.1] hello\n\n leading space\r\nlast without newline");
    const [block] = await expectRaw(body, [body]);
    expect(block!.header).toEqual({ first: 0, last: 3, count: 4 });
    expect(Buffer.from(block!.records).toString()).toBe(`${body}\n`);
    expect(block!.decodedBytes).toBe(body.length);
  });

  test("can't forge a header: a leading # is escaped, others stay", async () => {
    const body = Buffer.from("#1 other boot s t 5 1 1 1\n6,1,2,-;forged\n#end\n##\n a # b\n#");
    const outcome = await readBody([body], "");
    expect(recordsOf(outcome)).toBe(
      "\\x231 other boot s t 5 1 1 1\n6,1,2,-;forged\n\\x23end\n\\x23#\n a # b\n\\x23\n",
    );
    // The piece of a cut line that begins with one as well.
    const long = Buffer.from("a".repeat(limits.rawLineBytesMax) + "#1 forged\n");
    expect(recordsOf(await readBody([long], ""))).toEndWith("a\n\\x231 forged\n");
  });

  test("reads the same wherever its chunks are cut", async () => {
    const body = Buffer.from("#one\n\ntwo \xff\xfe\n#\n three", "latin1");
    for (let at = 0; at <= body.length; at++) await expectRaw(body, cutAt(body, at));
    await expectRaw(body, cutAt(body, ...Array.from({ length: body.length - 1 }, (_, i) => i + 1)));
  });

  test("equals its slow twin, whatever its lines and chunks are", async () => {
    const random = seeded(77);
    const lengths = [
      0,
      1,
      80,
      64 * KiB - 1,
      64 * KiB,
      64 * KiB + 1,
      256 * KiB - 1,
      256 * KiB,
      600_000,
    ];
    for (let round = 0; round < 60; round++) {
      const parts: Buffer[] = [];
      for (let line = 0; line < 12; line++) {
        const length = lengths[Math.floor(random() * lengths.length)]!;
        parts.push(Buffer.alloc(length, random() < 0.3 ? "#" : "x"), Buffer.from("\n"));
      }
      if (random() < 0.5) parts.pop();
      const body = Buffer.concat(parts);
      const places = Array.from({ length: 8 }, () => Math.floor(random() * body.length));
      await expectRaw(body, cutAt(body, ...places.sort((a, b) => a - b)));
    }
  });

  test("of a line that ends with a block gets no empty line behind it", async () => {
    const body = Buffer.from(`${"x".repeat(256 * KiB)}\nnext\n`);
    const blocks = await expectRaw(body, [body]);
    expect(blocks.map((b) => b.header.count)).toEqual([4, 1]);
  });

  test("of one line of 10 MB is cut into lines, and into blocks that fit a frame", async () => {
    const body = Buffer.concat([Buffer.from("first\n"), Buffer.alloc(10_000_000, "x")]);
    const blocks = await expectRaw(body, cutAt(body, 1_000_000, 1_000_001, 7_000_000));
    for (const block of blocks) {
      expect(block.records.length).toBeLessThan(limits.uploadFrameTextBytesMax);
      expect(Buffer.from(block.records).toString().split("\n").length - 1).toBe(block.header.count);
    }
    expect(Math.max(...blocks.map((b) => b.decodedBytes))).toBeLessThanOrEqual(256 * KiB + 1);
  });

  test("of nothing but # and newlines still fits a frame", async () => {
    const body = Buffer.from("#\n".repeat(400_000));
    const blocks = await expectRaw(body, [body]);
    for (const block of blocks) {
      expect(block.records.length).toBeLessThan(limits.uploadFrameTextBytesMax);
    }
  });

  test("of clean lines isn't copied; one that had to be cleaned is", async () => {
    const [clean, other] = [Buffer.from("hello\n"), Buffer.from("#hello\n")];
    const records = async (chunk: Buffer) => (await readBody([chunk], "")).blocks[0]!.records;
    const [kept, cleaned] = [await records(clean), await records(other)];
    clean.fill("x");
    other.fill("x");
    expect(Buffer.from(kept).toString()).toBe("xxxxxx");
    expect(Buffer.from(cleaned).toString()).toBe("\\x23hello\n");
  });

  test("is refused when it holds more than its limit", async () => {
    const piece = Buffer.from(`${"x".repeat(1023)}\n`.repeat(1024));
    const chunks = function* () {
      for (let sent = 0; sent <= limits.rawBodyBytesMax; sent += piece.length) yield piece;
    };
    let blocks = 0;
    const attempt = async () => {
      for await (const _ of uploadBlocks(streamOf(chunks()), "")) blocks++;
    };
    const error = await attempt().then(() => undefined, (error: unknown) => error);
    expectRefusal(
      { blocks: [], error },
      413,
      "body_too_large",
      /at most 268435456 bytes.*in parts/,
    );
    expect(blocks).toBeGreaterThan(1_000);
  }, 60_000);
});

describe("a gzip upload", () => {
  const text = "#one\ntwo\n".repeat(5_000);
  const zipped = gzipSync(text);

  test("gives its lines as a raw one does, wherever its chunks are cut", async () => {
    const whole = rawTwin(Buffer.from(text));
    expect(recordsOf(await readBody([zipped], "gzip"))).toBe(whole);
    for (let at = 0; at <= zipped.length; at++) {
      expect(recordsOf(await readBody(cutAt(zipped, at), "gzip"))).toBe(whole);
    }
  });

  test("is refused where it is cut, empty, damaged or no gzip", async () => {
    const damaged = Buffer.from(zipped);
    damaged[damaged.length - 6]! ^= 1; // In the checksum.
    const bodies = [
      zipped.subarray(0, zipped.length - 1),
      zipped.subarray(0, zipped.length - 8),
      zipped.subarray(0, 20),
      Buffer.alloc(0),
      damaged,
      Buffer.from(text),
      Buffer.concat([zipped, Buffer.from("rubbish")]),
    ];
    for (const body of bodies) {
      expectRefusal(await readBody([body], "gzip"), 400, "bad_frame", /must be whole gzip/);
    }
  });

  test("that is a bomb is refused at the limit, and never held as a whole", async () => {
    // Each piece is 1 MiB of zeros that ends on a byte: 1,100 of them are more than 1 GiB.
    const zeros = Buffer.alloc(MiB);
    const piece = deflateRawSync(zeros, { finishFlush: constants.Z_FULL_FLUSH });
    const head = Buffer.from("1f8b0800000000000003", "hex");
    const bomb = Buffer.concat([head, ...Array.from({ length: 1_100 }, () => piece)]);
    expect(bomb.length).toBeLessThan(2 * MiB);
    let decoded = 0;
    let rssMax = 0;
    const before = process.memoryUsage().rss;
    const attempt = async () => {
      for await (const block of uploadBlocks(streamOf([bomb]), "gzip")) {
        decoded += block.decodedBytes;
        rssMax = Math.max(rssMax, process.memoryUsage().rss - before);
      }
    };
    const error = await attempt().then(() => undefined, (error: unknown) => error);
    expectRefusal({ blocks: [], error }, 413, "body_too_large", /raw upload/);
    expect(decoded).toBeLessThanOrEqual(limits.rawBodyBytesMax);
    // Garbage that isn't collected yet counts here; the whole of it would be 1.1 GiB.
    expect(rssMax).toBeLessThan(2 * limits.rawBodyBytesMax);
  }, 60_000);
});
