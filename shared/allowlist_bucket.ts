/**
 * An S3 client and a bucket's name go in, the narrow view of the bucket that the allow-list needs
 * comes out. Loads the SDK: imported only where there is a bucket.
 */
import type { Readable } from "node:stream";
import {
  GetObjectCommand,
  type GetObjectCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import type { TextBucket } from "./allowlist_object.ts";
import type { Listed } from "./allowlist_place.ts";
import { limits } from "./limits.ts";
import { explain, statusOf } from "./storage/s3_errors.ts";

/** Byte for byte, a byte order mark too. */
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

export class SdkBucket implements TextBucket {
  readonly name: string;

  /** Nothing is tried twice: who polls comes again soon, and a person sees what is wrong. */
  constructor(
    private readonly client: Pick<S3Client, "send">,
    private readonly bucket: string,
    private readonly requestMs: number = limits.listRequestMs,
  ) {
    this.name = `s3://${bucket}`;
  }

  async get(key: string, knownEtag?: string): Promise<Listed | "unchanged" | "missing"> {
    const known = knownEtag === undefined ? {} : { IfNoneMatch: knownEtag };
    const command = new GetObjectCommand({ Bucket: this.bucket, Key: key, ...known });
    const time = AbortSignal.timeout(this.requestMs);
    let answer: GetObjectCommandOutput;
    try {
      answer = await this.client.send(command, { abortSignal: time });
    } catch (error) {
      if (statusOf(error) === 304) return "unchanged";
      if ((error as Error).name === "NoSuchKey") return "missing";
      throw explained(error);
    }
    const bytes = await wholeBody(answer, time);
    return { text: utf8.decode(bytes), stamp: answer.ETag! };
  }

  async put(key: string, text: string, condition: { etag: string } | "missing"): Promise<boolean> {
    try {
      if (condition === "missing") return await this.#put(key, text, { IfNoneMatch: "*" });
      const { etag } = condition;
      // Ceph's radosgw, and who runs it, only knows an ETag without the quotes that belong to it.
      return await this.#put(key, text, { IfMatch: etag }) ||
        await this.#put(key, text, { IfMatch: etag.replaceAll('"', "") });
    } catch (error) {
      // radosgw says 500 to some of those who write at the same time; others may, too.
      if (statusOf(error) !== 500) throw explained(error);
      return await this.#isThere(key, text, condition, error);
    }
  }

  /** What became of a write whose answer didn't tell. */
  async #isThere(
    key: string,
    text: string,
    condition: { etag: string } | "missing",
    why: unknown,
  ): Promise<boolean> {
    const now = await this.get(key);
    if (typeof now === "object" && now.text === text) return true;
    const isAsBefore = now === "missing"
      ? condition === "missing"
      : typeof now === "object" && condition !== "missing" && now.stamp === condition.etag;
    if (isAsBefore) throw explained(why);
    return false;
  }

  async #put(
    key: string,
    text: string,
    condition: { IfMatch: string } | { IfNoneMatch: string },
  ): Promise<boolean> {
    const command = new PutObjectCommand({
      Bucket: this.bucket,
      Key: key,
      Body: new TextEncoder().encode(text),
      ContentType: "text/plain; charset=utf-8",
      ...condition,
    });
    try {
      await this.client.send(command, { abortSignal: AbortSignal.timeout(this.requestMs) });
      return true;
    } catch (error) {
      // 409: another write of it is under way. With If-Match an object that is gone is a 404.
      const isLost = [409, 412].includes(statusOf(error) ?? 0);
      if (isLost || (error as Error).name === "NoSuchKey") return false;
      throw error;
    }
  }

  async keys(prefix: string, max: number): Promise<string[]> {
    const command = new ListObjectsV2Command({ Bucket: this.bucket, Prefix: prefix, MaxKeys: max });
    try {
      const { Contents = [] } = await this.client.send(command, {
        abortSignal: AbortSignal.timeout(this.requestMs),
      });
      return Contents.flatMap(({ Key }) => Key ?? []);
    } catch (error) {
      throw explained(error);
    }
  }
}

/** The SDK's own time limit ends with the answer's headers. */
async function wholeBody(
  { Body, ContentLength = 0 }: GetObjectCommandOutput,
  time: AbortSignal,
): Promise<Uint8Array> {
  const stop = () => (Body as Readable).destroy(time.reason as Error);
  if (ContentLength > limits.listBytesMax) {
    stop();
    throw new Error(`${ContentLength} bytes, more than ${limits.listBytesMax}`);
  }
  time.addEventListener("abort", stop);
  try {
    const bytes = await Body!.transformToByteArray();
    // A connection that breaks isn't an error to every HTTP client.
    if (bytes.length !== ContentLength) {
      throw new Error(`${bytes.length} of ${ContentLength} bytes came`);
    }
    return bytes;
  } finally {
    time.removeEventListener("abort", stop);
  }
}

function explained(error: unknown): Error {
  return new Error(explain(error), { cause: error });
}
