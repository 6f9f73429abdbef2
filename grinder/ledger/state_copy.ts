/**
 * The grinder's state in, a copy of it out that stands still, whether a grinder runs or not. The grinder
 * holds its file for itself as far as SQLite is concerned, so it isn't opened: the file and its
 * write-ahead log are copied, and the copy counts only if the log was the same one before and after.
 *
 * Why that is enough. What SQLite writes into the file is in the log first, and stays there until the log
 * begins anew, which changes the salts in its header. So with the same salts on both sides, each page that
 * was written while the file was copied is in the log that was copied after it, and a log that ends in
 * half a transaction is what SQLite expects after a kill. The grinder isn't asked, slowed or stopped.
 *
 * Not to be called in the grinder's own process: closing a file there lets go of its locks.
 */
import { closeSync, constants, copyFileSync, mkdtempSync, openSync, readSync } from "node:fs";
import { rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { limits } from "../../shared/limits.ts";

const file = "grinder.sqlite";
const log = `${file}-wal`;
/** With both salts. */
const logHeaderBytes = 32;

/** The ledger can't be told, in words for the operator. */
export class LedgerError extends Error {
  override name = "LedgerError";
  readonly code = "ledger";
}

/** A folder of its own with the copy in it, until it is disposed of. */
export class StateCopy implements Disposable {
  private constructor(readonly folder: string) {}

  /** `between` is called between the two files. Throws `LedgerError`. */
  static of(out: string, between: () => void = () => {}): StateCopy {
    const folder = mkdtempSync(join(tmpdir(), "logmill-ledger-"));
    try {
      for (let tries = 0; tries < limits.ledgerCopiesMax; tries++) {
        if (copyOnce(out, folder, between)) return new StateCopy(folder);
      }
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
    rmSync(folder, { recursive: true, force: true });
    throw new LedgerError(
      `Cannot copy ${join(out, file)} because it must stand still for so long: in ` +
        `${limits.ledgerCopiesMax} tries the grinder was faster. Try again when it is less busy`,
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function copyOnce(out: string, folder: string, between: () => void): boolean {
  const before = markOf(out);
  if (before === undefined) {
    throw new LedgerError(
      `Cannot tell the ledger because ${
        join(out, file)
      } must be there: nothing has been ground into ` +
        `${out} yet. Where the grinder's outputs are is said by --out`,
    );
  }
  copy(join(out, file), join(folder, file));
  between();
  copy(join(out, log), join(folder, log));
  return markOf(out) === before;
}

/** Without a copy of its own where the file system can share what is the same. */
function copy(from: string, to: string): void {
  rmSync(to, { force: true });
  try {
    copyFileSync(from, to, constants.COPYFILE_FICLONE);
  } catch (error) {
    // A grinder that has stopped leaves no log.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** The same as long as what is copied holds together; undefined if there is no state. */
function markOf(out: string): string | undefined {
  const stat = statSync(join(out, file), { throwIfNoEntry: false });
  if (!stat) return undefined;
  const header = headerOf(join(out, log));
  // Without a log nothing may change at all.
  return header === "" ? `${stat.ino} ${stat.size} ${stat.mtimeMs}` : `${stat.ino} ${header}`;
}

function headerOf(path: string): string {
  if (!statSync(path, { throwIfNoEntry: false })) return "";
  const bytes = new Uint8Array(logHeaderBytes);
  const fd = openSync(path, "r");
  try {
    const length = readSync(fd, bytes, 0, logHeaderBytes, 0);
    return [...bytes.subarray(0, length)].join(".");
  } finally {
    closeSync(fd);
  }
}
