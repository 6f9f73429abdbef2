/**
 * A simulated device, and each of its boots as a source for the agent's pipeline: log text at a rate,
 * stamped by a kernel clock that is known exactly. A record was written at `bootWallUs + usec`, Unix
 * microseconds.
 *
 * Load is open-loop: when a line is written doesn't depend on who reads it, and what isn't read waits,
 * as in a kernel's ring that is large enough.
 */
import type { PipelineOptions } from "../../agent/pipeline.ts";
import type { Source } from "../../agent/source.ts";
import type { Device as AllowedDevice } from "../../shared/allowlist.ts";
import type { Identity } from "../../shared/identity.ts";
import { escapeText, formatRecord, type LogRecord } from "../../shared/record.ts";
import { newIdentity } from "../fixtures.ts";
import { seededRandom } from "./random.ts";
import { type LogLine, LogText } from "./text.ts";

/** Between two lines of a booting kernel, on average: some 30 lines in a second. */
const bootGapUs = 30_000;
/** Between two lines that belong together. */
const burstGapUs = 300;
/** Daemons say one line at a time, mostly; picked to look like it. */
const burstShare = 0.2;
const burstMax = 6;
/** Records taken at a time, so that other devices get their turn while one catches up. */
const takeMax = 500;

const cities = ["Berlin", "Montreal", "Osaka", "Lagos", "Lima"];
const firmwares = ["4.2.0", "4.2.1", "4.3.0-rc1"];

/** `nowMs` has its fractions here. */
export type DeviceClock = PipelineOptions["clock"];

interface Planned {
  usec: number;
  line: LogLine;
}

/** What stays when a device reboots. */
export class Device {
  readonly labels: Record<string, string>;
  readonly random: () => number;
  readonly text: LogText;

  private constructor(
    readonly name: string,
    readonly identity: Identity,
    seed: number,
    readonly bytesPerSecond: number,
  ) {
    // Two sources of chance: what is said doesn't depend on when.
    this.random = seededRandom(seed);
    this.text = new LogText(seededRandom(~seed), name);
    this.labels = {
      city: this.#one(cities),
      model: this.text.model.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replace(/-$/, ""),
      firmware: this.#one(firmwares),
    };
  }

  /** Makes its key, in memory; the same seed gives the same text, boot ids and labels. */
  static async create(name: string, seed: number, bytesPerSecond: number): Promise<Device> {
    return new Device(name, await newIdentity(), seed, bytesPerSecond);
  }

  /** Its line on the allow-list. */
  get allowed(): AllowedDevice {
    return { thumbprint: this.identity.thumbprint, name: this.name, labels: this.labels };
  }

  /** Starts its kernel now. */
  boot(clock: DeviceClock, written: (record: LogRecord, bytes: number) => void): Boot {
    const { text, random, bytesPerSecond } = this;
    return new Boot({ id: uuid(random), text, random, bytesPerSecond, clock, written });
  }

  #one<T>(values: readonly T[]): T {
    return values[Math.floor(this.random() * values.length)]!;
  }
}

interface BootOptions {
  id: string;
  text: LogText;
  random: () => number;
  bytesPerSecond: number;
  clock: DeviceClock;
  /** Told of each record as it goes to the pipeline, with its bytes of text. */
  written: (record: LogRecord, bytes: number) => void;
}

export class Boot implements Source {
  readonly source = "kmsg";
  readonly boot: string;
  readonly stream: string;
  /** Unix time of the kernel's start, in microseconds. */
  readonly bootWallUs: number;
  /** Records written so far: the next one's seq. */
  written = 0;
  readonly #running: Generator<Planned, never>;
  #next: Planned | undefined;
  #endUs = Infinity;
  /** What is said between the end and the silence. */
  #lastWords: Planned[] = [];
  #wake = () => {};

  constructor(private readonly options: BootOptions) {
    this.boot = this.stream = options.id;
    this.bootWallUs = Math.round(options.clock.nowMs() * 1000);
    this.#running = this.#plan();
  }

  /** The kernel's clock now. */
  kernelUs(): number {
    return Math.round(this.options.clock.nowMs() * 1000) - this.bootWallUs;
  }

  async read(): Promise<LogRecord[] | undefined> {
    for (;;) {
      const records = this.#takeDue();
      if (records.length > 0) return records;
      const next = this.#peek();
      if (!next) return undefined;
      await this.#wait((next.usec - this.kernelUs()) / 1000);
    }
  }

  /** The agent is stopped: what is due by now is still read. */
  close(): void {
    if (this.#endUs < Infinity) return;
    this.#endUs = this.kernelUs();
    this.#wake();
  }

  /** The power fails: nothing more is written. */
  halt(): void {
    this.#endUs = -1;
    this.#lastWords = [];
    this.#wake();
  }

  /** A clean reboot: shutdown lines follow, and then nothing. */
  shutDown(): void {
    this.close();
    const lines = this.options.text.shutdown();
    this.#lastWords = lines.map((line, i) => ({ usec: this.#endUs + (i + 1) * burstGapUs, line }));
  }

  #takeDue(): LogRecord[] {
    const records: LogRecord[] = [];
    const nowUs = this.kernelUs();
    while (records.length < takeMax) {
      const next = this.#peek();
      if (!next || next.usec > nowUs) break;
      if (next === this.#next) this.#next = undefined;
      else this.#lastWords.shift();
      records.push(this.#record(next));
    }
    return records;
  }

  /** The next line that will be written, if the device lives to write it. */
  #peek(): Planned | undefined {
    this.#next ??= this.#running.next().value;
    return this.#next.usec <= this.#endUs ? this.#next : this.#lastWords[0];
  }

  #record({ usec, line }: Planned): LogRecord {
    const { prio, more } = line;
    const text = escapeText(line.text);
    const record = { prio, seq: this.written++, usec, flag: "-", fields: "", text, more };
    this.options.written(record, formatRecord(record).length);
    return record;
  }

  *#plan(): Generator<Planned, never> {
    const { text, random, bytesPerSecond } = this.options;
    let usec = 0;
    const after = (meanUs: number) => usec += Math.ceil(exponential(random) * meanUs);
    for (const line of text.boot()) {
      yield { usec, line };
      after(bootGapUs);
    }
    for (;;) {
      const burst = random() < burstShare ? 2 + Math.floor(random() * (burstMax - 1)) : 1;
      let bytes = 0;
      for (let i = 0; i < burst; i++) {
        const line = text.next();
        bytes += `${line.prio},${this.written},${usec},-;\n`.length + line.text.length +
          line.more.reduce((sum, more) => sum + more.length + 2, 0);
        yield { usec, line };
        after(burstGapUs);
      }
      after(bytes / bytesPerSecond * 1e6);
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      void this.options.clock.sleep(Math.max(1, ms)).then(resolve);
    });
  }
}

/** Waiting times of mean 1, none of them very long. */
export function exponential(random: () => number): number {
  const cut = 5;
  return Math.min(cut, -Math.log(1 - random())) / (1 - Math.exp(-cut));
}

/** A random UUID (RFC 9562, version 4), as the kernel's boot ids are. */
function uuid(random: () => number): string {
  return "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx".replaceAll(/[xy]/g, (place) => {
    const digit = Math.floor(random() * 16);
    return (place === "x" ? digit : 8 + digit % 4).toString(16);
  });
}
