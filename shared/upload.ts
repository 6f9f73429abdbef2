/**
 * The body of `POST /v1/logs` to blocks: what the receiver knows of the format, which is little. No
 * record is parsed here.
 *
 * | Content-Encoding | body | one block is |
 * |------------------|------|--------------|
 * | zstd | independent frames with content size, each at most `uploadFrameTextBytesMax` of text: one line `#0 FIRST LAST COUNT`, then whole records; ends in `\n`; no other line begins with `#`, the first record not with a space | one frame |
 * | gzip, none | lines as they came, source `raw`; a leading `#` becomes `\x23`; a line over `rawLineBytesMax` is cut | up to 256 KiB of whole lines |
 *
 * | header | value |
 * |--------|-------|
 * | Logmill-Boot, Logmill-Source, Logmill-Stream | names (block.ts); a raw upload needs none: its source is `raw`, its stream `-` |
 * | Logmill-Mode | `live` (default) or `bulk` |
 * | Logmill-Ack | `end` (default) or `live` (acks.ts) |
 *
 * Every refusal is an `UploadError`: it is about this batch, and sending it again won't help.
 */
import { Buffer } from "node:buffer";
import { isName, parseUploadHeader, type UploadHeader } from "./block.ts";
import { limits } from "./limits.ts";
import { decompressFrame, walkFrame } from "./zstd.ts";

export interface UploadBlock {
  header: UploadHeader;
  /** The records, without the header line. Owned by the receiver of this value. */
  records: Uint8Array;
  /** Decoded bytes of the body that this block stands for: the unit of acknowledgements. */
  decodedBytes: number;
}

export class UploadError extends Error {
  override name = "UploadError";
  constructor(
    readonly code:
      | "bad_header"
      | "bad_frame"
      | "frame_too_large"
      | "body_too_large"
      | "unsupported_encoding",
    readonly status: 400 | 413 | 415,
    message: string,
  ) {
    super(message);
  }
}

/** What an upload says of itself in its headers. */
export interface UploadNames {
  boot: string;
  source: string;
  stream: string;
}

/** Reads the names from a request's headers. Throws `UploadError`. */
export function uploadNames(headers: Headers): UploadNames {
  const framed = headers.get("Content-Encoding") === "zstd";
  const name = (header: string) => {
    const value = headers.get(header) ?? (framed ? "" : "-");
    if (isName(value)) return value;
    const must = `${header} must be a name of letters, digits and ._:@+-: it is "${value}"`;
    throw new UploadError("bad_header", 400, `Cannot take this upload because ${must}`);
  };
  const boot = name("Logmill-Boot");
  if (!framed) return { boot, source: "raw", stream: "-" };
  return { boot, source: name("Logmill-Source"), stream: name("Logmill-Stream") };
}

const rawBlockBytes = 256 * 1024;
/** gzip reaches 1,000 : 1, and a runtime may inflate all of a chunk at once: 16 MiB from this. */
const gzipSliceBytes = 16 * 1024;
const newline = 0x0a;
const hash = 0x23;

/** The blocks of a body, one by one, as its bytes arrive. Throws `UploadError`, or what `body` throws. */
export function uploadBlocks(
  body: ReadableStream<Uint8Array>,
  encoding: string,
): AsyncGenerator<UploadBlock> {
  if (encoding === "zstd") return framedBlocks(body);
  if (encoding === "gzip") return rawGzipBlocks(body);
  if (encoding === "" || encoding === "identity") return rawBlocks(body);
  throw new UploadError(
    "unsupported_encoding",
    415,
    `Cannot read the body because Content-Encoding must be zstd, gzip or none: it is ${encoding}`,
  );
}

async function* framedBlocks(body: ReadableStream<Uint8Array>): AsyncGenerator<UploadBlock> {
  let held: Uint8Array = new Uint8Array(0);
  for await (const chunk of body) {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      const length = wholeFrame(held);
      if (length === 0) break;
      yield readUploadFrame(held.subarray(0, length));
      held = held.subarray(length);
    }
  }
  if (held.length > 0) {
    throw badFrame(`its last frame must be whole: ${held.length} bytes are left`);
  }
}

/** The length of the whole frame at the head of `held`, 0 if more bytes are needed. */
function wholeFrame(held: Uint8Array): number {
  if (held.length === 0) return 0;
  const walk = walkFrame(held);
  if (walk.kind === "damaged") throw badFrame(`it must be zstd frames: ${walk.why}`);
  const size = walk.contentSize ?? 0;
  if (size > limits.uploadFrameTextBytesMax) {
    throw new UploadError(
      "frame_too_large",
      413,
      `Cannot read the body because a frame must hold at most ${limits.uploadFrameTextBytesMax} bytes of text: it says ${size}`,
    );
  }
  const bytes = walk.kind === "frame" ? walk.length : held.length;
  if (bytes > limits.uploadFrameBytesMax) {
    throw badFrame(`a frame must take at most ${limits.uploadFrameBytesMax} bytes: it takes more`);
  }
  if (walk.kind === "incomplete") return 0;
  if (walk.contentSize === undefined) throw badFrame("a frame must state its content size");
  return walk.length;
}

/** Reads one whole client frame. Throws `UploadError` if it isn't as the table above says. */
export function readUploadFrame(frame: Uint8Array): UploadBlock {
  const walk = walkFrame(frame);
  if (walk.kind !== "frame") throw badFrame("it must be whole zstd frames");
  let text: Buffer;
  try {
    text = decompressFrame(frame, walk.contentSize ?? 0);
  } catch (error) {
    throw badFrame(`a frame must decode to what it says: ${(error as Error).message}`);
  }
  const lineEnd = text.indexOf(newline);
  const header = parseUploadHeader(text.toString("latin1", 0, Math.max(0, lineEnd)));
  if (!header) throw badFrame("a frame must begin with a line `#0 FIRST LAST COUNT`");
  if (text[text.length - 1] !== newline) throw badFrame("a frame must end in a newline");
  if (text[lineEnd + 1] === 0x20) {
    throw badFrame("a frame's first record must not begin with a space");
  }
  if (text.indexOf("\n#", lineEnd) >= 0) {
    throw badFrame("no line but the first may begin with #: one does");
  }
  return { header, records: text.subarray(lineEnd + 1), decodedBytes: text.length };
}

function badFrame(must: string): UploadError {
  return new UploadError("bad_frame", 400, `Cannot read the body because ${must}`);
}

async function* rawBlocks(body: ReadableStream<Uint8Array>): AsyncGenerator<UploadBlock> {
  let held: Uint8Array = new Uint8Array(0);
  let total = 0;
  for await (const chunk of body) {
    total += chunk.length;
    if (total > limits.rawBodyBytesMax) {
      throw new UploadError(
        "body_too_large",
        413,
        `Cannot read the body because a raw upload must hold at most ${limits.rawBodyBytesMax} bytes: it holds more. Send it in parts.`,
      );
    }
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    // One byte more is looked at, so that the newline of a line that ends just there stays with it.
    while (held.length > rawBlockBytes) {
      const cut = held.lastIndexOf(newline, rawBlockBytes) + 1 || rawBlockBytes;
      yield rawBlock(held.subarray(0, cut));
      held = held.subarray(cut);
    }
  }
  if (held.length > 0) yield rawBlock(held);
}

/** Lines with their `#` escaped, over-long ones cut, and a newline at the end of the last. */
function rawBlock(bytes: Uint8Array): UploadBlock {
  const parts: Uint8Array[] = [];
  const escapedHash = Buffer.from("\\x23");
  const lineBreak = Buffer.from("\n");
  let count = 0;
  for (let at = 0; at < bytes.length;) {
    const found = bytes.indexOf(newline, at);
    const end = found < 0 ? bytes.length : found;
    const cut = Math.min(end, at + limits.rawLineBytesMax);
    if (bytes[at] === hash) parts.push(escapedHash, bytes.subarray(at + 1, cut), lineBreak);
    else parts.push(bytes.subarray(at, cut), lineBreak);
    count++;
    at = cut === found ? cut + 1 : cut;
  }
  const header = { first: 0, last: count - 1, count };
  return { header, records: Buffer.concat(parts), decodedBytes: bytes.length };
}

async function* rawGzipBlocks(body: ReadableStream<Uint8Array>): AsyncGenerator<UploadBlock> {
  const slices = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, out) {
      for (let at = 0; at < chunk.length; at += gzipSliceBytes) {
        out.enqueue(chunk.subarray(at, at + gzipSliceBytes));
      }
    },
  });
  const decoded = body.pipeThrough(slices).pipeThrough(new DecompressionStream("gzip") as Decoder);
  try {
    yield* rawBlocks(decoded);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw badFrame(`it must be whole gzip: ${error.message}`);
  }
}

/** The libraries' types disagree on whether buffers may be shared; at run time they agree. */
type Decoder = ReadableWritablePair<Uint8Array, Uint8Array>;
