/** What reading, writing and deleting in a storage folder share: its epochs, its files, its errors. */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import {
  type Committed,
  type EpochName,
  parseCommitted,
  segmentPath,
  StorageError,
} from "./storage.ts";

/** All epochs that are there, oldest first; other folders beside them, too. */
export function listEpochs(root: string): EpochName[] {
  const segments = join(root, "segments");
  const names = listFolder(segments).flatMap((receiver) =>
    listFolder(join(segments, receiver)).map((epoch) => ({ receiver, epoch }))
  );
  const key = (n: EpochName) => `${n.epoch} ${n.receiver}`;
  return names.sort((a, b) => key(a) < key(b) ? -1 : 1);
}

export function epochFolder(root: string, name: EpochName): string {
  return join(root, "segments", name.receiver, name.epoch);
}

/** The numbers of the segments from `from` on, in order. */
export function listSegments(folder: string, from = 0): number[] {
  return listFolder(folder)
    .filter((file) => /^\d{8,}\.zst$/.test(file) && parseInt(file) >= from)
    .map((file) => parseInt(file))
    .sort((a, b) => a - b);
}

export function segmentFile(root: string, at: EpochName & { segment: number }): string {
  return join(root, segmentPath(at));
}

/** The last line of the file `committed`; undefined if it is torn or not there. */
export function readCommitted(folder: string): Committed | undefined {
  try {
    const text = readFileSync(join(folder, "committed"), "utf8");
    return parseCommitted(text.slice(text.lastIndexOf("\n", text.length - 2) + 1));
  } catch {
    return undefined;
  }
}

/** What isn't there has no size and has never changed. */
export function statOf(path: string): { size: number; changedMs: number } {
  try {
    const { size, mtimeMs } = statSync(path);
    return { size, changedMs: mtimeMs };
  } catch {
    return { size: 0, changedMs: 0 };
  }
}

/** What is in a folder; nothing, if there is none. */
export function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw error;
  }
}

/**
 * Makes a folder below `root` so that it survives a power cut: each folder's entry is in the one above
 * it. Those that were there already are synced as well: whoever made them may have died before.
 */
export function makeFolder(root: string, folder: string): void {
  const made = mkdirSync(folder, { recursive: true });
  const top = made !== undefined && made.length <= root.length ? dirname(made) : root;
  for (let dir = folder; dir.length > top.length; dir = dirname(dir)) syncFolder(dir);
  syncFolder(top);
}

export function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export function storageError(what: string, cause: unknown): StorageError {
  return new StorageError(`Cannot ${what}: ${(cause as Error).message}`, { cause });
}
