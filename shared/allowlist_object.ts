/**
 * The place of a text in an object of a bucket, for receivers that share one: a narrow view of the
 * bucket goes in, whole texts come out and are put in its place.
 */
import type { Listed, ListPlace, Places } from "./allowlist_place.ts";

/** What is asked of a bucket. Each rejects if the bucket can't be reached or refuses. */
export interface TextBucket {
  /** For messages: `s3://BUCKET`. */
  readonly name: string;
  /** Asks with If-None-Match where an ETag is given: an object that still has it costs no transfer. */
  get(key: string, knownEtag?: string): Promise<Listed | "unchanged" | "missing">;
  /**
   * Puts an object with If-Match, or If-None-Match: * where there must be none yet. False if the
   * condition doesn't hold (412, 409, and 404 where the object is gone).
   */
  put(key: string, text: string, condition: { etag: string } | "missing"): Promise<boolean>;
  /** Keys that begin so, in order, at most `max`. */
  keys(prefix: string, max: number): Promise<string[]>;
}

const missing = "missing";

export class ObjectPlace implements ListPlace {
  readonly name: string;

  constructor(private readonly bucket: TextBucket, private readonly key: string) {
    this.name = `${bucket.name}/${key}`;
  }

  /** The stamp is the ETag. */
  async read(knownStamp?: string): Promise<Listed | undefined> {
    const etag = knownStamp === missing ? undefined : knownStamp;
    const found = await this.bucket.get(this.key, etag);
    if (found === "unchanged") return undefined;
    if (found !== "missing") return found;
    return knownStamp === missing ? undefined : { text: "", stamp: missing };
  }

  replace(text: string, stamp: string): Promise<boolean> {
    return this.bucket.put(this.key, text, stamp === missing ? "missing" : { etag: stamp });
  }
}

/** The places in a bucket below a prefix, which is empty or ends in a slash. */
export function bucketPlaces(bucket: TextBucket, prefix: string): Places {
  return {
    at: (name) => new ObjectPlace(bucket, prefix + name),
    async namesBelow(folder, max) {
      const begin = `${prefix}${folder}/`;
      return (await bucket.keys(begin, max)).map((key) => key.slice(begin.length));
    },
  };
}
