/** Archives in a local folder: files are synced, then renamed to what they are called. */
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { copyFileSync, readdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { makeFolder, storageError, syncFolder } from "../../shared/storage/folder_files.ts";
import type { ArchivePlace, StoredFile } from "./place.ts";

export class FolderPlace implements ArchivePlace {
  readonly root: string;
  #halves = 0;

  constructor(root: string) {
    this.root = resolve(root);
  }

  put(path: string, localFile: string): Promise<void> {
    return this.#try(`write ${path}`, () => {
      const [target, half] = this.#make(path);
      try {
        renameSync(localFile, half);
      } catch (error) {
        // The scratch folder is on another disk.
        if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
        copyFileSync(localFile, half);
      }
      syncFile(half);
      renameSync(half, target);
      syncFolder(dirname(target));
    });
  }

  putNew(path: string, text: string): Promise<boolean> {
    return this.#try(`write ${path}`, () => {
      const [target, half] = this.#make(path);
      writeFileSync(half, text);
      syncFile(half);
      try {
        // A rename would go over what is there; a link doesn't.
        linkSync(half, target);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
        throw error;
      } finally {
        unlinkSync(half);
      }
      syncFolder(dirname(target));
      return true;
    });
  }

  async read(path: string, offset: number, length: number): Promise<Uint8Array> {
    try {
      const file = await open(join(this.root, path), "r");
      try {
        const bytes = new Uint8Array(length);
        let got = 0;
        while (got < length) {
          const { bytesRead } = await file.read(bytes, got, length - got, offset + got);
          if (bytesRead === 0) break;
          got += bytesRead;
        }
        return bytes.subarray(0, got);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (isMissing(error)) return new Uint8Array();
      throw storageError(`read ${path}`, error);
    }
  }

  list(folder: string): Promise<StoredFile[]> {
    return this.#try(`list ${folder}`, () => {
      const paths = [...walk(this.root, folder)].sort();
      return paths.flatMap((path) => {
        const bytes = sizeOf(join(this.root, path));
        return bytes === undefined ? [] : [{ path, bytes }];
      });
    });
  }

  remove(path: string): Promise<void> {
    return this.#try(`delete ${path}`, () => {
      try {
        unlinkSync(join(this.root, path));
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    });
  }

  /** Its folder, and a name beside it that no reader takes for a file of the archive. */
  #make(path: string): [target: string, half: string] {
    const target = join(this.root, path);
    makeFolder(this.root, dirname(target));
    return [target, `${target}.${process.pid}-${this.#halves++}.tmp`];
  }

  // Rejects with `StorageError`, as the seam for segments does.
  #try<T>(what: string, action: () => T): Promise<T> {
    try {
      return Promise.resolve(action());
    } catch (error) {
      return Promise.reject(storageError(what, error));
    }
  }
}

function* walk(root: string, folder: string): Generator<string> {
  for (const entry of entriesOf(join(root, folder))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* walk(root, path);
    else yield path;
  }
}

function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function sizeOf(path: string): number | undefined {
  try {
    return statSync(path).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function syncFile(path: string): void {
  const fd = openSync(path, "r+");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
}
