/**
 * Memory that nobody needs any more goes in, and is free at once: the collector would come for it late,
 * and then often, for it goes by how much was taken.
 */
import type { Decode } from "../shared/upload.ts";

/** @param allBytes of which `bytes` may be a part; the rest isn't needed either */
export function letGo(bytes: Uint8Array, allBytes = bytes.length): void {
  const { buffer } = bytes;
  // Of a larger buffer others may have the rest.
  if (buffer.byteLength === allBytes && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** Lets go of each frame that was decoded. Most come in a chunk of their own, which waits for the next. */
export function lettingGo(decode: Decode): Decode {
  return (frame, contentSize) => {
    const text = decode(frame, contentSize);
    letGo(frame);
    return text;
  };
}
