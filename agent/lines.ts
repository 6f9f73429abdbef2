/** Lines on standard input as a source, numbered from 0 under a stream id of this run's own. */
import { randomBytes } from "node:crypto";
import { TextLineStream } from "@std/streams";
import { limits } from "../shared/limits.ts";
import { escapeText, type LogRecord } from "../shared/record.ts";
import { untilQuiet } from "./logos/quiet.ts";
import type { Source } from "./source.ts";

/** A program whose lines aren't taken stands still: that is well for a moment, not for an outage. */
const waitMsMax = 60_000;
/** Facility user, level info: lines say nothing of their level here. */
const prio = 14;

export interface LinesOptions {
  /** What the lines belong to: `app:NAME`. */
  source: string;
  boot: string;
  input: ReadableStream<Uint8Array>;
  /** The kernel's clock, which orders these lines among the kernel's own. */
  nowUs: () => number;
  sleep?: (ms: number) => Promise<void>;
}

export class LinesSource implements Source {
  readonly source: string;
  readonly boot: string;
  readonly stream = randomBytes(9).toString("hex");
  readonly #input: ReadableStreamDefaultReader<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #bytes = 0;
  #nextSeq = 0;

  constructor(private readonly options: LinesOptions) {
    this.source = options.source;
    this.boot = options.boot;
    this.#input = options.input.getReader();
    this.#lines = new ReadableStream<Uint8Array>({ pull: (out) => this.#pull(out) })
      .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
      // A longer line goes out in pieces: even escaped, each fits a frame.
      .pipeThrough(new TextLineStream({ lineBytesMax: limits.rawLineBytesMax }))
      .getReader();
  }

  /** One line at a time is enough: the encoder joins what comes within the flush time. */
  async read(): Promise<LogRecord[] | undefined> {
    const { done, value } = await this.#lines.read();
    if (done) return undefined;
    const text = escapeText(value);
    return [{
      prio,
      seq: this.#nextSeq++,
      usec: this.options.nowUs(),
      flag: "-",
      fields: "",
      text,
      more: [],
    }];
  }

  safe(offlineMs: number): boolean {
    return offlineMs < waitMsMax;
  }

  /** What was printed until now is still read. */
  close(): void {
    void this.#close();
  }

  async #close(): Promise<void> {
    await untilQuiet(() => this.#bytes, this.options.sleep ?? sleep);
    // It ends as if the program had: also half a line is read.
    await this.#input.cancel().catch(() => {});
  }

  async #pull(out: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const { done, value } = await this.#input.read();
    if (done) return out.close();
    this.#bytes += value.length;
    out.enqueue(value);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
