/**
 * The answer to an upload with `Logmill-Ack: live`: JSON lines that are sent while the body still
 * comes in.
 *
 * | line | meaning |
 * |------|---------|
 * | `{"acked":BYTES}` | so many bytes of this POST's decoded text are durable; grows, at most one line a second |
 * | `{"acked":BYTES,"flush_ms":N}` | the same, and: please send frames no more often than every N ms |
 * | `{"done":true,"acked":BYTES}` | the body has ended and all of it is durable; the last line |
 * | `{"error":CODE,"acked":BYTES}` | the stream ends here; what was acknowledged stays; the last line |
 */
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
 * and resolves to all of them at the end, or rejects; `codeOf` names an error for the client.
 */
export function ackStream(
  store: (durable: (bytes: number) => void) => Promise<number>,
  codeOf: (error: unknown) => string,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    start(controller) {
      let acked = 0;
      let timer: ReturnType<typeof setTimeout> | undefined;
      let lastMs = -Infinity;
      // The client may be gone; that its answer can't be written says nothing about its data.
      const write = (line: AckLine) => {
        try {
          controller.enqueue(encoder.encode(formatAck(line)));
        } catch { /* closed */ }
      };
      const writeAcked = () => {
        timer = undefined;
        lastMs = performance.now();
        write({ acked });
      };
      const durable = (bytes: number) => {
        acked = bytes;
        const restMs = limits.ackIntervalMs - (performance.now() - lastMs);
        timer ??= setTimeout(writeAcked, Math.max(restMs, gatherMs));
      };
      // Not awaited: a stream gives nothing out before its `start` has returned.
      const end = (line: AckLine) => {
        clearTimeout(timer);
        write(line);
        try {
          controller.close();
        } catch { /* closed */ }
      };
      store(durable).then(
        (all) => end({ acked: all, done: true }),
        (error) => end({ acked, error: codeOf(error) }),
      );
    },
  });
}
