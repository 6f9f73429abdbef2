/**
 * One archiver at a time, on one machine: a file in, a lock on it out, which the system takes away when
 * the process ends, however it ends. It saves the work of the second one; that nothing is archived twice
 * is up to the manifest, on all machines (manifest_store.ts).
 *
 * SQLite's own lock of a database in which nothing is ever written: no runtime here has another kind.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ArchiveError } from "./place.ts";

export class ArchiverLock implements Disposable {
  readonly #file: DatabaseSync;

  /** Throws `ArchiveError` if another has it. */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true });
    this.#file = new DatabaseSync(path);
    try {
      this.#file.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    } catch (error) {
      this.#file.close();
      throw new ArchiveError(
        `Cannot archive because one archiver must run at a time: ${path} is another's ` +
          `(${(error as Error).message})`,
      );
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}
