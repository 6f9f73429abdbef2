/**
 * S3's GET and LIST, signed, with nothing but `fetch`: for who only reads, and mustn't wait until the SDK
 * is loaded. It takes keys from the environment; where they are elsewhere (a profile, the machine's role),
 * the SDK must be asked.
 */
import { AwsV4Signer } from "aws4fetch";
import { limits } from "../limits.ts";
import { Semaphore } from "../semaphore.ts";
import { elementsOf, textOf } from "./s3_xml.ts";
import type { S3ListQuery, S3Page, S3Reader } from "./s3_requests.ts";

export interface S3Keys {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
}

export interface FetchReaderOptions {
  /** Undefined: AWS, whose buckets are host names. */
  endpoint?: string | undefined;
  region: string;
  keys: S3Keys;
  fetch?: typeof fetch;
  nowMs?: () => number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** With these the SDK looks for keys, or for the server, where nothing here does. */
const elsewhere = ["AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"];

/** Undefined where only the SDK knows them. */
export function keysOf(env: Environment): S3Keys | undefined {
  if (elsewhere.some((name) => env[name])) return undefined;
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (!accessKeyId || !secretAccessKey) return undefined;
  const sessionToken = env["AWS_SESSION_TOKEN"] || undefined;
  return { accessKeyId, secretAccessKey, sessionToken };
}

export class FetchReader implements S3Reader {
  readonly #requests = new Semaphore(limits.s3SocketsMax, "requests");
  /** Keys that were made of the secret one for a day. */
  readonly #cache = new Map<string, ArrayBuffer>();
  /** How far the server's clock is ahead of this one. */
  #aheadMs = 0;

  constructor(private readonly options: FetchReaderOptions) {}

  async get(
    bucket: string,
    key: string,
    range: string,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    return await this.#request(this.#url(bucket, key), { range }, signal);
  }

  async list(query: S3ListQuery, signal: AbortSignal): Promise<S3Page> {
    const url = this.#url(query.bucket, "");
    const parameters = {
      "list-type": "2",
      "prefix": query.prefix,
      "start-after": query.startAfter,
      "delimiter": query.delimiter,
      "max-keys": query.maxKeys?.toString(),
      "continuation-token": query.token,
    };
    // Not by `searchParams`: a space would be a plus, which servers take for one or not.
    url.search = Object.entries(parameters)
      .flatMap(([name, value]) => value === undefined ? [] : `${name}=${encodeURIComponent(value)}`)
      .join("&");
    return pageOf(new TextDecoder().decode(await this.#request(url, {}, signal)));
  }

  #url(bucket: string, key: string): URL {
    const { endpoint, region } = this.options;
    const path = key.split("/").map(encodeURIComponent).join("/");
    if (endpoint !== undefined) return new URL(`${endpoint.replace(/\/+$/, "")}/${bucket}/${path}`);
    const host = `s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`;
    // A certificate's wildcard is for one name without dots.
    return bucket.includes(".")
      ? new URL(`https://${host}/${bucket}/${path}`)
      : new URL(`https://${bucket}.${host}/${path}`);
  }

  async #request(
    url: URL,
    more: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    using _permit = await this.#requests.acquire();
    signal.throwIfAborted();
    const headers = await this.#signed(url);
    // Not signed: who stands in between may change it.
    headers.set("accept-encoding", "identity");
    for (const [name, value] of Object.entries(more)) headers.set(name, value);
    const send = this.options.fetch ?? fetch;
    const response = await send(url, { headers, signal, redirect: "manual" }).catch(unreachable);
    const body = new Uint8Array(await response.arrayBuffer().catch(unreachable));
    if (!response.ok) throw this.#failure(response, new TextDecoder().decode(body));
    const stated = response.headers.get("content-length");
    if (stated === null || Number(stated) === body.length) return body;
    throw new Error(`${body.length} of ${stated} bytes came`);
  }

  async #signed(url: URL): Promise<Headers> {
    const { region, keys, nowMs = Date.now } = this.options;
    const datetime = new Date(nowMs() + this.#aheadMs).toISOString().replace(/[:-]|\.\d{3}/g, "");
    const { sessionToken, ...pair } = keys;
    const signer = new AwsV4Signer({
      ...{ url: url.href, service: "s3", region, datetime, cache: this.#cache, ...pair },
      ...(sessionToken === undefined ? {} : { sessionToken }),
    });
    return (await signer.sign()).headers;
  }

  /** As the SDK would say it. */
  #failure({ status, headers }: Response, body: string): Error {
    const name = textOf(body, "Code") ?? `Status${status}`;
    if (name === "RequestTimeTooSkewed") {
      const serverMs = Date.parse(headers.get("date") ?? "");
      // The next try is signed by the server's clock.
      if (!Number.isNaN(serverMs)) {
        this.#aheadMs = serverMs - (this.options.nowMs ?? Date.now)();
      }
    }
    const error = new Error(textOf(body, "Message") ?? name);
    return Object.assign(error, { name, $metadata: { httpStatusCode: status } });
  }
}

function pageOf(xml: string): S3Page {
  return {
    objects: elementsOf(xml, "Contents").map((one) => ({
      key: textOf(one, "Key") ?? "",
      size: Number(textOf(one, "Size") ?? 0),
      etag: textOf(one, "ETag") ?? "",
    })),
    prefixes: elementsOf(xml, "CommonPrefixes").map((one) => textOf(one, "Prefix") ?? ""),
    next: textOf(xml, "IsTruncated") === "true" ? textOf(xml, "NextContinuationToken") : undefined,
  };
}

/** What the runtimes say in their own words, by the system's names. */
const codes: [RegExp, string][] = [
  [/refused/i, "ECONNREFUSED"],
  [/reset|closed/i, "ECONNRESET"],
  [/dns|resolve|lookup|ENOTFOUND/i, "ENOTFOUND"],
];

function unreachable(error: unknown): never {
  const { name, message, code } = error as Error & { code?: unknown };
  if (name === "AbortError") throw error;
  const known = codes.find(([words]) => words.test(`${String(code)} ${message}`));
  throw known ? Object.assign(new Error(message), { code: known[1] }) : error;
}
