/**
 * One S3 bucket below a prefix: keys and bytes in, bytes and listings out. A request has a time-out
 * for each try, and is tried again until its deadline. What fails then is a `StorageError`.
 */
import { setTimeout } from "node:timers/promises";
import { backoffMs } from "../backoff.ts";
import { limits } from "../limits.ts";
import { loadSdk } from "./s3_client.ts";
import { explain, isPassing, statusOf } from "./s3_errors.ts";
import type { S3ListQuery, S3Reader, S3Sender } from "./s3_requests.ts";
import { StorageError } from "./storage.ts";

export { s3Client } from "./s3_client.ts";
export type { S3Sender } from "./s3_requests.ts";

export interface BucketClock {
  monotonicMs(): number;
  /** Resolves after `ms`, or as soon as `cut` is aborted. */
  sleep(ms: number, cut: AbortSignal): Promise<void>;
}

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

type ListHow = Omit<S3ListQuery, "bucket" | "prefix">;

interface Page {
  objects: StoredObject[];
  /** What stands before the delimiter. */
  folders: string[];
}

export class Bucket {
  readonly #client: S3Sender;
  /** Made when it is first needed. */
  #reader: Promise<S3Reader> | undefined;
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
      const { putObject } = await loadSdk();
      const send = (condition: { IfNoneMatch?: string }) =>
        putObject(this.#client, this.#at(key), bytes, condition, abortSignal);
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
    const range = `bytes=${offset}-${offset + length - 1}`;
    return this.#retry(`read ${this.url(key)}`, undefined, async (abortSignal) => {
      const reader = await this.#reading();
      try {
        return await reader.get(this.#bucket, this.#prefix + key, range, abortSignal);
      } catch (error) {
        // It ends before `offset`, or is empty.
        if (statusOf(error) === 416) return new Uint8Array();
        throw error;
      }
    });
  }

  /** The objects below a folder, in the order of their keys, those behind `after`. */
  async *objects(folder: string, after?: string): AsyncGenerator<StoredObject> {
    for await (const page of this.#pages(folder, { startAfter: this.#full(after) })) {
      yield* page.objects;
    }
  }

  /** The names of the folders in a folder, in order. */
  async folders(folder: string): Promise<string[]> {
    const names: string[] = [];
    for await (const page of this.#pages(folder, { delimiter: "/" })) names.push(...page.folders);
    return names;
  }

  /** Deletes an object, if there is one. Nothing is tried twice. */
  async remove(key: string): Promise<void> {
    try {
      const { deleteObject } = await loadSdk();
      await deleteObject(this.#client, this.#at(key), AbortSignal.timeout(this.#tryMs));
    } catch (error) {
      throw new StorageError(`Cannot delete ${this.url(key)}: ${explain(error)}`, { cause: error });
    }
  }

  /** Rejects, in words for the operator, if nothing can be listed here. */
  async check(): Promise<void> {
    const deadline = this.#clock.monotonicMs() + Math.min(this.#requestMs, limits.s3StartMs);
    await this.#page("", { maxKeys: 1 }, `use ${this.url()}`, deadline);
  }

  async *#pages(
    folder: string,
    how: ListHow,
  ): AsyncGenerator<Page> {
    let token: string | undefined;
    do {
      const page = await this.#page(folder, { ...how, token }, `list ${this.url(folder)}`);
      yield page;
      token = page.next;
    } while (token !== undefined);
  }

  #page(
    folder: string,
    how: ListHow,
    what: string,
    deadline?: number,
  ): Promise<Page & { next: string | undefined }> {
    const prefix = this.#prefix + folder;
    return this.#retry(what, deadline, async (abortSignal) => {
      const reader = await this.#reading();
      const page = await reader.list({ bucket: this.#bucket, prefix, ...how }, abortSignal);
      return {
        objects: page.objects.map((one) => ({ ...one, key: one.key.slice(this.#prefix.length) })),
        folders: page.prefixes.map((one) => one.slice(prefix.length, -1)),
        next: page.next,
      };
    });
  }

  #reading(): Promise<S3Reader> {
    const { reader } = this.#client;
    return this.#reader ??= reader
      ? Promise.resolve(reader)
      : loadSdk().then(({ SdkReader }) => new SdkReader(this.#client));
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
