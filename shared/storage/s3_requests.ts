/**
 * What is asked of a bucket by those who only read, as seams: s3_get.ts asks by itself, s3_sdk.ts with the
 * SDK, which takes a third of a second to load. Both pass the storage's contract.
 */
import type { S3Client } from "@aws-sdk/client-s3";

/** A listing: keys in order, behind `startAfter` or where the last page ended. */
export interface S3ListQuery {
  bucket: string;
  prefix: string;
  startAfter?: string | undefined;
  delimiter?: string | undefined;
  maxKeys?: number | undefined;
  token?: string | undefined;
}

export interface S3Page {
  objects: { key: string; size: number; etag: string }[];
  /** Up to the delimiter, that included. */
  prefixes: string[];
  /** Where the next page begins, if there is one. */
  next: string | undefined;
}

/**
 * Rejects when its signal is aborted, and with what s3_errors.ts understands. Nothing is tried twice. The
 * caller owns the bytes.
 */
export interface S3Reader {
  /** @param range of bytes, as the HTTP header has it */
  get(bucket: string, key: string, range: string, signal: AbortSignal): Promise<Uint8Array>;
  list(query: S3ListQuery, signal: AbortSignal): Promise<S3Page>;
}

/** What S3Client does here; tests put one that fails as told in its place. */
export interface S3Sender extends Pick<S3Client, "send"> {
  /** Who reads without it; undefined: it must be asked. */
  readonly reader?: S3Reader | undefined;
}
