/**
 * One small value kept across restarts: a JSON file that is written, synced and renamed, so that it is
 * the old one or the new one. One that can't be read counts as none.
 */
import { open, readFile, rename } from "node:fs/promises";

export interface DurableJsonOptions<T> {
  /** Makes the value of what was parsed; throws if it isn't one. */
  check: (value: unknown) => T;
  /** What follows from a file that can't be read, as a sentence. */
  unreadable: string;
  /** What follows from a file that can't be written, as a sentence. */
  unsaved: string;
  warn: (text: string) => void;
}

export class DurableJson<T> {
  #writing: Promise<void> = Promise.resolve();
  #next: { value: T } | undefined;
  #failing = false;

  constructor(readonly path: string, private readonly options: DurableJsonOptions<T>) {}

  /** The value, or undefined if there is none or it is torn. */
  async load(): Promise<T | undefined> {
    let text;
    try {
      text = await readFile(this.path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") this.#unreadable(error);
      return undefined;
    }
    try {
      return this.options.check(JSON.parse(text));
    } catch (error) {
      this.#unreadable(error);
      return undefined;
    }
  }

  /**
   * Saves a value; the newest wins if several come while one is being written. Resolves when this
   * one or a newer one is on disk, or when that has failed, which is warned of.
   */
  save(value: T): Promise<void> {
    if (this.#next === undefined) this.#writing = this.#writing.then(() => this.#write());
    this.#next = { value };
    return this.#writing;
  }

  async #write(): Promise<void> {
    const { value } = this.#next!;
    this.#next = undefined;
    try {
      const file = await open(`${this.path}.tmp`, "w", 0o600);
      try {
        await file.writeFile(`${JSON.stringify(value)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(`${this.path}.tmp`, this.path);
      if (this.#failing) this.options.warn(`${this.path} is saved again`);
      this.#failing = false;
    } catch (error) {
      const why = (error as Error).message;
      // Once: a word at each try could end up in the log that is shipped, and cause the next try.
      if (!this.#failing) {
        this.options.warn(`Cannot save ${this.path}: ${why}. ${this.options.unsaved}`);
      }
      this.#failing = true;
    }
  }

  #unreadable(error: unknown): void {
    const why = (error as Error).message;
    this.options.warn(`Cannot read ${this.path}: ${why}. ${this.options.unreadable}`);
  }
}
