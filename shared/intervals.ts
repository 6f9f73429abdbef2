/**
 * A set of sequence numbers, kept as sorted closed intervals: numbers go in, and what was new comes
 * out. This is how a resent record is told from a new one, whatever order two receivers hold them
 * in.
 *
 * Text form, for state files: "0-99,101,105-200". Intervals ascend, neither overlap nor touch, and
 * one number is written alone, so equal sets have equal texts. The empty set is "".
 */
import assert from "node:assert/strict";

/** [first, last], both in the set. */
export type Interval = [first: number, last: number];

/** The text isn't a set's. */
export class IntervalError extends Error {
  override name = "IntervalError";
  readonly code = "bad_intervals";
}

/**
 * A set of integers from 0 to 2^53 - 1. It has no limit of its own: whoever adds numbers from
 * outside watches `size`, since each number with holes on both sides costs 16 bytes.
 */
export class IntervalSet {
  /** Interval i is #firsts[i]..#lasts[i]; #firsts[i + 1] > #lasts[i] + 1. */
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];
  #count = 0;

  /** Reads the text form. Throws IntervalError for anything that encode() doesn't write. */
  static decode(text: string): IntervalSet {
    const set = new IntervalSet();
    if (text === "") return set;
    for (const part of text.split(",")) {
      const [, first, last = first] = /^(0|[1-9]\d*)(?:-([1-9]\d*))?$/.exec(part) ?? [];
      set.#append(part, Number(first), Number(last));
    }
    return set;
  }

  encode(): string {
    return this.intervals().map(([first, last]) => first === last ? `${first}` : `${first}-${last}`)
      .join(",");
  }

  /** Numbers in the set. */
  get count(): number {
    return this.#count;
  }

  /** Intervals in the set: what it costs to keep. */
  get size(): number {
    return this.#firsts.length;
  }

  /** The highest number in the set. */
  get last(): number | undefined {
    return this.#lasts.at(-1);
  }

  has(n: number): boolean {
    return this.covers(n, n);
  }

  /** Whether all of first..last is in the set. */
  covers(first: number, last: number): boolean {
    assertInterval(first, last);
    const i = this.#indexEndingFrom(first);
    return i < this.size && this.#firsts[i]! <= first && last <= this.#lasts[i]!;
  }

  /** Whether any of first..last is in the set. */
  overlaps(first: number, last: number): boolean {
    assertInterval(first, last);
    const i = this.#indexEndingFrom(first);
    return i < this.size && this.#firsts[i]! <= last;
  }

  /** Adds first..last if none of it is in the set; false if some of it is. */
  addIfNew(first: number, last: number): boolean {
    assertInterval(first, last);
    const end = this.#lasts.length - 1;
    if (end >= 0 && this.#lasts[end] === first - 1) {
      // The usual case: it goes on where it ended.
      this.#lasts[end] = last;
      this.#count += last - first + 1;
      return true;
    }
    if (this.overlaps(first, last)) return false;
    this.add(first, last);
    return true;
  }

  /**
   * Adds first..last and returns the parts of it that weren't there, in order. O(1) at the end,
   * where most are added; elsewhere O(log size), and moving the intervals behind.
   */
  add(first: number, last: number): Interval[] {
    assertInterval(first, last);
    const from = this.#indexEndingFrom(first - 1); // the first interval that overlaps or touches
    let to = from;
    const added: Interval[] = [];
    let next = first;
    for (; to < this.size && this.#firsts[to]! <= last + 1; to++) {
      if (next < this.#firsts[to]!) added.push([next, this.#firsts[to]! - 1]);
      next = this.#lasts[to]! + 1;
    }
    if (next <= last) added.push([next, last]);
    this.#replace(from, to, first, last);
    for (const part of added) this.#count += part[1] - part[0] + 1;
    return added;
  }

  intervals(): Interval[] {
    return this.#firsts.map((first, i) => [first, this.#lasts[i]!]);
  }

  /** The holes: what lies between the lowest and the highest number and isn't in the set. */
  missing(): Interval[] {
    return this.#firsts.slice(1).map((first, i) => [this.#lasts[i]! + 1, first - 1]);
  }

  /** A new set of the numbers that are in this one and not in the other. O(both sizes). */
  subtract(other: IntervalSet): IntervalSet {
    const rest = new IntervalSet();
    let i = 0;
    for (const [first, last] of this.intervals()) {
      while (i < other.size && other.#lasts[i]! < first) i++;
      let next = first;
      // The last one may reach into our next interval: it is looked at again there.
      for (let k = i; k < other.size && other.#firsts[k]! <= last; k++) {
        if (next < other.#firsts[k]!) rest.add(next, other.#firsts[k]! - 1);
        next = other.#lasts[k]! + 1;
      }
      if (next <= last) rest.add(next, last);
    }
    return rest;
  }

  /** The index of the first interval that ends at or after n; `size` if there is none. */
  #indexEndingFrom(n: number): number {
    let [low, high] = [0, this.size];
    if (high > 0 && this.#lasts[high - 1]! < n) return high; // the usual case
    if (high > 0 && this.#firsts[high - 1]! <= n) return high - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#lasts[middle]! < n) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Puts one interval that contains first..last in the place of intervals from..to-1. */
  #replace(from: number, to: number, first: number, last: number): void {
    if (from === to) {
      this.#firsts.splice(from, 0, first);
      this.#lasts.splice(from, 0, last);
      return;
    }
    this.#firsts[from] = Math.min(first, this.#firsts[from]!);
    this.#lasts[from] = Math.max(last, this.#lasts[to - 1]!);
    if (to === from + 1) return;
    this.#firsts.splice(from + 1, to - from - 1);
    this.#lasts.splice(from + 1, to - from - 1);
  }

  /** One part of a text form, which must lie beyond what was read before and not touch it. */
  #append(part: string, first: number, last: number): void {
    const end = this.#lasts.at(-1) ?? -2;
    const isOne = first === last && !part.includes("-");
    if (!Number.isSafeInteger(last) || !(isOne || first < last) || first <= end + 1) {
      throw new IntervalError(
        "Cannot read intervals because they must ascend with holes between, like 0-99,101: " +
          `current value is ${JSON.stringify(part.slice(0, 64))} after ${Math.max(0, end)}`,
      );
    }
    this.#firsts.push(first);
    this.#lasts.push(last);
    this.#count += last - first + 1;
  }
}

function assertInterval(first: number, last: number): void {
  if (Number.isSafeInteger(first) && Number.isSafeInteger(last) && 0 <= first && first <= last) {
    return;
  }
  assert.fail(`an interval of integers from 0, first <= last, not ${first}-${last}`);
}
