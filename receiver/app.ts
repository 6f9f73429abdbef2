/**
 * The receiver: `POST /v1/logs` (or PUT) in, durable segments out, and nothing else. A plain fetch
 * handler; who may send is admission.ts's matter, the formats and the group commit are in shared/, the
 * server and its options in main.ts.
 */
import { Buffer } from "node:buffer";
import { type Context, Hono } from "hono";
import { ackStream } from "../shared/acks.ts";
import { formatBlockHeader } from "../shared/block.ts";
import type { CommitQueue } from "../shared/commit_queue.ts";
import { limits } from "../shared/limits.ts";
import { type Decode, uploadBlocks, uploadNames } from "../shared/upload.ts";
import type { Admission, Sender, Stream } from "./admission.ts";
import type { ReceiverMetrics } from "./receiver_metrics.ts";
import { chunksOf, type Server } from "./body.ts";
import { verdict } from "./verdict.ts";

export interface Parts {
  commits: Pick<CommitQueue, "append" | "problem">;
  /** Says who sends, by a token or by a certificate that a proxy at `peer` has seen. */
  identify: (headers: Headers, peer: () => string | undefined) => Promise<Sender>;
  admission: Admission;
  metrics: ReceiverMetrics;
  /** Decodes an upload's frame. */
  decode: Decode;
  /** The flush time that senders of live streams are asked for. */
  flushMs: () => number;
  nowUs: () => number;
  random: () => number;
}

type Env = { Bindings: Server | undefined };
const nothing = new Uint8Array(0);
type Durable = (bytes: number) => void;

export class Receiver {
  readonly #app = new Hono<Env>();

  constructor(private readonly parts: Parts) {
    this.#app.get("/healthz", (c) => {
      const problem = parts.admission.stopping ? "stopping" : parts.commits.problem?.message;
      return problem ? c.text(`${problem}\n`, 503) : c.text("ok\n");
    });
    this.#app.get("/metrics", (c) => c.text(parts.metrics.text()));
    // `curl -T -` sends a PUT.
    this.#app.on(["POST", "PUT"], "/v1/logs", (c) => this.#logs(c));
    this.#app.onError((error, c) => {
      const { code, status } = this.#refused(error);
      if (status === 503 || status === 429) {
        c.header("Retry-After", String(parts.admission.retryAfterSec()));
      }
      return c.json({ error: code, message: error.message }, status);
    });
  }

  fetch = (request: Request, server?: Server) => this.#app.fetch(request, server);

  /** All that can refuse comes before the first byte of the body is read. */
  async #logs(c: Context<Env>): Promise<Response> {
    const { admission, identify, random } = this.parts;
    const request = c.req.raw;
    const mode = request.headers.get("Logmill-Mode") === "bulk" ? "bulk" : "live";
    // A full house says so before it checks a signature: a refusal must cost next to nothing.
    admission.assertRoom(mode);
    const peer = () => c.env?.requestIP?.(request)?.address;
    const sender = await identify(request.headers, peer);
    const names = { device: sender.device.name, ...uploadNames(request.headers) };
    const acksLive = request.headers.get("Logmill-Ack") === "live";
    const stream = admission.admit(sender, mode, acksLive);
    const store = (durable: Durable) =>
      this.#store(request, c.env, names, stream, durable).finally(() => stream[Symbol.dispose]());
    if (!acksLive) return c.json({ acked: await store(() => {}) });
    // Now and then a connection is closed, so that a receiver that was restarted gets its share back.
    if (random() < 1 / limits.answersPerConnection) c.header("Connection", "close");
    const lines = ackStream(store, (error) => this.#refused(error).code, this.parts.flushMs);
    return c.body(lines, 200, { "Content-Type": "application/x-ndjson" });
  }

  /** Reads the body to its end. Resolves to its decoded bytes when all of them are durable. */
  async #store(
    request: Request,
    server: Server | undefined,
    names: { device: string; boot: string; source: string; stream: string },
    stream: Stream,
    durable: Durable,
  ): Promise<number> {
    const { commits, metrics, admission, nowUs } = this.parts;
    const body = chunksOf(request, server, stream, admission.options.nowMs);
    const encoding = request.headers.get("Content-Encoding") ?? "";
    let [acked, failed] = [0, undefined as unknown];
    let last = Promise.resolve();
    try {
      for await (const block of uploadBlocks(body, encoding, this.parts.decode)) {
        const bytes = block.decodedBytes;
        const room = await stream.room(bytes);
        metrics.received(bytes);
        const header = formatBlockHeader({ ...names, recvUs: nowUs(), ...block.header });
        // They settle in order; what comes behind one that failed must not be acknowledged.
        const appended = commits.append(Buffer.from(header), block.records);
        // While this stream waits for its next block the runtime holds on to this one.
        block.records = nothing;
        last = appended.then(() => {
          stream.started();
          if (failed === undefined) durable(acked += bytes);
        }, (error) => stream.cut.abort(failed ??= error)).finally(() => room.release());
      }
    } finally {
      await last; // However the stream ended, what was read of it is acknowledged.
    }
    if (failed !== undefined) throw failed;
    return acked;
  }

  #refused(error: unknown): ReturnType<typeof verdict> {
    const refusal = verdict(error);
    this.parts.metrics.refused(refusal.code);
    return refusal;
  }
}
