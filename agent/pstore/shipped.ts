/**
 * Which dumps have been shipped, kept across restarts, since some can't be deleted: a text file, a line
 * `HASH SIZE MTIME_MS PATH` for each, the newest last. In the same form, `HASH 0 0 boot:BOOT`, stands that
 * all has been said that can be said of a boot's end.
 */
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { limits } from "../../shared/limits.ts";

export interface DumpFile {
  path: string;
  size: number;
  mtimeMs: number;
}

export interface KnownDump extends DumpFile {
  /** Of the file's content. */
  hash: string;
}

export class Shipped {
  /** Hash by `SIZE MTIME_MS PATH`: a file that is known so needn't be read. */
  readonly #hashes = new Map<string, string>();

  constructor(readonly path: string, private readonly report: (text: string) => void) {
    let text = "";
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT") report(`Cannot read ${path}: ${message}. Dumps may be sent twice.`);
    }
    for (const line of text.split("\n").slice(0, -1)) {
      const [, hash, file] = /^([0-9a-f]{24}) (\d+ \d+ .+)$/.exec(line) ?? [];
      if (hash) this.#hashes.set(file!, hash);
    }
  }

  hasFile(file: DumpFile): boolean {
    return this.#hashes.has(fileKey(file));
  }

  /** Also of a file that was moved. */
  hasContent(hash: string): boolean {
    return this.#hashes.values().some((known) => known === hash);
  }

  /** Remembers dumps; when it returns that is on disk, or it was said that it can't be. */
  add(files: KnownDump[]): void {
    for (const file of files) this.#renew(fileKey(file), file.hash);
    const lines = [...this.#hashes].slice(-limits.pstoreRememberedMax);
    try {
      const fd = openSync(`${this.path}.tmp`, "w", 0o600);
      try {
        writeSync(fd, lines.map(([file, hash]) => `${hash} ${file}\n`).join(""));
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(`${this.path}.tmp`, this.path);
    } catch (error) {
      const why = (error as Error).message;
      this.report(`Cannot save ${this.path}: ${why}. Dumps may be sent twice.`);
    }
  }

  /** Those that are still there are the last to be forgotten. */
  keep(files: DumpFile[]): void {
    for (const file of files) {
      const hash = this.#hashes.get(fileKey(file));
      if (hash) this.#renew(fileKey(file), hash);
    }
  }

  #renew(key: string, hash: string): void {
    this.#hashes.delete(key);
    this.#hashes.set(key, hash);
  }
}

/** What stands for the end of a boot, as if it were a dump. */
export function endOfBoot(boot: string): KnownDump {
  const hash = createHash("sha256").update(boot).digest("hex").slice(0, 24);
  return { path: `boot:${boot}`, size: 0, mtimeMs: 0, hash };
}

function fileKey({ size, mtimeMs, path }: DumpFile): string {
  return `${size} ${Math.floor(mtimeMs)} ${path}`;
}
