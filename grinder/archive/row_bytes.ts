/** Columns to how many bytes their values take in a record's line: added up, row by row. */
import { digitsOf } from "./decimals.ts";
import type { Texts } from "./parquet/column_in.ts";

/** Each with a comma or a newline, where there is one. */
export function addLengths(out: Int32Array, { starts, ends, index }: Texts): void {
  for (let row = 0; row < out.length; row++) {
    const i = index[row]!;
    if (i >= 0) out[row]! += ends[i]! - starts[i]! + 1;
  }
}

/** With a comma each. What is next to a number mostly has as many digits. */
export function addDigits(out: Int32Array, numbers: Float64Array): void {
  let [from, to, digits] = [0, 0, 0];
  for (let row = 0; row < out.length; row++) {
    const number = numbers[row]!;
    if (!(number >= from && number < to)) {
      digits = digitsOf(number);
      [from, to] = [digits === 1 ? 0 : 10 ** (digits - 1), 10 ** digits];
    }
    out[row]! += digits + 1;
  }
}

export function addUsecDigits(out: Int32Array, times: Float64Array, started: Float64Array): void {
  let [from, to, digits] = [0, 0, 0];
  for (let row = 0; row < out.length; row++) {
    const usec = times[row]! - started[row]!;
    if (!(usec >= from && usec < to)) {
      digits = digitsOf(usec);
      [from, to] = [digits === 1 ? 0 : 10 ** (digits - 1), 10 ** digits];
    }
    out[row]! += digits + 1;
  }
}
