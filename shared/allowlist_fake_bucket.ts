/** A bucket in memory, for tests: it keeps to the conditions, answers late, and can be out of reach. */
import { createHash } from "node:crypto";
import type { Listed } from "./allowlist_place.ts";
import type { TextBucket } from "./allowlist_object.ts";

export class FakeBucket implements TextBucket {
  readonly name = "s3://fake";
  readonly objects = new Map<string, string>();
  reachable = true;
  /** Objects that were sent whole. */
  transfers = 0;
  /** The next PUT is made, but its answer gets lost, and a client's second try meets the first one. */
  losesAnswer = false;

  async get(key: string, knownEtag?: string): Promise<Listed | "unchanged" | "missing"> {
    await this.#answer();
    const text = this.objects.get(key);
    if (text === undefined) return "missing";
    if (etagOf(text) === knownEtag) return "unchanged";
    this.transfers++;
    return { text, stamp: etagOf(text) };
  }

  async put(key: string, text: string, condition: { etag: string } | "missing"): Promise<boolean> {
    await this.#answer();
    const old = this.objects.get(key);
    const etag = old === undefined ? undefined : etagOf(old);
    if (condition === "missing" ? old !== undefined : condition.etag !== etag) return false;
    this.objects.set(key, text);
    if (!this.losesAnswer) return true;
    this.losesAnswer = false;
    return false;
  }

  async keys(prefix: string, max: number): Promise<string[]> {
    await this.#answer();
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort().slice(0, max);
  }

  async #answer(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (!this.reachable) throw new Error("connect ECONNREFUSED");
  }
}

function etagOf(text: string): string {
  return `"${createHash("md5").update(text).digest("hex")}"`;
}
