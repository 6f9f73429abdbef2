/** A row group's rows in, its columns out, encoded as suits each best (parquet/file_out.ts). */
import { type Column, streamColumns } from "./columns.ts";
import { areNear, bitsOf, BytesOut, putDeltas, putRuns } from "./parquet/bytes_out.ts";
import { type ColumnPage, encodings } from "./parquet/file_out.ts";
import type { LinePlace } from "./row_sink.ts";
import type { Rows, TextPlaces } from "./rows.ts";

export class ColumnsOut {
  #order: Int32Array = new Int32Array(0);
  #numbers = new Float64Array(0);
  #index = new Int32Array(0);
  /** Of each row, in order. */
  #shared = new Int32Array(0);
  #present = new Uint8Array(0);
  readonly #out = new BytesOut();
  readonly #dictionary = new BytesOut();

  constructor(private readonly rows: Rows) {}

  /** The row group's rows, in order. */
  take(order: Int32Array): void {
    this.#order = order;
    if (this.#numbers.length < order.length) {
      this.#numbers = new Float64Array(order.length);
      this.#index = new Int32Array(order.length);
      this.#shared = new Int32Array(order.length);
      this.#present = new Uint8Array(order.length);
    }
    const { shared } = this.rows;
    for (let i = 0; i < order.length; i++) this.#shared[i] = shared[order[i]!]!;
  }

  /** Holds until the next is asked for. */
  page(column: Column): ColumnPage {
    this.#out.clear();
    this.#dictionary.clear();
    const { rows } = this;
    const { seq, usec, prio, startedUs, recvUs } = rows;
    switch (column) {
      case "device":
      case "boot":
      case "source":
      case "stream":
        return this.#names(column);
      case "seq":
        return this.#rising(undefined, seq);
      case "time":
        return this.#rising(startedUs, usec);
      case "recv":
        return this.#rising(recvUs, undefined);
      case "started":
        return this.#few(startedUs, this.#shared, 8);
      case "prio":
        return this.#few(prio, this.#order, 4);
      case "flag":
        return this.#flags();
      case "text":
        return this.#texts(rows.text, undefined, 0);
      case "fields":
      case "more":
        return this.#texts(rows[column], ...this.#lengthy(rows[column]));
      case "prefix":
        return this.#oddTexts((row) => rows.odd.get(row)?.prefix);
      case "receiver":
      case "epoch":
        return this.#oddTexts((row) => rows.odd.get(row)?.place?.[column]);
      default:
        return this.#places(column);
    }
  }

  /** Of streams: they stand together. */
  #names(column: typeof streamColumns[number]): ColumnPage {
    const { streams } = this.rows;
    const known = new Map<string, number>();
    const shared = this.#shared;
    let [last, value] = [-1, -1];
    for (let i = 0; i < this.#order.length; i++) {
      if (shared[i] !== last) {
        last = shared[i]!;
        const name = streams[last]![column];
        value = known.get(name) ?? known.size;
        known.set(name, value);
      }
      this.#index[i] = value;
    }
    this.#putTexts(known.keys());
    const names = [...known.keys()].sort((a, b) => a < b ? -1 : 1);
    return { ...this.#indexed(known.size), min: bytesOf(names[0]!), max: bytesOf(names.at(-1)!) };
  }

  /** Of a stream's rows each is a little more than the one before. What isn't given is 0. */
  #rising(ofShared: number[] | undefined, ofRow: Float64Array | undefined): ColumnPage {
    const numbers = this.#numbers;
    const shared = this.#shared;
    const order = this.#order;
    const count = order.length;
    if (ofShared) { for (let i = 0; i < count; i++) numbers[i] = ofShared[shared[i]!]!; }
    else numbers.fill(0, 0, count);
    if (ofRow) { for (let i = 0; i < count; i++) numbers[i]! += ofRow[order[i]!]!; }
    return { ...this.#numberPage(count), present: undefined, nulls: 0 };
  }

  /** Numbers of which few are different: each row's is values[at[i]]. */
  #few(values: number[] | Int32Array, at: Int32Array, size: 4 | 8): ColumnPage {
    const known = new Map<number, number>();
    let [last, index] = [NaN, -1];
    for (let i = 0; i < this.#order.length; i++) {
      const value = values[at[i]!]!;
      if (value !== last) {
        last = value;
        index = known.get(value) ?? known.size;
        known.set(value, index);
      }
      this.#index[i] = index;
    }
    let [min, max] = [Infinity, -Infinity];
    for (const value of known.keys()) {
      putPlain(this.#dictionary, value, size);
      if (value < min) min = value;
      if (value > max) max = value;
    }
    return { ...this.#indexed(known.size), min: plain(min, size), max: plain(max, size) };
  }

  /** Of at most four printable bytes, mostly; what was encoded may be longer. */
  #flags(): ColumnPage {
    const { rows } = this;
    const { starts, lengths } = rows.flag;
    const order = this.#order;
    const short = new Int32Array(256).fill(-1);
    const all = new Map<string, number>();
    for (let i = 0; i < order.length; i++) {
      const row = order[i]!;
      const code = lengths[row] === 1 ? rows.byteAt(starts[row]!) : -1;
      let index = code < 0 ? -1 : short[code]!;
      if (index < 0) {
        const flag = rows.textOf(starts[row]!, lengths[row]!);
        index = all.get(flag) ?? all.size;
        all.set(flag, index);
        if (code >= 0) short[code] = index;
      }
      this.#index[i] = index;
    }
    this.#putTexts(all.keys());
    return this.#indexed(all.size);
  }

  #putTexts(texts: Iterable<string>): void {
    for (const text of texts) {
      this.#dictionary.int32(text.length);
      this.#dictionary.text(text);
    }
  }

  /** Which rows have such a text at all. */
  #lengthy({ lengths }: TextPlaces): [present: Uint8Array, nulls: number] {
    const order = this.#order;
    const present = this.#present;
    let count = 0;
    for (let i = 0; i < order.length; i++) count += present[i] = lengths[order[i]!]! > 0 ? 1 : 0;
    return [present, order.length - count];
  }

  #texts(places: TextPlaces, present: Uint8Array | undefined, nulls: number): ColumnPage {
    const { rows } = this;
    const { starts, lengths } = places;
    const order = this.#order;
    const out = this.#out;
    const numbers = this.#numbers;
    let [count, total] = [0, 0];
    for (let i = 0; i < order.length; i++) {
      if (present && present[i] === 0) continue;
      total += numbers[count++] = lengths[order[i]!]!;
    }
    putDeltas(out, numbers, count);
    // A few are copied too many.
    out.reserve(total + 4);
    for (let i = 0; i < order.length; i++) {
      const row = order[i]!;
      if (lengths[row] !== 0) rows.copyText(starts[row]!, lengths[row]!, out);
    }
    return { encoding: encodings.deltaLength, values: out, present, nulls };
  }

  /** Texts that nearly all rows lack. */
  #oddTexts(textOf: (row: number) => string | undefined): ColumnPage {
    const order = this.#order;
    const present = this.#present;
    const texts: string[] = [];
    for (let i = 0; i < order.length; i++) {
      const text = this.rows.odd.size === 0 ? undefined : textOf(order[i]!);
      present[i] = text === undefined ? 0 : 1;
      if (text !== undefined) texts.push(text);
    }
    putDeltas(this.#out, Float64Array.from(texts, (text) => text.length), texts.length);
    for (const text of texts) this.#out.text(text);
    const nulls = order.length - texts.length;
    return { encoding: encodings.deltaLength, values: this.#out, present, nulls };
  }

  #places(column: "segment" | "frame" | "line"): ColumnPage {
    const order = this.#order;
    const present = this.#present;
    let count = 0;
    for (let i = 0; i < order.length; i++) {
      const place: LinePlace | undefined = this.rows.odd.size === 0
        ? undefined
        : this.rows.odd.get(order[i]!)?.place;
      present[i] = place ? 1 : 0;
      if (place) this.#numbers[count++] = place[column];
    }
    return { ...this.#numberPage(count), present, nulls: order.length - count };
  }

  /** The first `count` of the numbers. */
  #numberPage(count: number): Pick<ColumnPage, "encoding" | "values" | "min" | "max"> {
    const numbers = this.#numbers;
    const values = this.#out;
    if (count === 0) {
      putDeltas(values, numbers, 0);
      return { encoding: encodings.delta, values };
    }
    let [min, max] = [Infinity, -Infinity];
    for (let i = 0; i < count; i++) {
      const value = numbers[i]!;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    const isNear = areNear(min, max);
    if (isNear) putDeltas(values, numbers, count);
    else for (let i = 0; i < count; i++) values.int64(numbers[i]!);
    const encoding = isNear ? encodings.delta : encodings.plain;
    return { encoding, values, min: plain(min, 8), max: plain(max, 8) };
  }

  /** The index that was filled in, into a dictionary of so many values. */
  #indexed(values: number): ColumnPage {
    const width = Math.max(1, bitsOf(values - 1));
    this.#out.byte(width);
    putRuns(this.#out, this.#index, this.#order.length, width);
    const dictionary = { values, bytes: this.#dictionary };
    const { dictionary: encoding } = encodings;
    return { encoding, values: this.#out, present: undefined, nulls: 0, dictionary };
  }
}

function putPlain(out: BytesOut, value: number, size: 4 | 8): void {
  if (size === 4) out.int32(value);
  else out.int64(value);
}

function plain(value: number, size: 4 | 8): Uint8Array {
  const out = new BytesOut();
  putPlain(out, value, size);
  return out.all;
}

/** Names are ASCII. */
function bytesOf(name: string): Uint8Array {
  const out = new BytesOut();
  out.text(name);
  return out.all;
}
