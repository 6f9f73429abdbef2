/**
 * How far a source has been acknowledged, kept across restarts: one small JSON file for each source.
 *
 *     {"boot":"...","stream":"...","seq":123,"hash":"..."}
 *
 * `hash` is over (prio, usec, text) of the record `seq`, without the seq: a ring that survives a
 * reboot may number its records anew. The file is written, synced and renamed, so that it is the old
 * one or the new one. One that can't be read counts as none: records are sent again, and recognised.
 */
import { createHash } from "node:crypto";
import { open, readFile, rename } from "node:fs/promises";
import type { LogRecord } from "../shared/record.ts";

export interface Position {
  boot: string;
  stream: string;
  /** The last ordinary record that is acknowledged. */
  seq: number;
  hash: string;
}

export function recordHash(record: Pick<LogRecord, "prio" | "usec" | "text">): string {
  const { prio, usec, text } = record;
  return createHash("sha256").update(`${prio},${usec},${text}`).digest("base64url").slice(0, 22);
}

export class Checkpoint {
  #writing: Promise<void> = Promise.resolve();
  #next: Position | undefined;
  #failing = false;

  constructor(readonly path: string, private readonly warn: (text: string) => void = () => {}) {}

  /** The position, or undefined if there is none or it is torn. */
  async load(): Promise<Position | undefined> {
    let text;
    try {
      text = await readFile(this.path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") this.#unreadable(error);
      return undefined;
    }
    try {
      const position = JSON.parse(text) as Position;
      const { boot, stream, seq, hash } = position;
      const strings = [boot, stream, hash].every((value) => typeof value === "string");
      if (!strings || !Number.isSafeInteger(seq) || seq < 0) throw new Error("it isn't a position");
      return { boot, stream, seq, hash };
    } catch (error) {
      this.#unreadable(error);
      return undefined;
    }
  }

  /**
   * Saves a position; the newest wins if several come while one is being written. Resolves when this
   * one or a newer one is on disk. A disk that can't take it costs a repetition, never a record.
   */
  save(position: Position): Promise<void> {
    if (this.#next === undefined) this.#writing = this.#writing.then(() => this.#write());
    this.#next = position;
    return this.#writing;
  }

  async #write(): Promise<void> {
    const position = this.#next!;
    this.#next = undefined;
    try {
      const file = await open(`${this.path}.tmp`, "w", 0o600);
      try {
        await file.writeFile(`${JSON.stringify(position)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(`${this.path}.tmp`, this.path);
      if (this.#failing) this.warn(`${this.path} is saved again`);
      this.#failing = false;
    } catch (error) {
      const why = (error as Error).message;
      // Once: a word at each try could end up in the log that is shipped, and cause the next try.
      if (!this.#failing) this.warn(`Cannot save ${this.path}: ${why}. Records may be sent twice.`);
      this.#failing = true;
    }
  }

  #unreadable(error: unknown): void {
    const why = (error as Error).message;
    this.warn(`Cannot read ${this.path}: ${why}. All that the source still has is sent again.`);
  }
}
