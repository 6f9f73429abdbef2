/**
 * The answer to an upload with `Logmill-Ack: live`: JSON lines that are sent while the body still
 * comes in.
 *
 * | line | meaning |
 * |------|---------|
 * | `{"acked":0}` | the first line, at once, perhaps with `flush_ms`: the upload is let in |
 * | `{"acked":BYTES}` | so many bytes of this POST's decoded text are durable; grows, at most one line a second, fewer where the receiver is busy |
 * | `{"acked":BYTES,"flush_ms":N}` | the same, and: please send frames no more often than every N ms |
 * | `{"done":true,"acked":BYTES}` | the body has ended and all of it is durable; the last line |
 * | `{"error":CODE,"acked":BYTES}` | the stream ends here; what was acknowledged stays; the last line |
 */
import { Buffer } from "node:buffer";
import { limits } from "./limits.ts";

export interface AckLine {
  acked: number;
  done?: true;
  error?: string;
  flush_ms?: number;
}

export function formatAck(line: AckLine): string {
  return `${JSON.stringify(line)}\n`;
}

/** Reads one line; undefined if it isn't one (a proxy's page, say). */
export function parseAck(text: string): AckLine | undefined {
  try {
    const line = JSON.parse(text) as Partial<AckLine>;
    if (!Number.isSafeInteger(line.acked) || line.acked! < 0) return undefined;
    return line as AckLine;
  } catch {
    return undefined;
  }
}

/** The first line would else stand for the clock record alone, and the data wait for the second. */
const gatherMs = 20;

/**
 * The body of such an answer. `store` is given a function to call with the number of durable bytes,
 * and resolves to all of them at the end, or rejects; `codeOf` names an error for the client;
 * `flushMs` is the flush time to ask for, which is said when it changes.
 */
export function ackStream(
  store: (durable: (bytes: number) => void) => Promise<number>,
  codeOf: (error: unknown) => string,
  flushMs: () => number = () => limits.flushMs,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const answer = new Answer(controller, flushMs);
      // A status alone stays in the server until a first line follows it.
      answer.letIn();
      // Not awaited: a stream gives nothing out before its `start` has returned.
      store((bytes) => answer.durable(bytes)).then(
        (all) => answer.end({ acked: all, done: true }),
        (error) => answer.end({ acked: answer.acked, error: codeOf(error) }),
      );
    },
  });
}

class Answer {
  acked = 0;
  #due = false;
  #ended = false;
  #lastMs = -Infinity;
  #askedMs: number = limits.flushMs;

  constructor(
    private readonly controller: ReadableStreamDefaultController<Uint8Array>,
    private readonly flushMs: () => number,
  ) {}

  letIn(): void {
    this.#writeAcked();
    // What the first frame holds isn't to wait for the second line.
    this.#lastMs = -Infinity;
  }

  durable(bytes: number): void {
    this.acked = bytes;
    if (this.#due) return;
    this.#due = true;
    const nowMs = performance.now();
    // Who sends fewer frames needs fewer answers, and each costs as much as a frame.
    const intervalMs = Math.min(
      Math.max(limits.ackIntervalMs, 2 * this.flushMs()),
      limits.ackIntervalMsMax,
    );
    const waitMs = Math.max(this.#lastMs + intervalMs - nowMs, gatherMs);
    clock.at(nowMs + waitMs, () => this.#writeAcked());
  }

  end(line: AckLine): void {
    this.#ended = true;
    endLater(() => {
      this.#write(line);
      try {
        this.controller.close();
      } catch { /* closed */ }
    });
  }

  #writeAcked(): void {
    if (this.#ended) return;
    this.#due = false;
    this.#lastMs = performance.now();
    const flush_ms = this.flushMs();
    this.#write(
      flush_ms === this.#askedMs ? { acked: this.acked } : { acked: this.acked, flush_ms },
    );
    this.#askedMs = flush_ms;
  }

  /** The client may be gone; that its answer can't be written says nothing about its data. */
  #write(line: AckLine): void {
    try {
      this.controller.enqueue(Buffer.from(formatAck(line)));
    } catch { /* closed */ }
  }
}

/** One timer for all answers: ten thousand of their own a second cost a tenth of a core. */
class Clock {
  #due = new Map<number, Array<() => void>>();

  at(ms: number, call: () => void): void {
    const tick = Math.ceil(ms / gatherMs);
    const others = this.#due.get(tick);
    if (others) return void others.push(call);
    this.#due.set(tick, [call]);
    setTimeout(() => this.#call(tick), Math.max(0, tick * gatherMs - performance.now()));
  }

  #call(tick: number): void {
    const calls = this.#due.get(tick)!;
    this.#due.delete(tick);
    for (const call of calls) call();
  }
}

const clock = new Clock();

/** Bun runs what waits inside of each answer's end: some thousands that end in one turn overflow its stack. */
const endsPerTurn = 200;
const ends: Array<() => void> = [];

function endLater(end: () => void): void {
  if (ends.push(end) === 1) setImmediate(endSome);
}

function endSome(): void {
  for (const end of ends.splice(0, endsPerTurn)) end();
  if (ends.length > 0) setImmediate(endSome);
}
