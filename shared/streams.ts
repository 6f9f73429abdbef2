/**
 * What we use of Deno's @std/streams, under its names and with its behaviour: a stream goes in, its
 * lines, its text or its bytes come out.
 *
 * It is our own code because JSR can't be reached where this project is built and tested. To switch
 * to JSR's, change one line: in deno.json to `"@std/streams": "jsr:@std/streams@^1"`; under Bun run
 * `bunx jsr add @std/streams` and take the name out of tsconfig's paths.
 *
 * One thing is added: `lineBytesMax`. std's splitter buffers a line without bound.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";

export interface TextLineStreamOptions {
  /** A `\r` alone ends a line too. `\r\n` always does. */
  allowCR?: boolean;
  /**
   * A longer line comes out in pieces of at most so many bytes of UTF-8; none is cut in a
   * character.
   */
  lineBytesMax?: number;
}

/** Beyond it a line isn't one: the same as a frame's text. */
const defaultLineBytesMax = 1024 * 1024;

/**
 * Splits text, in whatever chunks it comes, into lines without their ends. A last line needs no
 * end; an end at the very end makes no empty line.
 */
export class TextLineStream extends TransformStream<string, string> {
  constructor({ allowCR = false, lineBytesMax = defaultLineBytesMax }: TextLineStreamOptions = {}) {
    const held = new HeldLine(lineBytesMax);
    super({
      transform(chunk, controller) {
        const emit = (line: string) => controller.enqueue(line);
        let start = 0;
        // A `\r` at a chunk's end waits for the next one, which may begin with its `\n`.
        if (allowCR && chunk !== "" && !chunk.startsWith("\n") && held.dropCR()) held.end(emit);
        for (const { index, 0: end } of chunk.matchAll(allowCR ? anyLineEnd : lineEnd)) {
          held.add(chunk.slice(start, index), emit);
          // The first half of its "\r\n" may lie in the chunk before.
          if (index === 0 && end === "\n") held.dropCR();
          held.end(emit);
          start = index + end.length;
        }
        held.add(chunk.slice(start), emit);
      },
      flush(controller) {
        if (held.isEmpty) return;
        if (allowCR) held.dropCR();
        held.end((line) => controller.enqueue(line));
      },
    });
  }
}

const lineEnd = /\r?\n/g;
const anyLineEnd = /\r\n|\n|\r(?!$)/g;

/** The line that hasn't ended yet. What doesn't fit `bytesMax` goes out at once, in pieces. */
class HeldLine {
  #text = "";
  #bytes = 0;
  /** Kept apart from the text: it may be half of a line's end, and so no part of the line. */
  #cr = "";
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    assert(bytesMax >= 4, "lineBytesMax must hold a character, which has up to 4 bytes");
    this.#bytesMax = bytesMax;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0 && this.#cr === "";
  }

  add(part: string, emit: (line: string) => void): void {
    if (part === "") return;
    const text = this.#cr + part;
    this.#cr = text.endsWith("\r") ? "\r" : "";
    this.#append(text.slice(0, text.length - this.#cr.length), emit);
  }

  /** Takes a `\r` off the end and says whether there was one. */
  dropCR(): boolean {
    const hadCR = this.#cr !== "";
    this.#cr = "";
    return hadCR;
  }

  end(emit: (line: string) => void): void {
    this.#append(this.#cr, emit);
    emit(this.#text);
    this.#text = this.#cr = "";
    this.#bytes = 0;
  }

  /**
   * Never looks through what is held already: that would be quadratic for a line in many chunks.
   */
  #append(text: string, emit: (line: string) => void): void {
    this.#text += text;
    this.#bytes += Buffer.byteLength(text);
    if (this.#bytes <= this.#bytesMax) return;
    const pieces = cut(this.#text, this.#bytesMax);
    this.#text = pieces.pop()!;
    this.#bytes = Buffer.byteLength(this.#text);
    for (const piece of pieces) emit(piece);
  }
}

/** Pieces of at most `bytesMax` bytes of UTF-8 each, of whole characters. The last isn't empty. */
function cut(text: string, bytesMax: number): string[] {
  const space = new Uint8Array(bytesMax);
  const encoder = new TextEncoder();
  const pieces: string[] = [];
  for (let start = 0; start < text.length;) {
    const { read } = encoder.encodeInto(text.slice(start, start + space.length), space);
    pieces.push(text.slice(start, start + read));
    start += read;
  }
  return pieces;
}

/**
 * All of a stream of strings, or of bytes in UTF-8, as one string. The caller bounds the stream.
 */
export async function toText(stream: ReadableStream): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** All of a stream of bytes as one array. The caller bounds the stream. */
export async function toBytes(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
