/**
 * The receiver: `POST /v1/logs` (or PUT) in, durable segments out, and nothing else. A plain fetch
 * handler; who may send is admission.ts's matter, the formats and the group commit are in shared/, the
 * server and its options in main.ts.
 */
import { type Context, Hono } from "hono";
import { ackStream } from "../shared/acks.ts";
import type { CommitQueue } from "../shared/commit_queue.ts";
import { limits } from "../shared/limits.ts";
import { type Decode, uploadBlocks, uploadNames } from "../shared/upload.ts";
import { type Admission, type Mode, Refusal, type Sender } from "./admission.ts";
import { chunksOf, type Server } from "./body.ts";
import type { ReceiverMetrics } from "./receiver_metrics.ts";
import { storeUpload } from "./store.ts";
import { verdict } from "./verdict.ts";

export interface Parts {
  commits: Pick<CommitQueue, "add" | "problem">;
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

const route = "/v1/logs";
const modeOf = (headers: Headers): Mode => headers.get("Logmill-Mode") === "bulk" ? "bulk" : "live";
type Env = { Bindings: Server | undefined };

export class Receiver {
  readonly #app = new Hono<Env>();

  constructor(private readonly parts: Parts) {
    this.#app.get("/healthz", (c) => {
      const problem = parts.admission.stopping ? "stopping" : parts.commits.problem?.message;
      return problem ? c.text(`${problem}\n`, 503) : c.text("ok\n");
    });
    this.#app.get("/metrics", (c) => c.text(parts.metrics.text()));
    // `curl -T -` sends a PUT.
    this.#app.on(["POST", "PUT"], route, (c) => this.#logs(c));
    this.#app.onError((error) => this.#refuse(error));
  }

  fetch = (request: Request, server?: Server) =>
    this.#turnedAway(request) ?? this.#app.fetch(request, server);

  /** A full house says so before anything else is done: in a flood most of the work is refusing. */
  #turnedAway({ method, url, headers }: Request): Response | undefined {
    if (method === "GET" || !url.endsWith(route)) return undefined;
    const code = this.parts.admission.against(modeOf(headers));
    return code && this.#refuse(new Refusal(code));
  }

  /** All that can refuse comes before the first byte of the body is read. */
  async #logs(c: Context<Env>): Promise<Response> {
    const { admission, identify, random } = this.parts;
    const request = c.req.raw;
    const mode = modeOf(request.headers);
    const peer = () => c.env?.requestIP?.(request)?.address;
    const sender = await identify(request.headers, peer);
    const names = { device: sender.device.name, ...uploadNames(request.headers) };
    const acksLive = request.headers.get("Logmill-Ack") === "live";
    const stream = admission.admit(sender, mode, acksLive);
    const encoding = request.headers.get("Content-Encoding") ?? "";
    const store = async (durable: (bytes: number) => void) => {
      using _ = stream;
      const chunks = chunksOf(request, c.env, stream, admission.options.nowMs);
      const blocks = uploadBlocks(chunks, encoding, this.parts.decode);
      return await storeUpload(blocks, { names, stream, durable }, this.parts);
    };
    if (!acksLive) return c.json({ acked: await store(() => {}) });
    // Now and then a connection is closed, so that a receiver that was restarted gets its share back.
    if (random() < 1 / limits.answersPerConnection) c.header("Connection", "close");
    const lines = ackStream(store, (error) => this.#refused(error).code, this.parts.flushMs);
    return c.body(lines, 200, { "Content-Type": "application/x-ndjson" });
  }

  #refuse(error: unknown): Response {
    const { code, status } = this.#refused(error);
    const later = status === 503 || status === 429;
    const headers: Record<string, string> = later
      ? { "Retry-After": `${this.parts.admission.retryAfterSec()}` }
      : {};
    return Response.json({ error: code, message: (error as Error).message }, { status, headers });
  }

  #refused(error: unknown): ReturnType<typeof verdict> {
    const refusal = verdict(error);
    this.parts.metrics.refused(refusal.code);
    return refusal;
  }
}
