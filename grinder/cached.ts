/**
 * Values by key: loaded from the state when first asked for, noted when they change, and let go after
 * they were saved, so that memory has a limit however many keys there are.
 */
export class Cached<T> {
  /** How often some were let go: until then the value of a key stays the same object. */
  dropped = 0;
  readonly #values = new Map<string, T>();
  readonly #changed = new Set<string>();
  /** What was asked for last: mostly that is what is asked for next. */
  #lastKey: string | undefined;
  #last: T | undefined;

  constructor(
    private readonly load: (key: string) => T | undefined,
    private readonly keptMax: number,
  ) {}

  get(key: string): T | undefined {
    if (key === this.#lastKey) return this.#last;
    let value = this.#values.get(key);
    if (value === undefined) {
      value = this.load(key);
      if (value === undefined) return undefined;
      this.#values.set(key, value);
    }
    this.#lastKey = key;
    return this.#last = value;
  }

  /** Keeps a value that is to be saved: a new one, or one that was changed in its place. */
  set(key: string, value: T): void {
    if (key !== this.#lastKey || value !== this.#last) this.#values.set(key, value);
    this.#changed.add(key);
    this.#lastKey = key;
    this.#last = value;
  }

  /** What is to be saved. */
  *changed(): Generator<[key: string, value: T]> {
    for (const key of this.#changed) yield [key, this.#values.get(key)!];
  }

  /** All that changed is saved: the oldest beyond the limit may go. */
  saved(): void {
    this.#changed.clear();
    this.#lastKey = undefined;
    this.#last = undefined;
    if (this.#values.size > this.keptMax) this.dropped++;
    for (const key of this.#values.keys()) {
      if (this.#values.size <= this.keptMax) return;
      this.#values.delete(key);
    }
  }
}
