/**
 * The receiver: `POST /v1/logs` (or PUT) in, durable segments out, and nothing else. A plain fetch handler;
 * the formats and the group commit are in shared/, the server and its options in main.ts.
 */
import { Buffer } from "node:buffer";
import { type Context, Hono } from "hono";
import { ackStream } from "../shared/acks.ts";
import { formatBlockHeader } from "../shared/block.ts";
import type { CommitQueue } from "../shared/commit_queue.ts";
import { cuttable } from "../shared/cuttable.ts";
import { limits } from "../shared/limits.ts";
import type { Semaphore } from "../shared/semaphore.ts";
import { StorageError } from "../shared/storage/storage.ts";
import { AuthError, type TokenVerifier } from "../shared/token.ts";
import { uploadBlocks, UploadError, uploadNames } from "../shared/upload.ts";

export interface Parts {
  commits: Pick<CommitQueue, "append">;
  tokens: Pick<TokenVerifier, "verify">;
  /** Open streams of each mode, and decoded bytes that wait for their commit. */
  slots: { live: Semaphore; bulk: Semaphore };
  inFlight: Semaphore;
  nowUs: () => number;
  random: () => number;
}

/** What the server lends to a request: Bun's `server.timeout`, a read-idle time-out. */
type Env = { Bindings: { timeout?(request: Request, seconds: number): void } | undefined };

/** No room for this upload now; it says nothing about the data. */
class BusyError extends Error {
  readonly status = 503;
  constructor(readonly code: "busy" | "stopping" | "revoked") {
    super(`Cannot take this upload now: ${code}. Try again later.`);
  }
}

export class Receiver {
  readonly #open = new Map<AbortController, string>();
  readonly #app = new Hono<Env>();
  #stopping = false;

  constructor(private readonly parts: Parts) {
    this.#app.get("/healthz", (c) => c.text(this.#stopping ? "stopping\n" : "ok\n"));
    // `curl -T -` sends a PUT.
    this.#app.on(["POST", "PUT"], "/v1/logs", (c) => this.#logs(c));
    this.#app.onError((error, c) => {
      const { code, status } = verdict(error);
      if (status === 503) c.header("Retry-After", String(1 + Math.floor(parts.random() * 5)));
      return c.json({ error: code, message: error.message }, status);
    });
  }

  fetch = (request: Request, server?: Env["Bindings"]) => this.#app.fetch(request, server);

  /** Ends the streams of devices that aren't allowed any more. */
  cutRevoked(allowed: (thumbprint: string) => boolean): void {
    for (const [cut, thumbprint] of this.#open) {
      if (!allowed(thumbprint)) cut.abort(new BusyError("revoked"));
    }
  }

  /** Refuses what comes from now on and ends what is open; what was read of it is still committed. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const cut of this.#open.keys()) cut.abort(new BusyError("stopping"));
    while (this.#open.size > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  /** All that can refuse comes before the first byte of the body is read. */
  async #logs(c: Context<Env>): Promise<Response> {
    const { thumbprint, device } = await this.parts.tokens.verify(c.req.header("Authorization"));
    if (this.#stopping) throw new BusyError("stopping");
    const names = { device: device.name, ...uploadNames(c.req.raw.headers) };
    const mode = c.req.header("Logmill-Mode") === "bulk" ? "bulk" : "live";
    const slot = this.parts.slots[mode].tryAcquire();
    if (!slot) throw new BusyError("busy");
    const cut = new AbortController();
    this.#open.set(cut, thumbprint);
    const live = c.req.header("Logmill-Ack") === "live";
    const store = (durable: (bytes: number) => void) =>
      this.#store(c, names, live && mode === "live", cut, durable).finally(() => {
        slot[Symbol.dispose]();
        this.#open.delete(cut);
      });
    if (!live) return c.json({ acked: await store(() => {}) });
    const lines = ackStream(store, (error) => verdict(error).code);
    return c.body(lines, 200, { "Content-Type": "application/x-ndjson" });
  }

  /** Reads the body to its end. Resolves to its decoded bytes when all of them are durable. */
  async #store(
    c: Context<Env>,
    names: { device: string; boot: string; source: string; stream: string },
    hurried: boolean,
    cut: AbortController,
    durable: (bytes: number) => void,
  ): Promise<number> {
    const { commits, inFlight, nowUs } = this.parts;
    const touch = () => c.env?.timeout?.(c.req.raw, limits.readIdleMs / 1000);
    touch();
    const body = cuttable(c.req.raw.body ?? new Blob([]).stream(), cut.signal, touch);
    let tail = Promise.resolve(0);
    try {
      for await (const block of uploadBlocks(body, c.req.header("Content-Encoding") ?? "")) {
        // A live stream is never stalled: one that finds no room ends, and comes back.
        const bytes = block.decodedBytes;
        const room = hurried
          ? inFlight.tryAcquire(bytes)
          : await inFlight.acquire(bytes, cut.signal);
        if (!room) throw new BusyError("busy");
        const header = formatBlockHeader({ ...names, recvUs: nowUs(), ...block.header });
        const committed = commits.append(Buffer.concat([Buffer.from(header), block.records]))
          .finally(() => room[Symbol.dispose]());
        // In order: acknowledged is what is durable together with all before it.
        tail = Promise.all([tail, committed]).then(([before]) => before + bytes);
        tail.then(durable, (error) => cut.abort(error));
      }
    } finally {
      await tail.catch(() => {}); // However the stream ended, what was read of it is acknowledged.
    }
    return await tail;
  }
}

/** The code for the client, and the status. 4xx but 401 and 403 are about this batch, for good. */
function verdict(
  error: unknown,
): { code: string; status: AuthError["status"] | 400 | 408 | 413 | 415 | 500 | 503 } {
  const expected = [AuthError, UploadError, BusyError, StorageError];
  if (expected.some((kind) => error instanceof kind)) return error as BusyError;
  // The sender went away, or was silent for too long: hardly anybody reads this.
  if ((error as Error)?.name === "AbortError") return { code: "cut_off", status: 408 };
  console.error(error);
  return { code: "internal", status: 500 };
}
