/**
 * Values go in, quantiles within 1 % come out; two sketches merge into the sketch of all their
 * values. It is DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch
 * with relative-error guarantees", VLDB 2019), with one row of buckets for all signs.
 *
 * Invariants: count, min and max are exact, sum is as exact as adding doubles is; a bucket's key
 * orders as its values do; merge(a, b) has the buckets of adding all to one, in any order.
 *
 *   key k  values
 *   > 0    gamma^(i-1) < value <= gamma^i, where i = k - 65536
 *   0      zero, and what is nearer to it than the smallest normal double
 *   < 0    the mirror image of -k
 *
 * JSON, version 1:
 * {"v":1,"error":0.01,"count":N,"sum":S,"min":A,"max":B,"buckets":[key,n,key,n,...]}, keys
 * ascending; an empty sketch has no min and max.
 */
import assert from "node:assert/strict";

/** A quantile is off by at most this much of its true value, unless buckets were collapsed. */
export const relativeError = 0.01;

const gamma = (1 + relativeError) / (1 - relativeError);
const logGamma = Math.log(gamma);
/**
 * Logarithms of all doubles are within +-38,000 by gamma: this keeps keys on their side of zero.
 */
const keyOffset = 65_536;
const smallestNormal = 2 ** -1022;

/**
 * Most buckets of one sketch: values over 17 decades, a nanosecond to ten years, keep their 1 %.
 * Beyond it the lowest are collapsed into one, since it is p90 and p99 that people ask for.
 */
const defaultBucketsMax = 2_048;

export interface SketchJson {
  v: 1;
  error: number;
  count: number;
  sum: number;
  min?: number;
  max?: number;
  buckets: number[];
}

/** The JSON isn't a sketch of this version and relative error. */
export class SketchError extends Error {
  override name = "SketchError";
  readonly code = "bad_sketch";
}

export class Sketch {
  readonly #bucketsMax: number;
  readonly #buckets = new Map<number, number>();
  /** All below it lies in its bucket: the lowest one, once some were collapsed. */
  #lowestKey = -Infinity;
  #count = 0;
  #sum = 0;
  #min = Infinity;
  #max = -Infinity;

  constructor({ bucketsMax = defaultBucketsMax }: { bucketsMax?: number } = {}) {
    assert(bucketsMax >= 1, "a sketch has at least one bucket");
    this.#bucketsMax = bucketsMax;
  }

  /** Reads toJSON()'s form. Throws SketchError for another. */
  static fromJSON(json: SketchJson, options?: { bucketsMax?: number }): Sketch {
    const sketch = new Sketch(options);
    assertJson(json);
    for (let i = 0; i < json.buckets.length; i += 2) {
      sketch.#addToBucket(json.buckets[i]!, json.buckets[i + 1]!);
    }
    sketch.#addTotals(json.count, json.sum, json.min ?? Infinity, json.max ?? -Infinity);
    return sketch;
  }

  get count(): number {
    return this.#count;
  }

  /** Kept at the largest double where it would be infinite, which JSON can't say. */
  get sum(): number {
    return this.#sum;
  }

  /** NaN for an empty sketch, as are max and every quantile. */
  get min(): number {
    return this.#count === 0 ? NaN : this.#min;
  }

  get max(): number {
    return this.#count === 0 ? NaN : this.#max;
  }

  /** Buckets in use: what it costs to keep. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Adds a finite value. Returns false for NaN and infinities, which aren't counted. */
  add(value: number): boolean {
    if (!Number.isFinite(value)) return false;
    this.#addToBucket(keyOf(value), 1);
    this.#addTotals(1, value, value, value);
    return true;
  }

  /** Adds all of the other's values. The other stays as it is. */
  merge(other: Sketch): void {
    for (const [key, n] of [...other.#buckets]) this.#addToBucket(key, n);
    this.#addTotals(other.#count, other.#sum, other.#min, other.#max);
  }

  /**
   * The value that a share `q` of the values lies below: the lower one where it falls between two.
   * 0 is the minimum, 1 the maximum, both exact.
   */
  quantile(q: number): number {
    assert(q >= 0 && q <= 1, `a quantile is from 0 to 1, not ${q}`);
    const rank = Math.floor(q * (this.#count - 1));
    if (rank <= 0) return this.min;
    if (rank >= this.#count - 1) return this.max;
    let below = 0;
    for (const [key, n] of this.#ascending()) {
      below += n;
      if (below > rank) return Math.min(this.#max, Math.max(this.#min, middleOf(key)));
    }
    return this.max;
  }

  toJSON(): SketchJson {
    const { count, sum, min, max } = this;
    const ends = count === 0 ? {} : { min, max };
    return { v: 1, error: relativeError, count, sum, ...ends, buckets: this.#ascending().flat() };
  }

  #ascending(): [key: number, n: number][] {
    return [...this.#buckets].sort(([a], [b]) => a - b);
  }

  #addToBucket(key: number, n: number): void {
    const atLeastLowest = Math.max(key, this.#lowestKey);
    this.#buckets.set(atLeastLowest, (this.#buckets.get(atLeastLowest) ?? 0) + n);
    if (this.#buckets.size > this.#bucketsMax) this.#collapseLowest();
  }

  /**
   * Pours the lowest bucket into the next. What remains are always the highest keys ever seen, so
   * the order of adding makes no difference.
   */
  #collapseLowest(): void {
    let [lowest, next] = [Infinity, Infinity];
    for (const key of this.#buckets.keys()) {
      if (key < lowest) [lowest, next] = [key, lowest];
      else if (key < next) next = key;
    }
    this.#buckets.set(next, this.#buckets.get(next)! + this.#buckets.get(lowest)!);
    this.#buckets.delete(lowest);
    this.#lowestKey = next;
  }

  #addTotals(count: number, sum: number, min: number, max: number): void {
    this.#count += count;
    this.#sum = Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, this.#sum + sum));
    this.#min = Math.min(this.#min, min);
    this.#max = Math.max(this.#max, max);
  }
}

function keyOf(value: number): number {
  const size = Math.abs(value);
  if (size < smallestNormal) return 0;
  return Math.sign(value) * (Math.ceil(Math.log(size) / logGamma) + keyOffset);
}

/** The value whose relative distance to both ends of its bucket is the same. */
function middleOf(key: number): number {
  if (key === 0) return 0;
  const exponent = Math.abs(key) - keyOffset;
  return Math.sign(key) * Math.exp(exponent * logGamma) * (2 / (1 + gamma));
}

function assertJson(json: SketchJson): void {
  const { v, error, count, sum, min = 0, max = 0, buckets } = json;
  const isOurs = v === 1 && error === relativeError && Array.isArray(buckets);
  let counted = 0;
  for (let i = 0; isOurs && i < buckets.length; i += 2) {
    const isKey = Number.isInteger(buckets[i]) && Math.abs(buckets[i]!) <= 2 * keyOffset;
    const isCount = Number.isSafeInteger(buckets[i + 1]) && buckets[i + 1]! > 0;
    counted += isKey && isCount ? buckets[i + 1]! : NaN;
  }
  if (isOurs && counted === count && [sum, min, max].every(Number.isFinite)) return;
  throw new SketchError(
    `Cannot read sketch because it must be of version 1, of error ${relativeError} and whole: ` +
      `current value is version ${v}, error ${error}, count ${count} of ${counted} in buckets`,
  );
}
