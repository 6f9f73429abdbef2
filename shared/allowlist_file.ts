/** The place of a text in a file: the path goes in, whole texts come out and are put in its place. */
import { type BigIntStats, renameSync, statSync } from "node:fs";
import { mkdir, open, readdir, realpath, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import type { Listed, ListPlace } from "./allowlist_place.ts";
import { limits } from "./limits.ts";

const missing = "missing";
const temporaryEnd = ".tmp";
/** So that two edits in this process don't meet in one temporary file. */
let edits = 0;

export class FilePlace implements ListPlace {
  constructor(readonly name: string) {}

  /**
   * A file is taken for the same while its mtime, size and inode are. Rejects also if somebody wrote
   * into it while it was being read; one that was put in its place meanwhile does no harm.
   */
  async read(knownStamp?: string): Promise<Listed | undefined> {
    const seen = stampOf(this.name);
    if (seen === knownStamp) return undefined;
    if (seen === missing) return { text: "", stamp: missing };
    const file = await open(this.name);
    try {
      const stat = await file.stat({ bigint: true });
      if (stat.size > limits.listBytesMax) {
        throw new Error(`${stat.size} bytes, more than ${limits.listBytesMax}`);
      }
      const stamp = formatStamp(stat);
      const text = await file.readFile("utf8");
      if (formatStamp(await file.stat({ bigint: true })) === stamp) return { text, stamp };
      throw new Error("a file that is being written");
    } finally {
      await file.close();
    }
  }

  /**
   * Writes a new file and renames it, so that no reader ever sees half of it. Between the last look
   * at the stamp and the rename another process's edit can still get lost: that is microseconds,
   * and operators are few.
   */
  async replace(text: string, stamp: string): Promise<boolean> {
    await mkdir(dirname(this.name), { recursive: true });
    const target = stampOf(this.name) === missing ? this.name : await targetOf(this.name);
    if (target === undefined) return false;
    const temporary = `${target}.${process.pid}-${++edits}${temporaryEnd}`;
    try {
      await writeDurably(temporary, text, target);
      // No await between these two: in this process nobody comes in between.
      if (stampOf(this.name) !== stamp) return false;
      renameSync(temporary, target);
    } finally {
      await rm(temporary, { force: true });
    }
    const directory = await open(dirname(target), "r");
    await directory.sync().finally(() => directory.close());
    return true;
  }
}

/** The names of whole files in a folder, none if there is no such folder. */
export async function fileNames(folder: string, max: number): Promise<string[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => !name.endsWith(temporaryEnd)).sort().slice(0, max);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Undefined where the file was replaced while it was looked for, which one runtime calls missing. */
async function targetOf(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Changes when the file does. */
function stampOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? missing : formatStamp(stat);
}

function formatStamp({ mtimeNs, ino, size }: BigIntStats): string {
  return `${mtimeNs} ${ino} ${size}`;
}

async function writeDurably(path: string, text: string, target: string): Promise<void> {
  await rm(path, { force: true }); // of a killed run that had our process id
  const file = await open(path, "wx", 0o644);
  try {
    await file.writeFile(text);
    await keepOwner(file, target);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Else root's edit would close the file to the receiver, which would go on with the old list. */
async function keepOwner(file: FileHandle, target: string): Promise<void> {
  const stat = statSync(target, { throwIfNoEntry: false });
  if (stat === undefined) return;
  await file.chmod(stat.mode & 0o777);
  await file.chown(stat.uid, stat.gid);
}
