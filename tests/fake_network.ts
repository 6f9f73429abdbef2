/** The other end of an agent's `fetch`: each POST is the test's to read and to answer. */
import { Buffer } from "node:buffer";
import { type AckLine, formatAck } from "../shared/acks.ts";
import { cuttable } from "../shared/cuttable.ts";
import { forEachRecord, type LogRecord } from "../shared/record.ts";
import { uploadBlocks } from "../shared/upload.ts";

export class FakePost {
  readonly headers: Headers;
  /** All records that arrived, clock and gap records among them. */
  readonly records: LogRecord[] = [];
  /** Decoded bytes up to the end of each frame that arrived. */
  readonly frameEnds: number[] = [];
  /** The body has ended, as its sender wanted. */
  ended = false;
  /** The agent has given it up. */
  aborted = false;
  readonly response = Promise.withResolvers<Response>();
  #accepted = false;
  #answer: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(readonly url: string, init: RequestInit) {
    this.headers = new Headers(init.headers);
    const signal = init.signal!;
    signal.addEventListener("abort", () => {
      this.aborted = true;
      this.response.reject(signal.reason);
      this.#answer?.error(signal.reason);
    });
    const body = init.body instanceof ReadableStream ? init.body : new Response(init.body).body!;
    void this.#read(cuttable(body as ReadableStream<Uint8Array>, signal)).catch(() => {});
  }

  get live(): boolean {
    return this.headers.get("Logmill-Ack") === "live";
  }

  /** The seqs of the ordinary records that arrived. */
  get seqs(): number[] {
    return this.records.filter(({ flag }) => flag === "-").map(({ seq }) => seq);
  }

  get decodedBytes(): number {
    return this.frameEnds.at(-1) ?? 0;
  }

  /** A line of a live answer; the first opens it with status 200. */
  line(line: AckLine | string): void {
    if (!this.#answer) {
      const body = new ReadableStream<Uint8Array>({ start: (c) => void (this.#answer = c) });
      this.response.resolve(new Response(body));
    }
    const text = typeof line === "string" ? line : formatAck(line);
    this.#answer!.enqueue(Buffer.from(text));
    if (typeof line !== "string" && (line.done || line.error)) this.#answer!.close();
  }

  /** The live answer breaks off. */
  breakOff(): void {
    this.#answer!.close();
  }

  status(status: number, body = "", headers: Record<string, string> = {}): void {
    this.response.resolve(new Response(body, { status, headers }));
  }

  fail(message: string): void {
    this.response.reject(new Error(message));
  }

  /** As a receiver does where all goes well: everything is durable as soon as it comes. */
  accept(): void {
    this.#accepted = true;
    this.#acknowledge();
  }

  #acknowledge(): void {
    if (!this.#accepted || this.aborted) return;
    const acked = this.decodedBytes;
    if (this.live) this.line(this.ended ? { done: true, acked } : { acked });
    else if (this.ended) this.status(200, formatAck({ acked }));
  }

  async #read(body: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const { records, decodedBytes } of uploadBlocks(body, "zstd")) {
      const text = Buffer.from(records).toString("latin1");
      forEachRecord(text, (record) => this.records.push(record), (bad) => {
        throw new Error(`no record: ${bad}`);
      });
      this.frameEnds.push(this.decodedBytes + decodedBytes);
      this.#acknowledge();
    }
    this.ended = true;
    this.#acknowledge();
  }
}

export class FakeNetwork {
  readonly posts: FakePost[] = [];

  constructor(public onPost: (post: FakePost) => unknown = () => {}) {}

  fetch = ((url: string, init: RequestInit) => {
    const post = new FakePost(url, init);
    this.posts.push(post);
    post.response.promise.catch(() => {});
    this.onPost(post);
    return post.response.promise;
  }) as typeof fetch;

  get last(): FakePost {
    return this.posts.at(-1)!;
  }
}
