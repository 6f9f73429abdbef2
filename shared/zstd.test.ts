import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { describe, expect, test } from "bun:test";
import { limits } from "./limits.ts";
import { compressFrame, decompressFrame, nextMagic, walkFrame } from "./zstd.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const magic = "28b52ffd";

function hex(...parts: string[]): Buffer {
  return Buffer.from(parts.join("").replaceAll(" ", ""), "hex");
}

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

/** A log text of that many bytes. */
function logText(bytes: number): Buffer {
  const random = seeded(bytes);
  const lines: string[] = [];
  for (let length = 0, seq = 0; length < bytes; seq++) {
    const line = `6,${seq},${seq * 1000},-;wlan${Math.floor(random() * 8)}: STA ${random()}\n`;
    lines.push(line);
    length += line.length;
  }
  return Buffer.from(lines.join("").slice(0, bytes));
}

function blockHeader(type: "raw" | "rle", size: number, last: boolean): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((size << 3) | ((type === "rle" ? 1 : 0) << 1) | (last ? 1 : 0), 0, 3);
  return header;
}

/** One byte after the other of the lengths at which a cut is interesting. */
function* cuts(length: number): Generator<number> {
  const step = Math.max(1, Math.floor(length / 500));
  for (let at = 0; at < length; at += at < 64 || at > length - 64 ? 1 : step) yield at;
}

/** What a reader does with a frame: undefined if it refuses it. */
function decoded(frame: Buffer): Buffer | undefined {
  const walk = walkFrame(frame);
  if (walk.kind !== "frame" || walk.contentSize === undefined || !walk.checksum) return undefined;
  if (walk.contentSize > limits.frameTextBytesMax) return undefined;
  try {
    return decompressFrame(frame.subarray(0, walk.length), walk.contentSize);
  } catch {
    return undefined;
  }
}

describe("a frame of ours", () => {
  test("is these bytes", () => {
    // Magic, single segment and checksum, content size 5, one last raw block of 5, text, checksum.
    const golden = hex(magic, "24", "05", "290000", "23656e640a", "060fbd82");
    expect(compressFrame(Buffer.from("#end\n")).toString("hex")).toBe(golden.toString("hex"));
    expect(walkFrame(golden)).toEqual({
      kind: "frame",
      length: 18,
      contentSize: 5,
      checksum: true,
    });
    expect(decompressFrame(golden, 5).toString()).toBe("#end\n");
  });

  test("is walked and read back with a content size of every width", () => {
    const sizes = [0, 1, 2, 100, 255, 256, 257, 65_535, 65_791, 65_792, 70_000, 300_000, MiB];
    for (const size of sizes) {
      for (const text of [logText(size), noise(size, size), Buffer.alloc(size, "a")]) {
        for (const level of [1, 3, 9]) {
          const frame = compressFrame(text, level);
          const walk = walkFrame(frame);
          expect(walk).toEqual({
            kind: "frame",
            length: frame.length,
            contentSize: size,
            checksum: true,
          });
          expect(decompressFrame(frame, size).equals(text)).toBe(true);
        }
      }
    }
  });

  test("keeps to its limit whatever is in it", () => {
    const text = noise(limits.uploadFrameTextBytesMax, 1);
    expect(compressFrame(text).length).toBeLessThanOrEqual(limits.uploadFrameBytesMax);
  });

  test("is walked at its place among others", () => {
    const frames = [logText(10), logText(5_000), noise(200_000, 7)].map((t) => compressFrame(t));
    const all = Buffer.concat([hex("ffff"), ...frames]);
    // A view that doesn't begin where its memory does.
    const view = all.subarray(2);
    let at = 0;
    for (const frame of frames) {
      expect(walkFrame(view, at)).toMatchObject({ kind: "frame", length: frame.length });
      at += frame.length;
    }
    expect(walkFrame(view, at)).toEqual({ kind: "incomplete", atLeast: 5 });
  });

  test("is incomplete wherever it is cut", () => {
    for (const text of [logText(0), logText(5), logText(1_000), logText(70_000), noise(MiB, 3)]) {
      const frame = compressFrame(text);
      for (const cut of cuts(frame.length)) {
        const { kind } = walkFrame(frame.subarray(0, cut));
        expect(kind).toBe("incomplete");
      }
    }
    expect(walkFrame(compressFrame(logText(70_000)).subarray(0, 20))).toMatchObject({
      kind: "incomplete",
      contentSize: 70_000,
    });
  });
});

describe("a frame made by hand", () => {
  test("may be of raw and RLE blocks", () => {
    const frame = Buffer.concat([
      hex(magic, "20", "0b"), // Single segment, no checksum, 11 bytes.
      blockHeader("raw", 4, false),
      Buffer.from("abcd"),
      blockHeader("rle", 5, false),
      Buffer.from("x"),
      blockHeader("raw", 2, true),
      Buffer.from("yz"),
    ]);
    expect(walkFrame(frame)).toEqual({
      kind: "frame",
      length: frame.length,
      contentSize: 11,
      checksum: false,
    });
    expect(decompressFrame(frame, 11).toString()).toBe("abcdxxxxxyz");
    for (let cut = 0; cut < frame.length; cut++) {
      expect(walkFrame(frame.subarray(0, cut)).kind).toBe("incomplete");
    }
  });

  test("may state its content size in 8 bytes, or not at all", () => {
    const block = Buffer.concat([blockHeader("raw", 2, true), Buffer.from("ab")]);
    const wide = Buffer.concat([hex(magic, "e0", "0200000000000000"), block]);
    expect(walkFrame(wide)).toMatchObject({ kind: "frame", contentSize: 2 });
    expect(decompressFrame(wide, 2).toString()).toBe("ab");
    const silent = Buffer.concat([hex(magic, "00", "50"), block]);
    expect(walkFrame(silent)).toEqual({
      kind: "frame",
      length: silent.length,
      contentSize: undefined,
      checksum: false,
    });
  });

  test("may claim 2^64 - 1 bytes: that is told before anything is allocated", () => {
    const frame = Buffer.concat([
      hex(magic, "e0", "ffffffffffffffff"),
      blockHeader("rle", 1, true),
    ]);
    expect(walkFrame(frame)).toEqual({ kind: "incomplete", contentSize: 2 ** 64, atLeast: 17 });
  });
});

describe("walkFrame", () => {
  test("refuses what is no frame of ours", () => {
    const refused: Array<[string, string, RegExp]> = [
      ["a skippable frame", "502a4d18 04000000 61626364", /magic/],
      ["text", Buffer.from("6,1,2,-;hello\n").toString("hex"), /magic/],
      ["a frame of version 0.7", "27b52ffd 24 05 290000", /magic/],
      ["a reserved bit", `${magic} 2c 05 290000 23656e640a 060fbd82`, /reserved bit/],
      ["a dictionary id of 1 byte", `${magic} 25 07 05 290000 23656e640a`, /dictionary/],
      ["a dictionary id of 2 bytes", `${magic} 26 0700 05 290000`, /dictionary/],
      ["a dictionary id of 4 bytes", `${magic} 27 07000000 05 290000`, /dictionary/],
      ["a block of a reserved type", `${magic} 20 05 2f0000 23656e640a`, /reserved type/],
      ["a block of 128 KiB and 1 byte", `${magic} a0 00001000 090010`, /128 KiB/],
    ];
    for (const [what, bytes, why] of refused) {
      const walk = walkFrame(hex(bytes));
      expect([what, walk.kind]).toEqual([what, "damaged"]);
      expect(walk.kind === "damaged" ? walk.why : "").toMatch(why);
    }
  });

  test("wants more bytes where there are none", () => {
    expect(walkFrame(Buffer.alloc(0))).toEqual({ kind: "incomplete", atLeast: 5 });
    expect(walkFrame(hex(magic))).toEqual({ kind: "incomplete", atLeast: 5 });
  });
});

describe("decompressFrame", () => {
  test("refuses a frame that holds more than it claims, without allocating it", () => {
    // 8,192 RLE blocks of 128 KiB are 1 GiB.
    const blocks = Array.from(
      { length: 8_192 },
      (_, i) => Buffer.concat([blockHeader("rle", 128 * KiB, i === 8_191), Buffer.from("a")]),
    );
    const claims: Array<[string, number]> = [
      [`${magic} a0 00001000`, MiB], // Single segment, 4 bytes.
      [`${magic} 40 50 0a00`, 266], // A window of 1 MiB, 2 bytes.
      [`${magic} 20 00`, 0],
      [`${magic} 20 01`, 1],
    ];
    const before = process.memoryUsage().rss;
    for (const [head, size] of claims) {
      const bomb = Buffer.concat([hex(head), ...blocks]);
      expect(walkFrame(bomb)).toMatchObject({ kind: "frame", contentSize: size });
      expect(() => decompressFrame(bomb, size)).toThrow();
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * MiB);
  });

  test("refuses a frame whose content size was patched", () => {
    const frame = compressFrame(Buffer.alloc(MiB, "a"));
    expect(walkFrame(frame)).toMatchObject({ contentSize: MiB });
    for (const size of [MiB - 1, MiB + 1, 1, 2 * MiB]) {
      const patched = Buffer.from(frame);
      // Behind magic, descriptor and, where it isn't a single segment, the window.
      patched.writeUInt32LE(size, patched[4]! & 0x20 ? 5 : 6);
      expect(walkFrame(patched)).toMatchObject({ kind: "frame", contentSize: size });
      expect(() => decompressFrame(patched, size)).toThrow();
    }
  });

  test("refuses a frame that holds less or more than is asked for", () => {
    const frame = compressFrame(logText(100));
    expect(() => decompressFrame(frame, 99)).toThrow();
    expect(() => decompressFrame(frame, 101)).toThrow("holds 100 bytes where it promises 101");
    expect(() => decompressFrame(frame, 0)).toThrow();
  });

  test("refuses an empty frame that isn't empty", () => {
    const frame = hex(magic, "20", "00", "090000", "41");
    expect(walkFrame(frame)).toMatchObject({ kind: "frame", contentSize: 0 });
    expect(() => decompressFrame(frame, 0)).toThrow();
    expect(decompressFrame(compressFrame(Buffer.alloc(0)), 0).length).toBe(0);
  });

  test("refuses a frame whose checksum fails", () => {
    for (const text of [logText(5), logText(5_000), noise(5_000, 9)]) {
      const frame = compressFrame(text);
      for (let back = 1; back <= 4; back++) {
        const broken = Buffer.from(frame);
        broken[frame.length - back]! ^= 0x10;
        expect(() => decompressFrame(broken, text.length)).toThrow();
      }
    }
    // The text of a raw block: nothing but the checksum can notice.
    const broken = compressFrame(Buffer.from("#end\n"));
    broken[10]! ^= 1;
    expect(() => decompressFrame(broken, 5)).toThrow();
  });

  test("never gives another text than the one that was compressed, whatever is mutated", () => {
    const random = seeded(20261122);
    const texts = [
      logText(40),
      logText(700),
      logText(6_000),
      noise(300, 4),
      Buffer.alloc(3_000, 97),
    ];
    let refused = 0;
    for (let round = 0; round < 6_000; round++) {
      const text = texts[round % texts.length]!;
      const frame = compressFrame(text);
      const changes = 1 + Math.floor(random() * 3);
      for (let change = 0; change < changes; change++) {
        const at = Math.floor(random() * (random() < 0.3 ? 16 : frame.length)) % frame.length;
        frame[at] = random() < 0.5
          ? frame[at]! ^ (1 << Math.floor(random() * 8))
          : Math.floor(random() * 256);
      }
      const got = decoded(frame);
      if (got === undefined) refused++;
      else if (!got.equals(text)) expect([round, got.toString("latin1")]).toEqual([round, ""]);
    }
    expect(refused).toBeGreaterThan(5_000);
  });
});

describe("nextMagic", () => {
  test("finds the next frame, and nothing that only looks like one", () => {
    const frame = compressFrame(logText(10));
    const bytes = Buffer.concat([hex("28 28b5 28b52f 28b52f28b52f"), frame, hex("28b52f")]);
    const place = bytes.indexOf(frame);
    expect(nextMagic(bytes, 0)).toBe(place);
    expect(nextMagic(bytes, place)).toBe(place);
    expect(nextMagic(bytes, place + 1)).toBe(-1);
    expect(nextMagic(bytes, bytes.length + 10)).toBe(-1);
    expect(nextMagic(Buffer.alloc(0), 0)).toBe(-1);
  });

  test("equals its slow twin on any bytes", () => {
    const random = seeded(5);
    const parts = ["28", "b5", "2f", "fd", "28b52ffd", "00"];
    for (let round = 0; round < 300; round++) {
      const pick = () => parts[Math.floor(random() * parts.length)]!;
      const bytes = hex(...Array.from({ length: 30 }, pick));
      const from = Math.floor(random() * bytes.length);
      let slow = from;
      while (slow < bytes.length && bytes.toString("hex", slow, slow + 4) !== magic) slow++;
      expect(nextMagic(bytes, from)).toBe(slow === bytes.length ? -1 : slow);
    }
  });
});

const zstd = spawnSync("zstd", ["--version"]).status === 0;
if (!zstd) console.log("skipped: frames of the zstd command (there is no zstd here)");

describe.each([["-1"], ["-19"], ["--fast=5"], ["-3", "--no-check"], ["--long=27"]])(
  "a frame of `zstd %s`",
  (...flags) => {
    test.skipIf(!zstd)("is walked and read back", () => {
      for (const text of [logText(300), logText(300_000), noise(200_000, 11)]) {
        const options = { input: text, maxBuffer: 4 * MiB };
        const size = [`--stream-size=${text.length}`];
        const frame = spawnSync("zstd", ["-q", "-c", ...flags, ...size], options).stdout;
        expect(walkFrame(frame)).toEqual({
          kind: "frame",
          length: frame.length,
          contentSize: text.length,
          checksum: !flags.includes("--no-check"),
        });
        expect(decompressFrame(frame, text.length).equals(text)).toBe(true);
        for (const cut of cuts(frame.length)) {
          const { kind } = walkFrame(frame.subarray(0, cut));
          expect(kind).toBe("incomplete");
        }
        // It reads ours as well.
        const ours = { input: compressFrame(text), maxBuffer: 4 * MiB };
        expect(spawnSync("zstd", ["-q", "-d", "-c"], ours).stdout.equals(text)).toBe(true);
      }
    });
  },
);

test.skipIf(!zstd)(
  "a frame of `zstd` from a pipe has no content size, and the walk says so",
  () => {
    const options = { input: logText(3_000) };
    const frame = spawnSync("zstd", ["-q", "-c"], options).stdout;
    expect(walkFrame(frame)).toEqual({
      kind: "frame",
      length: frame.length,
      contentSize: undefined,
      checksum: true,
    });
  },
);
