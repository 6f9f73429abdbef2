/** Numbered lines into this machine's real kernel log, for as long as a test wants them. */
import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";

const rateLimitPath = "/proc/sys/kernel/printk_devkmsg";
/** Lines a second: far below what overwrites a ring of 128 KiB while an agent starts again. */
const everyMs = 10;

/** Why the kernel log can't be used on this machine; undefined if it can. */
export function kmsgUnusable(): string | undefined {
  try {
    closeSync(openSync("/dev/kmsg", constants.O_RDWR | constants.O_NONBLOCK));
    writeFileSync(rateLimitPath, readFileSync(rateLimitPath, "utf8"));
    return undefined;
  } catch (error) {
    return `/dev/kmsg and its rate limit must be writable: ${(error as Error).message}`;
  }
}

export class KmsgWriter {
  readonly #rateLimit = readFileSync(rateLimitPath, "utf8");
  readonly #fd: number;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Lines written: their numbers are 0 to written - 1. */
  written = 0;

  /** `mark` begins each line; it must be this test's own. */
  constructor(readonly mark: string) {
    // Or the kernel drops all but 10 lines in 5 s, and says that it took them.
    writeFileSync(rateLimitPath, "on\n");
    this.#fd = openSync("/dev/kmsg", constants.O_WRONLY);
    this.#timer = setInterval(() => this.#write(), everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    closeSync(this.#fd);
    writeFileSync(rateLimitPath, this.#rateLimit);
  }

  #write(): void {
    const n = this.written++;
    const ping = `64 bytes from 192.0.2.1: icmp_seq=${n} ttl=64 time=${(n % 97) / 10} ms`;
    writeSync(this.#fd, `<14>${this.mark} ${n} ${n % 10 === 0 ? ping : "ordinary line"}\n`);
  }
}
