/**
 * A manifest: which archive files hold what, and which segments they stand in for. A version is one file,
 * `archive/manifests/NNNNNNNN.json`, which never changes; the one with the highest number holds. Readers
 * take one for a whole run, and what it names stays for an hour at least after a later one drops it.
 *
 * | key | what |
 * |-----|------|
 * | version, writtenMs, run | its number, when, and who wrote it |
 * | partitions | the number of partitions; it never changes |
 * | files | the archive: `ArchiveFile` each, by path |
 * | seen | for each partition the file with the seqs that are archived (seen_file.ts) |
 * | swaps | when what was archived: at `ms` all segments before these cursors; the last one holds |
 * | damaged | segments with something in them that is no row's: they stay where they are |
 * | dropped | files that are in no later version, and since when |
 */
import { limits } from "../../shared/limits.ts";
import type { Cursor, Cursors } from "../../shared/storage/storage.ts";
import { ArchiveError } from "./place.ts";
import type { RowSum } from "./row_hash.ts";

export interface ArchiveFile extends RowSum {
  path: string;
  bytes: number;
  /** Of the records in it. */
  textBytes: number;
  /** The hour or the day of receiving that it is of: `2026-11-22T10`, `2026-11-22`. */
  slot: string;
  partition: number;
  minTimeUs: number;
  maxTimeUs: number;
  minRecvUs: number;
  maxRecvUs: number;
  /** The first and the last device. */
  firstDevice: string;
  lastDevice: string;
}

export interface Swap {
  ms: number;
  cursors: Record<string, Cursor>;
}

export interface Manifest {
  format: 1;
  version: number;
  writtenMs: number;
  run: string;
  partitions: number;
  files: ArchiveFile[];
  seen: Record<string, string>;
  swaps: Swap[];
  damaged: string[];
  dropped: Array<{ path: string; ms: number }>;
}

/** Before the first. */
export function noManifest(partitions: number): Manifest {
  return {
    format: 1,
    version: 0,
    writtenMs: 0,
    run: "-",
    partitions,
    files: [],
    seen: {},
    swaps: [],
    damaged: [],
    dropped: [],
  };
}

/** Where hot segments begin: all before is in the archive. To be given to `Storage.list`. */
export function hotFrom(manifest: Manifest): Cursors {
  return new Map(Object.entries(manifest.swaps.at(-1)?.cursors ?? {}));
}

export function manifestPath(version: number): string {
  return `archive/manifests/${String(version).padStart(8, "0")}.json`;
}

/** The version that a path is of; undefined if it is something else. */
export function versionOf(path: string): number | undefined {
  const match = /^archive\/manifests\/(\d{8})\.json$/.exec(path);
  return match ? Number(match[1]) : undefined;
}

/** One line for each file, so that people can read and compare them. */
export function formatManifest(manifest: Manifest): string {
  const { files, ...rest } = manifest;
  const lines = files.map((file) => `  ${JSON.stringify(file)}`).join(",\n");
  return `${JSON.stringify(rest).slice(0, -1)},"files":[\n${lines}\n]}\n`;
}

/** Throws `ArchiveError`. */
export function parseManifest(text: string, path: string): Manifest {
  try {
    const manifest = JSON.parse(text) as Manifest;
    const { format, version, files, swaps } = manifest;
    if (format !== 1) throw new Error(`its format must be 1: it is ${format}`);
    if (version !== versionOf(path)) throw new Error(`its version is ${version}`);
    if (!Array.isArray(files) || !Array.isArray(swaps)) throw new Error("it has no files");
    return manifest;
  } catch (error) {
    throw new ArchiveError(`Cannot read ${path}: ${(error as Error).message}`);
  }
}

/** What is other in the next version. */
export interface Change {
  startMs: number;
  nowMs: number;
  run: string;
  files: ArchiveFile[];
  seen?: Record<string, string>;
  damaged?: string[];
  drop: string[];
  swap?: Manifest["swaps"][number]["cursors"];
}

/** The version behind a manifest. Throws `ArchiveError` if the run took too long. */
export function nextManifest(manifest: Manifest, change: Change): Manifest {
  const { nowMs, swap } = change;
  if (nowMs - change.startMs > limits.archiveRunMsMax) {
    const minutes = Math.round((nowMs - change.startMs) / 60_000);
    throw new ArchiveError(
      `Cannot publish what this run wrote because it must be done in ` +
        `${
          limits.archiveRunMsMax / 60_000
        } minutes: it took ${minutes}. Let it take fewer segments`,
    );
  }
  const oldMs = nowMs - limits.archiveGraceMs;
  const swaps = swap ? [...manifest.swaps, { ms: nowMs, cursors: swap }] : manifest.swaps;
  return {
    ...manifest,
    version: manifest.version + 1,
    writtenMs: nowMs,
    run: change.run,
    files: change.files.sort((a, b) => a.path < b.path ? -1 : 1),
    seen: change.seen ?? manifest.seen,
    damaged: change.damaged ?? manifest.damaged,
    swaps: keptSwaps(swaps, nowMs),
    dropped: [
      ...manifest.dropped.filter(({ ms }) => ms > oldMs),
      ...change.drop.map((path) => ({ path, ms: nowMs })),
    ],
  };
}

/** The newest that is old enough says what may be deleted: after an hour, or as long as it is kept hot. */
function keptSwaps(swaps: readonly Swap[], nowMs: number): Swap[] {
  const slot = ({ ms }: Swap) => Math.floor(ms / limits.archiveSwapMs);
  return swaps.filter((swap, i) => {
    const next = swaps[i + 1];
    if (!next || next.ms > nowMs - limits.archiveGraceMs) return true;
    const isNeeded = next.ms > nowMs - limits.archiveKeepHotMsMax;
    return isNeeded && slot(swap) !== slot(next);
  });
}
