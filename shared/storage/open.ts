/** A place as the operator writes it in, its storage out, which has been tried: a folder or `s3://...`. */
import { limits } from "../limits.ts";
import type { OptionSpec } from "../options.ts";
import { FolderStorage } from "./folder.ts";
import { type Storage, StorageError } from "./storage.ts";

/** For programs to put among theirs. Keys come from where all S3 tools take them. */
export const s3Options = {
  "s3-endpoint": { type: "text", unit: "url", help: "S3: the server (default: AWS)" },
  "s3-region": { type: "text", unit: "name", default: "us-east-1", help: "S3: the region" },
  "s3-interval": {
    type: "number",
    unit: "ms",
    default: limits.s3IntervalMs,
    help: "S3: uploads wait so long for company",
  },
} satisfies Record<string, OptionSpec>;

/** The same for programs that read what receivers store. */
export const storageOptions = {
  data: {
    type: "text",
    unit: "place",
    default: "./data",
    help: "where the segments are: a folder, or s3://BUCKET/PREFIX",
  },
  ...s3Options,
} satisfies Record<string, OptionSpec>;

export interface OpenOptions {
  "s3-endpoint"?: string | undefined;
  "s3-region"?: string | undefined;
  "s3-interval"?: number | undefined;
}

export interface S3Place {
  bucket: string;
  /** Without slashes around it; may be empty. */
  prefix: string;
}

/** `s3://BUCKET/PREFIX`; undefined for a folder. Throws `StorageError` if it names no bucket. */
export function parseS3Place(place: string): S3Place | undefined {
  if (!place.startsWith("s3://")) return undefined;
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/+(.*?))?\/*$/.exec(place);
  if (!match) {
    throw new StorageError(
      `Cannot open the storage because it must be s3://BUCKET/PREFIX: it is ${place}`,
    );
  }
  return { bucket: match[1]!, prefix: match[2] ?? "" };
}

/**
 * @throws StorageError in words for the operator: no such bucket, wrong keys, nobody answers
 */
export async function openStorage(place: string, options: OpenOptions = {}): Promise<Storage> {
  const s3 = parseS3Place(place);
  if (!s3) return new FolderStorage(place);
  const endpoint = checkEndpoint(options["s3-endpoint"]);
  // Only here, so that who uses a folder doesn't pay for it: 150 ms and 30 MB.
  const [{ S3Storage }, { s3Client }] = await Promise.all([
    import("./s3.ts"),
    import("./s3_bucket.ts"),
  ]);
  const storage = new S3Storage({
    ...s3,
    client: s3Client({ endpoint, region: options["s3-region"] ?? s3Options["s3-region"].default }),
    intervalMs: options["s3-interval"] ?? limits.s3IntervalMs,
  });
  await storage.check();
  return storage;
}

function checkEndpoint(endpoint: string | undefined): string | undefined {
  if (endpoint === undefined || /^https?:$/.test(URL.parse(endpoint)?.protocol ?? "")) {
    return endpoint;
  }
  throw new StorageError(
    `Cannot use --s3-endpoint because it must be an http or https URL: it is ${endpoint}`,
  );
}
