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
import { HeldBytes } from "./held_bytes.ts";
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
    const must = `${header} must be a name of letters, digits and ._:@+-: it is "${
      value.slice(0, 64)
    }"`;
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

type Chunks = AsyncIterable<Uint8Array>;

/** Decodes one whole frame whose content size is stated and bounded; throws if it holds anything else. */
export type Decode = (frame: Uint8Array, contentSize: number) => Uint8Array;

/**
 * The blocks of a body, one by one, as its bytes arrive. Throws `UploadError`, or what `body` throws.
 * `decode` is for a runtime that has a faster way.
 */
export function uploadBlocks(
  body: Chunks,
  encoding: string,
  decode: Decode = decompressFrame,
): AsyncGenerator<UploadBlock> {
  if (encoding === "zstd") return framedBlocks(body, decode);
  if (encoding === "gzip") return rawGzipBlocks(body);
  if (encoding === "" || encoding === "identity") return rawBlocks(body);
  throw new UploadError(
    "unsupported_encoding",
    415,
    `Cannot read the body because Content-Encoding must be zstd, gzip or none: it is ${
      encoding.slice(0, 64)
    }`,
  );
}

async function* framedBlocks(body: Chunks, decode: Decode): AsyncGenerator<UploadBlock> {
  const held = new HeldBytes();
  // With fewer bytes than this there is nothing new to be seen of the frame at the head.
  let wanted = 1;
  for await (const chunk of body) {
    held.append(chunk);
    while (held.length >= wanted) {
      const frame = frameAtHead(held.bytes);
      wanted = "atLeast" in frame ? frame.atLeast : 1;
      if ("atLeast" in frame) continue;
      yield readUploadFrame(held.bytes.subarray(0, frame.length), decode);
      held.drop(frame.length);
    }
  }
  if (held.length > 0) {
    throw badFrame(`its last frame must be whole: ${held.length} bytes are left`);
  }
}

/** The length of the frame at the head of `held`, or what it takes at the least if it isn't whole. */
function frameAtHead(held: Uint8Array): { length: number } | { atLeast: number } {
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
  const bytes = walk.kind === "frame" ? walk.length : walk.atLeast;
  if (bytes > limits.uploadFrameBytesMax) {
    throw badFrame(`a frame must take at most ${limits.uploadFrameBytesMax} bytes: it takes more`);
  }
  if (walk.kind === "incomplete") return { atLeast: walk.atLeast };
  if (walk.contentSize === undefined) throw badFrame("a frame must state its content size");
  return { length: walk.length };
}

/** Reads one whole client frame. Throws `UploadError` if it isn't as the table above says. */
export function readUploadFrame(frame: Uint8Array, decode: Decode = decompressFrame): UploadBlock {
  const walk = walkFrame(frame);
  if (walk.kind !== "frame") throw badFrame("it must be whole zstd frames");
  let text: Buffer;
  try {
    text = asBuffer(decode(frame, walk.contentSize ?? 0));
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

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function badFrame(must: string): UploadError {
  return new UploadError("bad_frame", 400, `Cannot read the body because ${must}`);
}

async function* rawBlocks(body: Chunks): AsyncGenerator<UploadBlock> {
  const held = new HeldBytes();
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
    held.append(chunk);
    // One byte more is looked at, so that the newline of a line that ends just there stays with it.
    while (held.length > rawBlockBytes) {
      const cut = held.bytes.lastIndexOf(newline, rawBlockBytes) + 1 || rawBlockBytes;
      yield rawBlock(held.bytes.subarray(0, cut));
      held.drop(cut);
    }
  }
  if (held.length > 0) yield rawBlock(held.bytes);
}

function rawBlock(bytes: Uint8Array): UploadBlock {
  const count = cleanLines(bytes);
  const [records, lines] = count === undefined ? cleaned(bytes) : [bytes, count];
  return {
    header: { first: 0, last: lines - 1, count: lines },
    records,
    decodedBytes: bytes.length,
  };
}

/** How many lines, if all of them can be stored as they are: most can, and needn't be copied. */
function cleanLines(bytes: Uint8Array): number | undefined {
  let count = 0;
  for (let at = 0; at < bytes.length; count++) {
    const end = bytes.indexOf(newline, at);
    if (end < 0 || end - at > limits.rawLineBytesMax || bytes[at] === hash) return undefined;
    at = end + 1;
  }
  return count;
}

/** Lines with their `#` escaped, over-long ones cut, and a newline at the end of the last. */
function cleaned(bytes: Uint8Array): [records: Uint8Array, lines: number] {
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
  return [Buffer.concat(parts), count];
}

async function* rawGzipBlocks(body: Chunks): AsyncGenerator<UploadBlock> {
  const slices = slicesOf(body);
  const compressed = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await slices.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => void await slices.return(),
  }, { highWaterMark: 0 });
  const decoded = compressed.pipeThrough(new DecompressionStream("gzip") as Decoder);
  try {
    yield* rawBlocks(decoded);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw badFrame(`it must be whole gzip: ${error.message}`);
  }
}

async function* slicesOf(body: Chunks): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length; at += gzipSliceBytes) {
      yield chunk.subarray(at, at + gzipSliceBytes);
    }
  }
}

/** The libraries' types disagree on whether buffers may be shared; at run time they agree. */
type Decoder = ReadableWritablePair<Uint8Array, Uint8Array>;
