/** For tests: facts as the state keeps them, without a file. */
import type { FactStore, Kept } from "./facts.ts";

export class MemoryFacts implements FactStore {
  readonly #facts = new Map<string, Map<string, string>>();

  load(kind: string, key: string): string | undefined {
    return this.#facts.get(kind)?.get(key);
  }

  all(kind: string): Array<[key: string, value: string]> {
    return [...this.#facts.get(kind) ?? []].sort(([a], [b]) => a < b ? -1 : 1);
  }

  /** As in a batch's transaction, which is committed. */
  save(...all: readonly Kept[]): void {
    for (const kept of all) {
      const facts = this.#facts.get(kept.kind) ?? new Map<string, string>();
      this.#facts.set(kept.kind, facts);
      for (const [key, value] of kept.changed()) {
        if (value === undefined) facts.delete(key);
        else facts.set(key, value);
      }
      kept.saved();
    }
  }
}
