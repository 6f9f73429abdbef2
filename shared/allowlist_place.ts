/**
 * Where the allow-list is kept, and the small texts beside it: `--data` goes in, as a folder or as
 * `s3://BUCKET/PREFIX`, places come out.
 *
 *   devices            the allow-list (allowlist_format.ts), one for all receivers
 *   knocked/RECEIVER   who knocked at a receiver (receiver/knocks.ts)
 */
import { join } from "node:path";
import { fileNames, FilePlace } from "./allowlist_file.ts";
import { bucketPlaces } from "./allowlist_object.ts";
import { type OpenOptions, parseS3Place, s3Options } from "./storage/open.ts";

/** A text as it was found. */
export interface Listed {
  text: string;
  /** Tells this state of the place from every other. */
  stamp: string;
}

/**
 * The place of one text that is read whole and replaced whole. A missing one is an empty text. Who
 * reads it sees the old text or the new one, unless somebody writes into the file by hand; what
 * `replace` has put there outlives a crash.
 */
export interface ListPlace {
  /** For messages. */
  readonly name: string;
  /**
   * The text, or undefined if it is still the one with this stamp. Rejects if it can't be told, or
   * if the text is too long.
   */
  read(knownStamp?: string): Promise<Listed | undefined>;
  /**
   * Puts a text in the place of the one with this stamp. False if another one is there by now: then
   * nothing was changed.
   */
  replace(text: string, stamp: string): Promise<boolean>;
}

/** The places below `--data`. */
export interface Places {
  at(name: string): ListPlace;
  /** The names of texts that are directly below a folder, at most `max`. */
  namesBelow(folder: string, max: number): Promise<string[]>;
}

/** The places in a folder on this machine. */
export function folderPlaces(folder: string): Places {
  return {
    at: (name) => new FilePlace(join(folder, name)),
    namesBelow: (name, max) => fileNames(join(folder, name), max),
  };
}

/** The places below `--data`: a folder, or `s3://BUCKET/PREFIX`. Nothing is asked of a bucket yet. */
export async function openPlaces(data: string, options: OpenOptions = {}): Promise<Places> {
  const s3 = parseS3Place(data);
  if (!s3) return folderPlaces(data);
  // The SDK takes a while to load: not for those who have a folder.
  const [{ SdkBucket }, { s3Client }] = await Promise.all([
    import("./allowlist_bucket.ts"),
    import("./storage/s3_bucket.ts"),
  ]);
  const client = s3Client({
    endpoint: options["s3-endpoint"],
    region: options["s3-region"] ?? s3Options["s3-region"].default,
  });
  const prefix = s3.prefix === "" ? "" : `${s3.prefix}/`;
  return bucketPlaces(new SdkBucket(client, s3.bucket), prefix);
}

/** The allow-list's place: the file of `--allow`, or `devices` below `--data`. */
export function listPlace(places: Places, allow?: string | undefined): ListPlace {
  return allow === undefined ? places.at("devices") : new FilePlace(allow);
}
