/**
 * Archives in a bucket. A manifest is put under the condition that there is none of its number, and read
 * back: a server that knows no conditions takes the last one, and so whoever was earlier finds out.
 */
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import { limits } from "../../shared/limits.ts";
import { Bucket, type BucketOptions } from "../../shared/storage/s3_bucket.ts";
import { statusOf } from "../../shared/storage/s3_errors.ts";
import type { ArchivePlace, StoredFile } from "./place.ts";

export class S3Place implements ArchivePlace {
  readonly #bucket: Bucket;

  constructor(options: BucketOptions) {
    this.#bucket = new Bucket({
      tryMs: limits.archivePutMs,
      requestMs: 3 * limits.archivePutMs,
      ...options,
    });
  }

  async put(path: string, localFile: string): Promise<void> {
    await this.#bucket.put(path, await readFile(localFile), { ifAbsent: false });
  }

  async putNew(path: string, text: string): Promise<boolean> {
    const bytes = Buffer.from(text);
    if (!await this.#bucket.put(path, bytes, { ifAbsent: true })) return false;
    return bytes.equals(await this.read(path, 0, bytes.length + 1));
  }

  async read(path: string, offset: number, length: number): Promise<Uint8Array> {
    try {
      return await this.#bucket.get(path, offset, length);
    } catch (error) {
      if (statusOf((error as Error).cause) === 404) return new Uint8Array();
      throw error;
    }
  }

  async list(folder: string): Promise<StoredFile[]> {
    const files: StoredFile[] = [];
    for await (const { key, size } of this.#bucket.objects(`${folder}/`)) {
      files.push({ path: key, bytes: size });
    }
    return files;
  }

  /** What is left is deleted by the next sweep. */
  remove(path: string): Promise<void> {
    return this.#bucket.remove(path);
  }
}
