/**
 * A request goes in, the chunks of its body come out as they arrive, until its stream is cut. Who says
 * nothing for `readIdleMs` is cut off by the server, and so is who takes longer than `blockMsMax` for a
 * short body.
 */
import { cuttable } from "../shared/cuttable.ts";
import { limits } from "../shared/limits.ts";
import type { Stream } from "./admission.ts";

/** What the server lends to a request: Bun's time-out for reading, and who is at the other end. */
export interface Server {
  /** Body bytes don't put it off: each call sets it anew. */
  timeout?(request: Request, seconds: number): void;
  requestIP?(request: Request): { address: string } | null;
}

export function chunksOf(
  request: Request,
  server: Server | undefined,
  stream: Stream,
  nowMs: () => number,
): AsyncIterable<Uint8Array> {
  if (!request.body) return none();
  if (isShort(request)) return whole(request, server, stream);
  const touch = readIdle(request, server, nowMs);
  touch();
  return cuttable(request.body, stream.cut.signal, (bytes) => {
    touch();
    stream.chunk(bytes);
  });
}

async function* none(): AsyncGenerator<Uint8Array, void, void> {}

/** As a stream it would cost more than all that is done with it. */
async function* whole(
  request: Request,
  server: Server | undefined,
  stream: Stream,
): AsyncGenerator<Uint8Array, void, void> {
  server?.timeout?.(request, Math.ceil(limits.blockMsMax / 1000));
  stream.chunk(0);
  yield await stream.cut.race(request.bytes());
}

function isShort(request: Request): boolean {
  const length = request.headers.get("Content-Length");
  return length !== null && Number(length) <= limits.shortBodyBytesMax;
}

/** A read-idle time-out, set anew by each call; seldom, for it costs as much as a chunk. */
function readIdle(request: Request, server: Server | undefined, nowMs: () => number): () => void {
  let setMs = -Infinity;
  return () => {
    if (nowMs() - setMs < limits.readIdleMs / 10) return;
    setMs = nowMs();
    server?.timeout?.(request, Math.ceil(limits.readIdleMs / 1000));
  };
}
