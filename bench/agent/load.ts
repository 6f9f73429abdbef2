/**
 * A rate in; plausible log text in this machine's real kernel log, at random moments, until it is
 * stopped. The same seed gives the same lines.
 */
import { Buffer } from "node:buffer";
import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { seededRandom } from "../../tests/fleet/random.ts";
import { LogText } from "../../tests/fleet/text.ts";

const rateLimitPath = "/proc/sys/kernel/printk_devkmsg";
/** A timer that is late writes what is due by then: at 80 KB/s some ten lines. */
const tickMs = 10;

/** Sets the sysctl so that every line is taken; gives back what puts it right again. */
export function liftRateLimit(): () => void {
  const before = readFileSync(rateLimitPath, "utf8");
  // Or the kernel drops all but 10 lines in 5 s, and says that it took them.
  writeFileSync(rateLimitPath, "on\n");
  return () => writeFileSync(rateLimitPath, before);
}

export class KmsgLoad {
  readonly #fd = openSync("/dev/kmsg", constants.O_WRONLY);
  readonly #random = seededRandom(1);
  readonly #text = new LogText(this.#random, "bench");
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #dueMs = performance.now();
  lines = 0;
  /** Of text, with a newline for each line, as in a file; without what the kernel puts before it. */
  bytes = 0;

  constructor(private readonly bytesPerSecond: number) {
    if (bytesPerSecond > 0) this.#timer = setInterval(() => this.#write(), tickMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    closeSync(this.#fd);
  }

  #write(): void {
    while (this.#dueMs <= performance.now()) {
      const { text } = this.#text.next();
      const bytes = Buffer.byteLength(text) + 1;
      writeSync(this.#fd, `<14>${text}\n`);
      this.lines++;
      this.bytes += bytes;
      // Lines that don't know of each other: the time to the next one is exponential.
      this.#dueMs += -Math.log(1 - this.#random()) * bytes / this.bytesPerSecond * 1000;
    }
  }
}
