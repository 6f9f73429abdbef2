/**
 * A frame's bytes to where a record's parts stand in them: at the pace of the disk for records as the
 * kernel prints them; of all else it says so, and leaves it to `parseRecord`.
 */

const newline = 0x0a;
const space = 0x20;
const comma = 0x2c;
const semicolon = 0x3b;

export class RecordBytes {
  prio = 0;
  seq = 0;
  usec = 0;
  flagStart = 0;
  flagEnd = 0;
  /** Equal where there are none. */
  fieldsStart = 0;
  fieldsEnd = 0;
  textStart = 0;
  textEnd = 0;
  /** Continuation lines, without the last newline; equal where there are none. */
  moreStart = 0;
  moreEnd = 0;
  /** Behind the record's last newline. */
  end = 0;
  #at = 0;
  #value = 0;

  /**
   * Reads the record that begins at `at`. False if its columns alone don't give its bytes back; then only
   * `end` holds, and `textEnd` is the end of its first line.
   */
  read(bytes: Uint8Array, at: number, end: number): boolean {
    const isPrefix = this.#prefix(bytes, at, end);
    const isPlain = this.#lines(bytes, isPrefix ? this.textStart : at, end);
    return isPrefix && isPlain;
  }

  #prefix(bytes: Uint8Array, at: number, end: number): boolean {
    this.#at = at;
    if (!this.#number(bytes, 4)) return false;
    this.prio = this.#value;
    if (!this.#number(bytes, 16)) return false;
    this.seq = this.#value;
    if (!this.#number(bytes, 16)) return false;
    this.usec = this.#value;
    let next = this.flagStart = this.#at;
    while (next < end && isPart(bytes[next]!)) next++;
    this.flagEnd = next;
    const length = next - this.flagStart;
    if (length === 0 || length > 4) return false;
    this.fieldsStart = this.fieldsEnd = next;
    if (bytes[next] === comma) {
      this.fieldsStart = ++next;
      while (next < end && bytes[next] !== semicolon && isPrintable(bytes[next]!)) next++;
      this.fieldsEnd = next;
      if (next === this.fieldsStart) return false;
    }
    this.textStart = next + 1;
    return next < end && bytes[next] === semicolon;
  }

  /** A safe integer without leading zeros, and the comma behind it. */
  #number(bytes: Uint8Array, digitsMax: number): boolean {
    const start = this.#at;
    let value = 0;
    let next = start;
    for (let digit; (digit = bytes[next]! - 0x30) >= 0 && digit <= 9; next++) {
      value = 10 * value + digit;
    }
    const digits = next - start;
    this.#value = value;
    this.#at = next + 1;
    return bytes[next] === comma && digits > 0 && digits <= digitsMax &&
      (digits === 1 || bytes[start] !== 0x30) && value <= Number.MAX_SAFE_INTEGER;
  }

  /** Finds the line's end and the continuation lines; whether all of it is printable. */
  #lines(bytes: Uint8Array, from: number, end: number): boolean {
    let next = from;
    let odd = 0;
    for (let byte; next < end && (byte = bytes[next]!) !== newline; next++) {
      odd |= (byte - space) | (0x7e - byte);
    }
    this.textEnd = next;
    this.moreStart = this.moreEnd = Math.min(next + 1, end);
    while (bytes[next + 1] === space && next + 1 < end) {
      next++;
      for (let byte; next < end && (byte = bytes[next]!) !== newline; next++) {
        odd |= (byte - space) | (0x7e - byte);
      }
      this.moreEnd = next;
    }
    this.end = Math.min(next + 1, end);
    // A record always ends in a newline.
    return odd >= 0 && next < end;
  }
}

/** Of a flag. */
function isPart(byte: number): boolean {
  return byte !== comma && byte !== semicolon && isPrintable(byte);
}

function isPrintable(byte: number): boolean {
  return byte >= space && byte <= 0x7e;
}
