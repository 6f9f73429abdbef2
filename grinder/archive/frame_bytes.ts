/** A frame's text, which is a byte string, to its bytes. */
import { Buffer } from "node:buffer";

const encoder = new TextEncoder();

/** Nearly always all of it is ASCII: the quick way is right then, and says when it isn't. */
export function bytesOf(text: string): Buffer {
  const bytes = Buffer.allocUnsafe(text.length);
  const { read, written } = encoder.encodeInto(text, bytes);
  return read === text.length && written === read ? bytes : Buffer.from(text, "latin1");
}
