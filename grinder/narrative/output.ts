/** Lines in; they go out as fast as the reader takes them, many at a time, and the first one at once. */
import type { Writable } from "node:stream";

/** So many characters at a time; by bytes it may be some more. */
const chunkChars = 32 * 1024;
/** What is written is not held for longer while more is coming. */
const holdMs = 100;

export class Output {
  #waiting: string[] = [];
  #chars = 0;
  #flushedMs = -Infinity;
  /** The reader has gone: `| head` does. */
  closed = false;

  constructor(private readonly out: Writable) {
    out.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      this.closed = true;
    });
  }

  async write(lines: string): Promise<void> {
    this.#waiting.push(lines);
    this.#chars += lines.length;
    const isDue = performance.now() - this.#flushedMs >= holdMs;
    if (isDue || this.#chars >= chunkChars) await this.flush();
  }

  /** Resolves when the system has it. */
  async flush(): Promise<void> {
    const text = this.#waiting.join("");
    [this.#waiting, this.#chars, this.#flushedMs] = [[], 0, performance.now()];
    if (text === "" || this.closed) return;
    await new Promise<void>((written) => this.out.write(text, () => written()));
  }
}
