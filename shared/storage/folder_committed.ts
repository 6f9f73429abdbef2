/**
 * Committed lengths in, the file `committed` out: lines `NNNNNNNN LENGTH[ end]`, of which the last one
 * counts. A commit appends a line. A file's length grows only when the bytes are there, so that readers
 * see a whole line or none, and it takes 20 us; renaming a new file over the old one took 250 us and up
 * to 4 ms, because ext4 writes such a file to the disk at once. Now and then that is done all the same,
 * to keep the file short.
 *
 * It is never synced. After a power cut it may be torn or say less than what is durable: its epoch is
 * dead then, and once it has been silent for `epochSilentMs` readers go by the segments' own sizes.
 */
import { appendFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../limits.ts";
import { type Committed, formatCommitted } from "./storage.ts";

export class CommittedFile {
  readonly #path: string;
  /** Begins anew at first, and after a failure, which may have left half a line. */
  #bytes = Infinity;

  constructor(folder: string) {
    this.#path = join(folder, "committed");
  }

  publish(committed: Committed): void {
    const line = formatCommitted(committed);
    const anew = committed.ended || this.#bytes + line.length > limits.committedBytesMax;
    const bytes = anew ? line.length : this.#bytes + line.length;
    this.#bytes = Infinity;
    if (anew) this.#beginAnew(line);
    else appendFileSync(this.#path, line);
    this.#bytes = bytes;
  }

  #beginAnew(line: string): void {
    writeFileSync(`${this.#path}.tmp`, line);
    renameSync(`${this.#path}.tmp`, this.#path);
  }
}
