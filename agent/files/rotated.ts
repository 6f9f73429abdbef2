/**
 * The names that a followed path's older contents get: `app.log.1`, `app.log-20260131`,
 * `app-20260131.log`, as logrotate and most programs have it. Where did a file go, and what came
 * between it and today's?
 */
import { closeSync, constants, fstatSync, openSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import type { FilePosition } from "./file_checkpoint.ts";
import { holds, surelyHolds } from "./print.ts";

/** An open file; who is given it closes it. */
export interface OpenFile {
  path: string;
  fd: number;
  inode: string;
}

/** What is behind a name when it is no longer the followed path itself. */
const suffix = /^[.-](\d+(?:[.T_-]\d+)*)$/;
const packed = /\.(?:gz|xz|bz2|zst|lz4|Z|zip)$/;
const dated = /-\d{6,}[^/]*$/;

/** True for names of older contents: a glob that matches them doesn't mean them. */
export function looksRotated(path: string): boolean {
  return packed.test(path) || dated.test(path) || /\.(?:\d+|old|bak|tmp|swp)$|~$/.test(path);
}

/** Opens a file to read; undefined if it isn't there, or isn't a plain file. Throws if it may not. */
export function openFile(path: string): OpenFile | undefined {
  let fd;
  try {
    // A named pipe would wait for its writer here.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  const stat = fstatSync(fd, { bigint: true });
  if (stat.isFile()) return { path, fd, inode: String(stat.ino) };
  closeSync(fd);
  return undefined;
}

/**
 * The file that a position is about, under whatever name it has now: the file itself, or the copy
 * that copytruncate made of it. Its own name is believed by the inode number only.
 */
export function locate(position: FilePosition): OpenFile | undefined {
  const { path, inode } = position;
  const older = rotatedPaths(path);
  const isIt = (file: OpenFile) => file.inode === inode && holds(file.fd, position);
  const isCopy = (file: OpenFile) => surelyHolds(file.fd, position);
  return findFile([path, ...older], isIt) ?? findFile(older.toReversed(), isCopy);
}

/** The paths that hold what came after a position's file and before its path, oldest first. */
export function pathsSince(position: FilePosition): string[] {
  const older = rotatedPaths(position.path);
  const isIt = (file: OpenFile) => file.inode === position.inode && surelyHolds(file.fd, position);
  const last = findFile(older, isIt);
  if (last) {
    closeSync(last.fd);
    return older.slice(older.indexOf(last.path) + 1);
  }
  // It is gone, or truncated, perhaps with its inode number in use again: only time tells.
  return older.filter((path) =>
    (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > position.mtimeMs
  );
}

/** A path's older contents that can be read as they are, oldest first. */
function rotatedPaths(path: string): string[] {
  const extension = extname(path);
  const base = basename(path);
  const stem = basename(path, extension);
  const found: Array<{ name: string; age: string }> = [];
  for (const name of namesIn(dirname(path))) {
    const age = name.startsWith(base)
      ? suffix.exec(name.slice(base.length))
      : extension !== "" && name.startsWith(stem) && name.endsWith(extension)
      ? suffix.exec(name.slice(stem.length, -extension.length))
      : null;
    if (age) found.push({ name, age: age[1]! });
  }
  return found.sort((a, b) => olderFirst(a.age, b.age)).map(({ name }) =>
    join(dirname(path), name)
  );
}

/** `.2` is older than `.1`; but 20260131 is younger than 20260130. */
function olderFirst(a: string, b: string): number {
  const [aCounts, bCounts] = [a.length < 6, b.length < 6];
  if (aCounts && bCounts) return Number(b) - Number(a);
  if (aCounts !== bCounts) return aCounts ? 1 : -1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The first that fits, open; all others are closed again. */
function findFile(paths: string[], fits: (file: OpenFile) => boolean): OpenFile | undefined {
  for (const path of paths) {
    const file = tryOpen(path);
    if (!file) continue;
    if (fits(file)) return file;
    closeSync(file.fd);
  }
  return undefined;
}

/** One that may not be read isn't ours. */
function tryOpen(path: string): OpenFile | undefined {
  try {
    return openFile(path);
  } catch {
    return undefined;
  }
}
