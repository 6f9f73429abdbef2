/**
 * S3 in memory, for tests: `S3Client.send` for the requests that `Bucket` makes, with conditions, pages
 * and byte order as a server has them. A test may stand between a request and what it does.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import type { S3Sender } from "./s3_requests.ts";
// Loaded before any clock runs that isn't the real one.
import "./s3_sdk.ts";

export interface FakeRequest {
  verb: "PUT" | "GET" | "LIST";
  /** The key, or the prefix that is listed. */
  key: string;
  /** How many requests with the same verb and key came before. */
  earlier: number;
  signal: AbortSignal;
}

/** Does what the request asks for, and gives its answer. May be called later, or never. */
export type Proceed = () => unknown;

export class FakeS3 {
  readonly objects = new Map<string, Buffer>();
  /** Of each request its verb and key, oldest first. */
  readonly requests: string[] = [];
  /** What becomes of requests: by default what they ask for. */
  between: (request: FakeRequest, proceed: Proceed) => unknown = (_, proceed) => proceed();
  conditions: "known" | "ignored" | "refused" = "known";
  exists = true;
  pageSize = 1000;

  get client(): S3Sender {
    return this as unknown as S3Sender;
  }

  /** Lets other requests come first, as a network does. */
  async send(command: unknown, { abortSignal }: { abortSignal: AbortSignal }): Promise<unknown> {
    const { verb, key, proceed } = this.#plan(command);
    const line = `${verb} ${key}`;
    const earlier = this.requests.filter((request) => request === line).length;
    this.requests.push(line);
    await new Promise((turn) => setImmediate(turn));
    return await this.between({ verb, key, earlier, signal: abortSignal }, () => {
      if (!this.exists) throw s3Error("NoSuchBucket", 404);
      return proceed();
    });
  }

  #plan(command: unknown): { verb: FakeRequest["verb"]; key: string; proceed: Proceed } {
    if (command instanceof PutObjectCommand) {
      return { verb: "PUT", key: command.input.Key!, proceed: () => this.#put(command.input) };
    }
    if (command instanceof GetObjectCommand) {
      return { verb: "GET", key: command.input.Key!, proceed: () => this.#get(command.input) };
    }
    if (command instanceof ListObjectsV2Command) {
      return { verb: "LIST", key: command.input.Prefix!, proceed: () => this.#list(command.input) };
    }
    throw new Error("the fake has no such command");
  }

  #put({ Key, Body, IfNoneMatch }: PutObjectCommand["input"]): unknown {
    if (IfNoneMatch && this.conditions === "refused") throw s3Error("NotImplemented", 501);
    if (IfNoneMatch && this.conditions === "known" && this.objects.has(Key!)) {
      throw s3Error("PreconditionFailed", 412);
    }
    const bytes = Buffer.from(Body as Uint8Array);
    this.objects.set(Key!, bytes);
    return {};
  }

  #get({ Key, Range }: GetObjectCommand["input"]): unknown {
    const bytes = this.objects.get(Key!);
    if (!bytes) throw s3Error("NoSuchKey", 404);
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(Range!)!.map(Number) as [0, number, number];
    if (from >= bytes.length) throw s3Error("InvalidRange", 416);
    const part = new Uint8Array(bytes.subarray(from, to + 1));
    return { Body: { transformToByteArray: () => Promise.resolve(part) } };
  }

  #list(input: ListObjectsV2Command["input"]): unknown {
    const { Prefix = "", Delimiter, StartAfter = "", ContinuationToken } = input;
    const after = ContinuationToken ?? StartAfter;
    const found = new Map<string, { folder: boolean; last: string }>();
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(Prefix)).sort();
    for (const key of keys) {
      if (key <= after) continue;
      const end = Delimiter ? key.indexOf(Delimiter, Prefix.length) : -1;
      const name = end < 0 ? key : key.slice(0, end + 1);
      found.set(name, { folder: end >= 0, last: key });
    }
    const page = [...found].slice(0, input.MaxKeys ?? this.pageSize);
    return {
      Contents: page.filter(([, { folder }]) => !folder).map(([Key]) => ({
        Key,
        Size: this.objects.get(Key)!.length,
        ETag: createHash("md5").update(this.objects.get(Key)!).digest("hex"),
      })),
      CommonPrefixes: page.filter(([, { folder }]) => folder).map(([name]) => ({ Prefix: name })),
      IsTruncated: page.length < found.size,
      NextContinuationToken: page.at(-1)?.[1].last,
    };
  }
}

export function s3Error(name: string, httpStatusCode: number): Error {
  return Object.assign(new Error(name), { name, $metadata: { httpStatusCode } });
}

/** What the client throws when the connection breaks. */
export function connectionReset(): Error {
  return Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
}

/** A server that doesn't answer: rejects when the client gives up. */
export function silence({ signal }: FakeRequest): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });
}
