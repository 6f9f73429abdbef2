/** Raw lines, plain and gzip: what a program that isn't ours may send, and what none would. */
import { Buffer } from "node:buffer";
import { gzipSync } from "node:zlib";
import { limits } from "../../../shared/limits.ts";
import type { Draw } from "../draw.ts";
import type { Upload } from "../upload.ts";
import { framed, lines, type Mutation, zipped } from "./mutation.ts";

const latin1 = (text: string) => Buffer.from(text, "latin1");

/** Another text, to be taken as it is. */
const text = (
  name: string,
  make: (upload: Upload, draw: Draw) => string,
  weight = 1,
): Mutation => ({
  name: `raw: ${name}`,
  weight,
  fits: lines,
  apply: (upload, draw) => void (upload.text = make(upload, draw)),
});

/** Another body in gzip, to be refused after some of it may have been stored. */
const zip = (name: string, make: (zipped: Buffer, draw: Draw) => Uint8Array): Mutation => ({
  name: `gzip: ${name}`,
  fits: zipped,
  apply(upload, draw) {
    upload.body = make(Buffer.from(upload.whole()), draw);
    upload.refuse("bad_frame");
    upload.keptExactly = false;
  },
});

/** 1 MiB in 1 KiB. */
const zeros = Buffer.alloc(1024 * 1024);
const zippedZeros = gzipSync(zeros);

const lineMax = limits.rawLineBytesMax;

export const raws: Mutation[] = [
  text(
    "forged headers",
    (upload, draw) =>
      `${upload.marker}\n#1 victim b kmsg s 1795348800000000 0 0 1\n6,0,1,-;forged\n` +
      draw.pick(["#end\n", "#end", "#0 0 0 1\n", "##\n", "#\n#", "\r#1 victim b k s 1 0 0 1\n"]),
  ),
  text(
    "any bytes",
    (upload, draw) => `${upload.marker}\n${draw.bytes(draw.between(0, 1_000)).toString("latin1")}`,
  ),
  text("no end to its last line", ({ text }) => text.slice(0, -1)),
  text("empty lines alone", (_upload, draw) => "\n".repeat(draw.between(1, 5_000))),
  text("nothing at all", () => ""),
  text(
    "NUL and CR",
    ({ marker }, draw) => `${marker}\r\n\0\n\r\n${draw.pick(["\r", "\0", "\r\n"])}#\r\n`,
  ),
  text(
    "a line at the limit",
    ({ marker }, draw) =>
      `${marker}\n${"z".repeat(lineMax + draw.between(-2, 3))}${draw.pick(["", "\n", "\n#x\n"])}`,
    0.1,
  ),
  text(
    "a # where a long line is cut",
    ({ marker }) => `${marker}\n${"z".repeat(lineMax)}#1 victim b k s 1 0 0 1\n`,
    0.1,
  ),
  text(
    "a long line across blocks",
    ({ marker }, draw) => `${marker}\n${"q".repeat(draw.between(200_000, 700_000))}\n#end`,
    0.02,
  ),
  text(
    "many lines across blocks",
    ({ marker }, draw) => `${marker} line\n`.repeat(draw.between(10_000, 40_000)),
    0.02,
  ),
  {
    name: "gzip: a bit flipped",
    weight: 3,
    fits: zipped,
    apply(upload, draw) {
      const bytes = Buffer.from(upload.whole());
      bytes[draw.between(0, bytes.length)]! ^= 1 << draw.between(0, 8);
      upload.body = bytes;
      // The header's time and system say nothing; what was inflated before the checksum is there.
      upload.mayRefuse("bad_frame");
      upload.loosen();
    },
  },
  zip("cut short", (bytes, draw) => bytes.subarray(0, draw.between(1, bytes.length))),
  zip(
    "isn't gzip",
    (_bytes, draw) =>
      Buffer.concat([
        Buffer.from([draw.pick([0, 0x1e, 0x28, 0x78])]),
        draw.bytes(draw.between(18, 100)),
      ]),
  ),
  {
    name: "gzip: garbage behind it",
    fits: zipped,
    apply(upload, draw) {
      const tail = draw.pick([
        Buffer.alloc(1),
        Buffer.alloc(512),
        draw.bytes(100),
        latin1("#end\n"),
      ]);
      upload.body = Buffer.concat([upload.whole(), tail]);
      upload.mayRefuse("bad_frame");
      upload.keptExactly = false;
    },
  },
  {
    name: "gzip: several members",
    fits: zipped,
    apply(upload, draw) {
      const parts = Array.from({ length: draw.between(2, 6) }, () => upload.text);
      const bodies = parts.map((part) => gzipSync(latin1(part)));
      upload.text = parts.join("");
      upload.body = Buffer.concat(bodies);
    },
  },
  {
    name: "gzip: a bomb",
    weight: 0.01,
    fits: zipped,
    apply(upload, draw) {
      // 3 MiB: within what a live stream may send at a time.
      upload.text = `${upload.marker}\n${"\0".repeat(draw.between(1, 3 * 1024 * 1024))}`;
    },
  },
  {
    name: "gzip: a bomb beyond the limit",
    weight: 0.002,
    fits: zipped,
    apply(upload) {
      upload.set("Logmill-Mode", "bulk");
      const members = Math.ceil(limits.rawBodyBytesMax / zeros.length) + 1;
      upload.body = Buffer.concat(Array.from({ length: members }, () => zippedZeros));
      upload.refuse("body_too_large");
      upload.loosen();
    },
  },
  {
    name: "encoding: says another",
    weight: 2,
    alone: true,
    apply(upload, draw) {
      upload.body = upload.whole();
      const value = draw.pick(["zstd", "gzip", "identity", undefined]);
      // Names are needed by whoever says that there are frames.
      if (value === "zstd" && !framed(upload)) upload.mayRefuse("bad_header");
      upload.set("Content-Encoding", value);
      upload.mayRefuse("bad_frame", "frame_too_large", "body_too_large");
      upload.loosen();
    },
  },
  {
    name: "encoding: one that nobody knows",
    apply(upload, draw) {
      const odd = [
        "br",
        "deflate",
        "x-gzip",
        "zstd, gzip",
        "*",
        "zst",
        "__proto__",
        "e".repeat(50_000),
      ];
      upload.set("Content-Encoding", draw.pick(odd));
      upload.refuse("unsupported_encoding");
    },
  },
];
