/**
 * Where S3 is in, a client of it out that costs nothing until it is asked: it reads by itself (s3_get.ts)
 * where the keys are in the environment, and loads the SDK for all else.
 */
import process from "node:process";
import { FetchReader, keysOf } from "./s3_get.ts";
import type { S3Reader, S3Sender } from "./s3_requests.ts";
import type { ClientOptions } from "./s3_sdk.ts";

/** Loads it at the first call: a third of a second, and 30 MB. */
export function loadSdk(): Promise<typeof import("./s3_sdk.ts")> {
  return import("./s3_sdk.ts");
}

/** Without an endpoint it is AWS. */
export function s3Client(options: ClientOptions): S3Sender & Disposable & { destroy(): void } {
  return new LazyClient(options);
}

class LazyClient implements S3Sender, Disposable {
  readonly reader: S3Reader | undefined;
  /** As the SDK's client has it, for all commands. */
  readonly send: S3Sender["send"];
  #client: Promise<{ send: unknown; destroy(): void }> | undefined;

  constructor(private readonly options: ClientOptions) {
    this.reader = readerOf(options);
    const send = async (...words: unknown[]) => {
      const client = await (this.#client ??= this.#load());
      return await (client.send as (...words: unknown[]) => unknown).apply(client, words);
    };
    this.send = send as S3Sender["send"];
  }

  destroy(): void {
    void this.#client?.then((client) => client.destroy());
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  async #load() {
    const { sdkClient } = await loadSdk();
    return sdkClient(this.options);
  }
}

/** Undefined where only the SDK knows the keys. */
function readerOf({ endpoint, region, credentials }: ClientOptions): S3Reader | undefined {
  if (typeof region !== "string" || typeof credentials === "function") return undefined;
  const keys = credentials ?? keysOf(process.env);
  return keys && new FetchReader({ endpoint, region, keys });
}
