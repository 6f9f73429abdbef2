/** One program's output in, its lines as records for /dev/kmsg out, within its limits. */
import { Buffer } from "node:buffer";
import {
  burstBytesDefault,
  burstBytesMin,
  dayBytesDefault,
  dayBytesMin,
  RateLimit,
} from "./bucket.ts";
import { facilityOf, LineFormatter } from "./line.ts";

export interface Program {
  name: string;
  burstBytes: number;
  dayBytes: number;
}

export interface LogosOptions extends Program {
  /** One write() for each call. May throw: the record is then counted as dropped. */
  write: (record: Uint8Array) => void;
  /** A clock that never goes back. */
  nowMs: () => number;
}

export class LogosError extends Error {
  override name = "LogosError";
  readonly code = "bad_program";
}

const newline = 0x0a;
/** The buckets are looked at so often while nothing is logged: the shortest wait of an episode. */
export const tickMs = 5_000;

/** Reads `NAME [BURST] [DAY]`; 0 stands for the default. Throws `LogosError`. */
export function parseProgram(words: string[]): Program {
  const [name, burst = "0", day = "0"] = words;
  if (name === undefined || words.length > 3) {
    throw new LogosError(
      `Cannot log because there must be NAME [BURST] [DAY]: it is "${words.join(" ")}"`,
    );
  }
  if (facilityOf(name) === undefined) {
    throw new LogosError(
      "Cannot log because NAME must be letters, digits and .:@+- (underscores are left out): " +
        `it is "${name}"`,
    );
  }
  return {
    name,
    burstBytes: parseBytes("BURST", burst, burstBytesMin, burstBytesDefault),
    dayBytes: parseBytes("DAY", day, dayBytesMin, dayBytesDefault),
  };
}

function parseBytes(what: string, word: string, min: number, byDefault: number): number {
  const bytes = /^\d{1,15}$/.test(word) ? Number(word) : NaN;
  if (bytes === 0) return byDefault;
  if (bytes >= min) return bytes;
  throw new LogosError(
    `Cannot log because ${what} must be 0 or at least ${min} bytes: it is "${word}"`,
  );
}

export class Logos {
  readonly #program: LineFormatter;
  /** What logos says itself; it costs the program nothing. */
  readonly #own: LineFormatter;
  readonly #limit: RateLimit;
  /** Whether anything of the line was written so far. */
  #isWritten = false;
  #failed = 0;
  #failedCode = "";

  constructor(private readonly options: LogosOptions) {
    const facility = facilityOf(options.name);
    if (facility === undefined) throw new LogosError(`Cannot log as "${options.name}": no name`);
    this.#own = new LineFormatter(facility, (record) => this.#write(record));
    this.#program = new LineFormatter(facility, (record) => this.#admit(record));
    this.#limit = new RateLimit({ ...options, say: (text) => this.#say(text) });
  }

  /** The program's output in whatever pieces it comes. */
  push(bytes: Uint8Array): void {
    let start = 0;
    for (let end; (end = bytes.indexOf(newline, start)) >= 0; start = end + 1) {
      this.#program.add(bytes.subarray(start, end));
      this.#endLine();
    }
    this.#program.add(bytes.subarray(start));
  }

  /** One line, without its newline; one that holds newlines counts as several. */
  line(line: Uint8Array | string): void {
    this.push(typeof line === "string" ? Buffer.from(line) : line);
    this.#endLine();
  }

  /** There will be no more: writes what waits for its newline, and what is left to say. */
  end(): void {
    if (this.#program.isOpen) this.#endLine();
    this.#limit.end();
    this.#sayFailed();
  }

  /** To be called every `tickMs`, so that drops are told even if the program falls silent. */
  tick(): void {
    this.#limit.tick();
    this.#sayFailed();
  }

  /** SIGHUP. */
  refill(): void {
    this.#limit.refill();
  }

  /** SIGUSR1: no limits. */
  lift(): void {
    this.#limit.lift();
  }

  /** SIGUSR2: limits again. */
  restore(): void {
    this.#limit.restore();
  }

  #endLine(): void {
    const wasSplit = this.#program.end();
    const isWritten = this.#isWritten;
    this.#isWritten = false;
    // As the program's own lines: who writes nothing but long ones pays for the warnings.
    if (wasSplit && isWritten) {
      this.line("W: previous log line was split. Use shorter lines.");
    }
  }

  #admit(record: Uint8Array): void {
    if (!this.#limit.admit(record.length)) return;
    this.#isWritten = true;
    this.#sayFailed();
    this.#write(record);
  }

  #say(text: string): void {
    this.#own.add(Buffer.from(text));
    this.#own.end();
  }

  /** Counts what couldn't be written: to report it at once would only fail once more. */
  #write(record: Uint8Array): void {
    try {
      this.options.write(record);
    } catch (error) {
      this.#failed++;
      this.#failedCode = (error as NodeJS.ErrnoException).code ?? "error";
    }
  }

  /** In words that the rule `logos_dropped` reads. If this fails too, it is not counted itself. */
  #sayFailed(): void {
    const failed = this.#failed;
    if (failed === 0) return;
    this.#failed = 0;
    this.#say(`W: write failed (${this.#failedCode}): ${failed} messages were dropped.`);
    if (this.#failed > 0) this.#failed = failed;
  }
}
