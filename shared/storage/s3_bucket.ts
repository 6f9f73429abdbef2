/**
 * One S3 bucket below a prefix: keys and bytes in, bytes and listings out. A request has a time-out
 * for each try, and is tried again until its deadline. What fails then is a `StorageError`.
 */
import { setTimeout } from "node:timers/promises";
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { backoffMs } from "../backoff.ts";
import { limits } from "../limits.ts";
import { explain, isPassing, statusOf } from "./s3_errors.ts";
import { StorageError } from "./storage.ts";

export interface BucketClock {
  monotonicMs(): number;
  /** Resolves after `ms`, or as soon as `cut` is aborted. */
  sleep(ms: number, cut: AbortSignal): Promise<void>;
}

/** What S3Client does here; tests put one that fails as told in its place. */
export type S3Sender = Pick<S3Client, "send">;

export interface BucketOptions {
  bucket: string;
  /** What all keys begin with, without a slash at its end; may be empty. */
  prefix: string;
  client: S3Sender;
  /** Time for one try, and for all tries of a request. */
  tryMs?: number;
  requestMs?: number;
  clock?: BucketClock;
  random?: () => number;
}

export interface StoredObject {
  /** Without the bucket's prefix. */
  key: string;
  size: number;
  /** Another one with other bytes. */
  etag: string;
}

interface Page {
  objects: StoredObject[];
  /** What stands before the delimiter. */
  folders: string[];
}

/** A client of the real thing. Without an endpoint it is AWS, whose buckets are host names. */
export function s3Client(
  { endpoint, ...config }: Pick<S3ClientConfig, "region" | "credentials"> & {
    endpoint?: string | undefined;
  },
): S3Client {
  const agent = { keepAlive: true, maxSockets: limits.s3SocketsMax };
  return new S3Client({
    ...config,
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    requestHandler: { httpAgent: agent, httpsAgent: agent },
    // `Bucket` tries again itself: it knows what a second try means.
    maxAttempts: 1,
    // Not every server knows the newer checksums; the signature covers the body, and frames have theirs.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // Else large bodies get a connection of their own each, and wait 6 s where the server is silent.
    expectContinueHeader: false,
  });
}

export class Bucket {
  readonly #client: S3Sender;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #tryMs: number;
  readonly #requestMs: number;
  readonly #clock: BucketClock;
  readonly #random: () => number;
  /** Until the server says that it can't. */
  #conditions = true;

  constructor(options: BucketOptions) {
    this.#client = options.client;
    this.#bucket = options.bucket;
    this.#prefix = options.prefix === "" ? "" : `${options.prefix}/`;
    this.#tryMs = options.tryMs ?? limits.s3TryMs;
    this.#requestMs = options.requestMs ?? limits.s3RequestMs;
    this.#clock = options.clock ?? realClock;
    this.#random = options.random ?? Math.random;
  }

  /** Where that is, for messages. */
  url(key = ""): string {
    return `s3://${this.#bucket}/${this.#prefix}${key}`;
  }

  /** When a request that begins now is given up, by the bucket's clock. */
  deadline(): number {
    return this.#clock.monotonicMs() + this.#requestMs;
  }

  /**
   * Stores a whole object. With `ifAbsent` it never replaces one: false if there was one, which may be
   * what an earlier try of this very request has stored. A request that was given up may still arrive
   * later. Servers without conditions replace; then it is always true.
   */
  put(
    key: string,
    bytes: Uint8Array,
    { ifAbsent, deadline }: { ifAbsent: boolean; deadline?: number },
  ): Promise<boolean> {
    return this.#retry(`write ${this.url(key)}`, deadline, async (abortSignal) => {
      const send = (condition: { IfNoneMatch?: string }) =>
        this.#client.send(
          new PutObjectCommand({ ...this.#at(key), Body: bytes, ...condition }),
          { abortSignal },
        );
      try {
        await send(ifAbsent && this.#conditions ? { IfNoneMatch: "*" } : {});
      } catch (error) {
        const status = statusOf(error);
        if (ifAbsent && status === 412) return false;
        if (!this.#conditions || status !== 501) throw error;
        this.#conditions = false;
        await send({});
      }
      return true;
    });
  }

  /** Bytes from `offset` on, fewer than `length` where the object ends. */
  get(key: string, offset: number, length: number): Promise<Uint8Array> {
    if (length === 0) return Promise.resolve(new Uint8Array());
    const Range = `bytes=${offset}-${offset + length - 1}`;
    return this.#retry(`read ${this.url(key)}`, undefined, async (abortSignal) => {
      try {
        const command = new GetObjectCommand({ ...this.#at(key), Range });
        const { Body } = await this.#client.send(command, { abortSignal });
        // By now the client doesn't hear the signal any more.
        abortSignal.addEventListener("abort", () => (Body as { destroy?(): void }).destroy?.());
        return await Body!.transformToByteArray();
      } catch (error) {
        // It ends before `offset`, or is empty.
        if (statusOf(error) === 416) return new Uint8Array();
        throw error;
      }
    });
  }

  /** The objects below a folder, in the order of their keys, those behind `after`. */
  async *objects(folder: string, after?: string): AsyncGenerator<StoredObject> {
    for await (const page of this.#pages(folder, { StartAfter: this.#full(after) })) {
      yield* page.objects;
    }
  }

  /** The names of the folders in a folder, in order. */
  async folders(folder: string): Promise<string[]> {
    const names: string[] = [];
    for await (const page of this.#pages(folder, { Delimiter: "/" })) names.push(...page.folders);
    return names;
  }

  /** Rejects, in words for the operator, if nothing can be listed here. */
  async check(): Promise<void> {
    const deadline = this.#clock.monotonicMs() + Math.min(this.#requestMs, limits.s3StartMs);
    await this.#page("", { MaxKeys: 1 }, `use ${this.url()}`, deadline);
  }

  async *#pages(
    folder: string,
    how: { StartAfter?: string | undefined; Delimiter?: string },
  ): AsyncGenerator<Page> {
    let token: string | undefined;
    do {
      const input = token === undefined ? how : { ...how, ContinuationToken: token };
      const page = await this.#page(folder, input, `list ${this.url(folder)}`);
      yield page;
      token = page.next;
    } while (token !== undefined);
  }

  #page(
    folder: string,
    how: { StartAfter?: string | undefined; Delimiter?: string; MaxKeys?: number },
    what: string,
    deadline?: number,
  ): Promise<Page & { next: string | undefined }> {
    const { Bucket, Key: Prefix } = this.#at(folder);
    return this.#retry(what, deadline, async (abortSignal) => {
      const command = new ListObjectsV2Command({ Bucket, Prefix, ...how });
      const answer = await this.#client.send(command, { abortSignal });
      return {
        objects: (answer.Contents ?? []).map(({ Key, Size, ETag }) => ({
          key: Key!.slice(this.#prefix.length),
          size: Size ?? 0,
          etag: ETag ?? "",
        })),
        folders: (answer.CommonPrefixes ?? []).map((p) => p.Prefix!.slice(Prefix.length, -1)),
        next: answer.IsTruncated ? answer.NextContinuationToken : undefined,
      };
    });
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  #full(key: string | undefined): string | undefined {
    return key === undefined ? undefined : this.#prefix + key;
  }

  async #retry<T>(
    what: string,
    deadline = this.deadline(),
    attempt: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    for (let failures = 1;; failures++) {
      const leftMs = deadline - this.#clock.monotonicMs();
      try {
        if (leftMs <= 0) throw new Error("no time is left for it");
        return await this.#within(Math.min(leftMs, this.#tryMs), attempt);
      } catch (error) {
        const waitMs = backoffMs(failures, limits.s3Backoff, this.#random);
        if (!isPassing(error) || this.#clock.monotonicMs() + waitMs >= deadline) {
          throw new StorageError(`Cannot ${what}: ${explain(error)}`, { cause: error });
        }
        await this.#clock.sleep(waitMs, new AbortController().signal);
      }
    }
  }

  /** Ends a try in time even where the client doesn't hear its signal: while it reads an answer. */
  async #within<T>(ms: number, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const answered = new AbortController();
    const ended = new AbortController();
    const late = this.#clock.sleep(ms, answered.signal).then(() => {
      const error = new Error(`no answer in ${Math.round(ms)} ms`);
      ended.abort(error);
      throw error;
    });
    try {
      return await Promise.race([attempt(ended.signal), late]);
    } finally {
      answered.abort();
    }
  }
}

const realClock: BucketClock = {
  monotonicMs: () => performance.now(),
  sleep: (ms, cut) => setTimeout(ms, undefined, { signal: cut }).catch(() => {}),
};
