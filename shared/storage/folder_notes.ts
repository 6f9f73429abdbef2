/** Notes in a local folder: one file for each name, written beside it, synced and renamed. */
import { mkdirSync, readFileSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { join, resolve } from "node:path";
import { isName } from "../block.ts";
import type { Notes } from "./cursors.ts";
import { listFolder, storageError, syncFolder } from "./folder_files.ts";

export class FolderNotes implements Notes {
  readonly #folder: string;

  /** In `cursors/` of the storage's root. */
  constructor(root: string) {
    this.#folder = join(resolve(root), "cursors");
  }

  async put(name: string, text: string): Promise<void> {
    if (!isName(name)) throw new Error(`a note must have a name: it is ${name}`);
    // No name begins with `~`: what a killed process leaves is no note.
    const half = join(this.#folder, `~${name}`);
    try {
      mkdirSync(this.#folder, { recursive: true });
      const file = await open(half, "w");
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(half, join(this.#folder, name));
      syncFolder(this.#folder);
    } catch (error) {
      throw storageError(`write cursors/${name}`, error);
    }
  }

  all(): Promise<Map<string, string>> {
    try {
      const names = listFolder(this.#folder).filter(isName);
      const texts = names.flatMap((name): Array<[string, string]> => {
        const text = readIfThere(join(this.#folder, name));
        return text === undefined ? [] : [[name, text]];
      });
      return Promise.resolve(new Map(texts));
    } catch (error) {
      return Promise.reject(storageError("read cursors/", error));
    }
  }
}

/** Undefined if somebody has deleted it meanwhile. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
