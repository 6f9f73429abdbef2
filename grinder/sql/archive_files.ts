/**
 * A manifest in, the archive's files on this machine out: in a folder those themselves, of a bucket copies
 * in a scratch folder, since DuckDB is given nothing but files. A file that isn't as the archiver wrote it
 * is left out, with a warning.
 */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../shared/limits.ts";
import { writeAll } from "../archive/bucket.ts";
import { openArchiveFile } from "../archive/check_file.ts";
import type { ArchiveFile, Manifest } from "../archive/manifest.ts";
import type { ArchivePlace } from "../archive/place.ts";
import type { TimeRange } from "../history/time_range.ts";
import { StorageError } from "../../shared/storage/storage.ts";

export interface ArchiveFilesOptions {
  manifest: Manifest;
  place: Pick<ArchivePlace, "read">;
  /** The folder in which the archive is; undefined: it is in a bucket. */
  root: string | undefined;
  /** Of receive time. */
  range: TimeRange;
  folder: string;
  warn: (text: string) => void;
}

/** Those that may have something of the range. Throws `StorageError`. */
export async function archiveFiles(options: ArchiveFilesOptions): Promise<string[]> {
  const { manifest, root, range: { sinceUs, untilUs }, folder } = options;
  const paths: string[] = [];
  for (const file of manifest.files) {
    if (file.maxRecvUs < sinceUs || file.minRecvUs >= untilUs) continue;
    if (!await isWhole(file, options)) continue;
    if (root !== undefined) paths.push(join(root, file.path));
    else {
      const path = join(folder, `archive-${paths.length}.parquet`);
      await fetchFile(options.place, file, path);
      paths.push(path);
    }
  }
  return paths;
}

/** As far as its footer says. */
async function isWhole(file: ArchiveFile, { place, warn }: ArchiveFilesOptions): Promise<boolean> {
  try {
    const read = (offset: number, length: number) => place.read(file.path, offset, length);
    const { footer } = await openArchiveFile(read, file.bytes);
    if (footer.rows === file.rows) return true;
    warn(`Cannot read ${file.path}: it must have ${file.rows} rows: it has ${footer.rows}`);
  } catch (error) {
    if (error instanceof StorageError) throw error;
    warn(`Cannot read ${file.path}: ${(error as Error).message}`);
  }
  return false;
}

async function fetchFile(
  place: Pick<ArchivePlace, "read">,
  { path, bytes }: ArchiveFile,
  to: string,
): Promise<void> {
  const fd = openSync(to, "w");
  try {
    for (let at = 0; at < bytes;) {
      const part = await place.read(path, at, Math.min(limits.sqlFetchBytes, bytes - at));
      if (part.length === 0) throw new StorageError(`Cannot read ${path}: it ends at ${at}`);
      writeAll(fd, part);
      at += part.length;
    }
  } finally {
    closeSync(fd);
  }
}
