/** Whole numbers, not below 0, to their decimal digits as bytes, at the pace of the disk. */

/** Two digits for each number below 100. */
const pairs = Uint8Array.from({ length: 200 }, (_, i) => {
  const number = i >> 1;
  return 0x30 + (i & 1 ? number % 10 : Math.floor(number / 10));
});

/** A whole number, not below 0, in decimal. */
export function putNumber(value: number, out: Uint8Array, at: number): number {
  if (value >= 1e8) {
    const high = Math.floor(value / 1e8);
    return putPadded(value - high * 1e8, out, putNumber(high, out, at));
  }
  let rest = value | 0;
  if (rest < 10) {
    out[at] = 0x30 + rest;
    return at + 1;
  }
  const end = at + smallDigitsOf(rest);
  let next = end - 2;
  for (; rest >= 100; next -= 2) {
    const hundreds = (rest / 100) | 0;
    const pair = 2 * (rest - hundreds * 100);
    out[next] = pairs[pair]!;
    out[next + 1] = pairs[pair + 1]!;
    rest = hundreds;
  }
  out[next + 1] = pairs[2 * rest + 1]!;
  if (rest >= 10) out[next] = pairs[2 * rest]!;
  return end;
}

export function digitsOf(value: number): number {
  let [digits, rest] = [0, value];
  for (; rest >= 1e8; rest = Math.floor(rest / 1e8)) digits += 8;
  return digits + smallDigitsOf(rest | 0);
}

/** Of a number below 10^8. */
function smallDigitsOf(value: number): number {
  if (value < 10_000) return value < 100 ? (value < 10 ? 1 : 2) : value < 1_000 ? 3 : 4;
  return value < 1_000_000 ? (value < 100_000 ? 5 : 6) : value < 10_000_000 ? 7 : 8;
}

/** Eight digits. */
function putPadded(value: number, out: Uint8Array, at: number): number {
  let rest = value | 0;
  for (let next = at + 6; next >= at; next -= 2) {
    const hundreds = (rest / 100) | 0;
    const pair = 2 * (rest - hundreds * 100);
    out[next] = pairs[pair]!;
    out[next + 1] = pairs[pair + 1]!;
    rest = hundreds;
  }
  return at + 8;
}
