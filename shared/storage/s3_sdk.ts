/** What `Bucket` asks of the SDK. It loads it: imported only where something is to be written. */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { limits } from "../limits.ts";
import type { S3ListQuery, S3Page, S3Reader, S3Sender } from "./s3_requests.ts";

export type ClientOptions = Pick<S3ClientConfig, "region" | "credentials"> & {
  endpoint?: string | undefined;
};

/** A client of the real thing. Without an endpoint it is AWS, whose buckets are host names. */
export function sdkClient({ endpoint, ...config }: ClientOptions): S3Client {
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

export class SdkReader implements S3Reader {
  constructor(private readonly client: S3Sender) {}

  async get(Bucket: string, Key: string, Range: string, abortSignal: AbortSignal) {
    const command = new GetObjectCommand({ Bucket, Key, Range });
    const { Body } = await this.client.send(command, { abortSignal });
    // By now the client doesn't hear the signal any more.
    abortSignal.addEventListener("abort", () => (Body as { destroy?(): void }).destroy?.());
    return await Body!.transformToByteArray();
  }

  async list(query: S3ListQuery, abortSignal: AbortSignal): Promise<S3Page> {
    const { bucket, prefix, startAfter, delimiter, maxKeys, token } = query;
    const command = new ListObjectsV2Command({
      Bucket: bucket,
      Prefix: prefix,
      StartAfter: startAfter,
      Delimiter: delimiter,
      MaxKeys: maxKeys,
      ContinuationToken: token,
    });
    const answer = await this.client.send(command, { abortSignal });
    return {
      objects: (answer.Contents ?? []).map(({ Key, Size, ETag }) => ({
        key: Key!,
        size: Size ?? 0,
        etag: ETag ?? "",
      })),
      prefixes: (answer.CommonPrefixes ?? []).map(({ Prefix }) => Prefix!),
      next: answer.IsTruncated ? answer.NextContinuationToken : undefined,
    };
  }
}

export interface ObjectPlace {
  Bucket: string;
  Key: string;
}

export async function putObject(
  client: S3Sender,
  at: ObjectPlace,
  bytes: Uint8Array,
  condition: { IfNoneMatch?: string },
  abortSignal: AbortSignal,
): Promise<void> {
  await client.send(new PutObjectCommand({ ...at, Body: bytes, ...condition }), { abortSignal });
}

export async function deleteObject(
  client: S3Sender,
  at: ObjectPlace,
  abortSignal: AbortSignal,
): Promise<void> {
  await client.send(new DeleteObjectCommand(at), { abortSignal });
}
