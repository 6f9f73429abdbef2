/** An archive's place to its manifest: the newest version, and the next one. */
import { Buffer } from "node:buffer";
import {
  formatManifest,
  type Manifest,
  manifestPath,
  noManifest,
  parseManifest,
  versionOf,
} from "./manifest.ts";
import { ArchiveError, type ArchivePlace } from "./place.ts";

/** Somebody else has published this version meanwhile. */
export class ManifestRaceError extends ArchiveError {
  override name = "ManifestRaceError";
}

export class ManifestStore {
  constructor(private readonly place: ArchivePlace) {}

  /**
   * The newest one, or one of no files. Throws `ArchiveError` if it can't be read: an older one may name
   * files that are gone and segments that are archived twice.
   */
  async newest(partitions: number): Promise<Manifest> {
    const versions = await this.#versions();
    const newest = versions.at(-1);
    if (newest === undefined) return noManifest(partitions);
    const path = manifestPath(newest.version);
    const bytes = await this.place.read(path, 0, newest.bytes);
    return parseManifest(Buffer.from(bytes).toString("utf8"), path);
  }

  /**
   * Makes it the newest. Throws `ManifestRaceError` if there is one of that version: the caller begins
   * anew, from that one.
   */
  async publish(manifest: Manifest): Promise<void> {
    const path = manifestPath(manifest.version);
    const text = formatManifest(manifest);
    if (await this.place.putNew(path, text)) return;
    // An earlier try of this very request may have arrived.
    const there = await this.place.read(path, 0, Buffer.byteLength(text) + 1);
    if (Buffer.from(there).equals(Buffer.from(text))) return;
    throw new ManifestRaceError(
      `Cannot publish manifest ${manifest.version} because there must be none: another archiver runs here`,
    );
  }

  /** Deletes those that were followed by another before `beforeMs`. */
  async forgetBefore(beforeMs: number): Promise<void> {
    const versions = await this.#versions();
    for (const [i, { version, bytes }] of versions.entries()) {
      const next = versions[i + 1];
      if (!next) return;
      const path = manifestPath(next.version);
      const text = Buffer.from(await this.place.read(path, 0, next.bytes)).toString("utf8");
      if (parseManifest(text, path).writtenMs >= beforeMs) return;
      if (bytes >= 0) await this.place.remove(manifestPath(version));
    }
  }

  async #versions(): Promise<Array<{ version: number; bytes: number }>> {
    const files = await this.place.list("archive/manifests");
    return files.flatMap(({ path, bytes }) => {
      const version = versionOf(path);
      return version === undefined ? [] : [{ version, bytes }];
    }).sort((a, b) => a.version - b.version);
  }
}
