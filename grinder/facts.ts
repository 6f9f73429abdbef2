/**
 * What parts of the grinder remember from run to run: a text for each key, saved with the batch.
 *
 *     CREATE TABLE facts(kind TEXT, key TEXT, value TEXT, saved_us INTEGER, PRIMARY KEY(kind, key))
 */
import type { StateFile } from "./state_file.ts";

/** A part that remembers. After a kill it is made anew, from what was saved with the last batch. */
export interface Kept {
  /** Under which name its texts are saved. */
  readonly kind: string;
  /** What is to be saved; undefined: to be forgotten. */
  changed(): Iterable<[key: string, value: string | undefined]>;
  /** All that changed is saved. */
  saved(): void;
}

export interface FactStore {
  load(kind: string, key: string): string | undefined;
  /** In the order of their keys. */
  all(kind: string): Iterable<[key: string, value: string]>;
}

/** `facts` of a state; all of it is called inside the batch's transaction. */
export class SqlFactStore implements FactStore {
  constructor(private readonly file: Pick<StateFile, "run" | "all">) {}

  load(kind: string, key: string): string | undefined {
    const [row] = this.file.all("SELECT value FROM facts WHERE kind = ? AND key = ?", kind, key);
    return row?.["value"] as string | undefined;
  }

  all(kind: string): Array<[key: string, value: string]> {
    return this.file.all("SELECT key, value FROM facts WHERE kind = ? ORDER BY key", kind)
      .map((row) => [row["key"] as string, row["value"] as string]);
  }

  /** `nowUs` is the newest receive time: what is forgotten by age is so by the data's clock. */
  save(kept: Kept, nowUs: number): void {
    for (const [key, value] of kept.changed()) {
      if (value === undefined) {
        this.file.run("DELETE FROM facts WHERE kind = ? AND key = ?", kept.kind, key);
      } else {
        const values = [kept.kind, key, value, nowUs];
        this.file.run("INSERT OR REPLACE INTO facts VALUES(?, ?, ?, ?)", ...values);
      }
    }
  }

  forgetBefore(kind: string, us: number): void {
    this.file.run("DELETE FROM facts WHERE kind = ? AND saved_us < ?", kind, us);
  }
}
