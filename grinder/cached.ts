/**
 * Values by key: loaded from the state when first asked for, noted when they change, and let go after
 * they were saved, so that memory has a limit however many keys there are.
 */
export class Cached<T> {
  readonly #values = new Map<string, T>();
  readonly #changed = new Set<string>();

  constructor(
    private readonly load: (key: string) => T | undefined,
    private readonly keptMax: number,
  ) {}

  get(key: string): T | undefined {
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    const loaded = this.load(key);
    if (loaded !== undefined) this.#values.set(key, loaded);
    return loaded;
  }

  /** Keeps a value that is to be saved: a new one, or one that was changed in its place. */
  set(key: string, value: T): void {
    this.#values.set(key, value);
    this.#changed.add(key);
  }

  /** What is to be saved. */
  *changed(): Generator<[key: string, value: T]> {
    for (const key of this.#changed) yield [key, this.#values.get(key)!];
  }

  /** All that changed is saved: the oldest beyond the limit may go. */
  saved(): void {
    this.#changed.clear();
    for (const key of this.#values.keys()) {
      if (this.#values.size <= this.keptMax) return;
      this.#values.delete(key);
    }
  }
}
