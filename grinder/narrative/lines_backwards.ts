/** A text file in, its lines out, the last one first; what stands behind its last newline is no line. */
import { Buffer } from "node:buffer";
import { open } from "node:fs/promises";

const chunkBytes = 1024 * 1024;
const newline = 10;

export async function* linesBackwards(path: string, bytes = chunkBytes): AsyncGenerator<string> {
  const file = await open(path, "r");
  try {
    let { size: at } = await file.stat();
    let text: Uint8Array = Buffer.alloc(0);
    let isEnded = false;
    while (at > 0) {
      const length = Math.min(bytes, at);
      const { buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, at - length);
      at -= length;
      text = Buffer.concat([buffer, text]);
      if (!isEnded) {
        text = text.subarray(0, text.lastIndexOf(newline) + 1);
        isEnded = text.length > 0;
      }
      // The first line may begin before this.
      const start = at === 0 ? 0 : text.indexOf(newline) + 1;
      if (start === 0 && at > 0) continue;
      const lines = Buffer.from(text.subarray(start)).toString("utf8").split("\n");
      text = text.subarray(0, start);
      for (const line of lines.reverse()) if (line !== "") yield line;
    }
  } finally {
    await file.close();
  }
}
