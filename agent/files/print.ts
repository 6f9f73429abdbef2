/** Fingerprints of a file's beginning and of what lies before a place in it: is it still that file? */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { fstatSync, readSync } from "node:fs";
import type { FilePosition, Print } from "./file_checkpoint.ts";

/** Enough that two files don't begin alike, unless with one banner; then the tail tells. */
export const headBytesMax = 1024;
export const tailBytesMax = 256;

export function printOf(bytes: Uint8Array): Print {
  const hash = createHash("sha256").update(bytes).digest("base64url").slice(0, 22);
  return { bytes: bytes.length, hash };
}

/** The print of `bytes` bytes at an offset; of fewer, where the file ends before. */
export function printAt(fd: number, offset: number, bytes: number): Print {
  const buffer = Buffer.alloc(bytes);
  return printOf(buffer.subarray(0, readSync(fd, buffer, 0, bytes, offset)));
}

/** The file has grown at most since this was its position: no byte that we know of is another. */
export function holds(
  fd: number,
  { offset, head, tail }: Pick<FilePosition, "offset" | "head" | "tail">,
): boolean {
  return fstatSync(fd).size >= offset && same(printAt(fd, 0, head.bytes), head) &&
    same(printAt(fd, offset - tail.bytes, tail.bytes), tail);
}

/** The same, of a position that says anything: of a file that wasn't read yet, any file holds. */
export function surelyHolds(fd: number, position: FilePosition): boolean {
  return position.head.bytes > 0 && holds(fd, position);
}

function same(a: Print, b: Print): boolean {
  return a.bytes === b.bytes && a.hash === b.hash;
}
