/** Raw bytes in, lines out as they are stored: the same bytes always give the same lines. */
import { Buffer } from "node:buffer";

export interface RawLine {
  /** As stored: escaped. Undefined for a hole: that is no line. */
  text: string | undefined;
  /** Where what follows it begins in the bytes. */
  end: number;
}

const newline = 0x0a;
const carriageReturn = 0x0d;

// deno-lint-ignore no-control-regex
const toEscape = /[\x00-\x1f\x7f-\xff\\]/g;

/** Bytes as a record's text: each that isn't printable ASCII is escaped by itself, UTF-8 or not. */
export function escapeBytes(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  return text.replace(toEscape, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/**
 * The whole lines at the beginning of `bytes`. One of more than `lineBytesMax` is cut, and every
 * piece is a line: where depends on its bytes alone, so that it is cut in the same places when it is
 * read again. A line without its newline waits, unless these are the `last` bytes.
 */
export function* rawLines(
  bytes: Buffer,
  lineBytesMax: number,
  last = false,
): Generator<RawLine> {
  for (let start = 0; start < bytes.length;) {
    const found = bytes.indexOf(newline, start);
    const lineEnd = found < 0 ? bytes.length : found;
    // Without one byte more it can't be known whether the newline comes there.
    if (lineEnd - start > lineBytesMax) {
      const end = pieceEnd(bytes, start, lineBytesMax);
      const piece = bytes.subarray(start, end);
      yield { text: isHole(piece) ? undefined : escapeBytes(piece), end };
      start = end;
      continue;
    }
    if (found < 0 && !last) return;
    const hasReturn = found > start && bytes[found - 1] === carriageReturn;
    const text = escapeBytes(bytes.subarray(start, hasReturn ? lineEnd - 1 : lineEnd));
    start = found < 0 ? lineEnd : lineEnd + 1;
    yield { text, end: start };
  }
}

/** Not within a UTF-8 character, where there is one. */
function pieceEnd(bytes: Buffer, start: number, lineBytesMax: number): number {
  const most = start + lineBytesMax;
  for (let end = most; end > most - 4; end--) {
    if ((bytes[end]! & 0xc0) !== 0x80) return end;
  }
  return most;
}

/**
 * A program that doesn't append goes on at its old offset after copytruncate: what lies before it is
 * a hole in the file, of which the disk holds nothing and we send nothing.
 */
function isHole(piece: Buffer): boolean {
  return piece.every((byte) => byte === 0);
}
