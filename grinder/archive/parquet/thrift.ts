/**
 * Thrift's compact protocol, as far as Parquet's headers and footers need it: bytes to values and back.
 * A struct is a map from field number to value; an integer is a number, a text or bytes a `Uint8Array`.
 *
 * | value | bytes |
 * |-------|-------|
 * | integer | zigzag varint |
 * | binary | varint of its length, then the bytes |
 * | list | (size << 4) + type, or 0xf0 + type and a varint of the size; then the values |
 * | struct | for each field (difference of numbers << 4) + type, or type and zigzag number; then a 0 |
 *
 * Source: doc/specs/thrift-compact-protocol.md of Apache Thrift.
 */
import { Buffer } from "node:buffer";

export type Value = number | boolean | Uint8Array | Value[] | Struct;
export type Struct = Map<number, Value>;

const types = { true: 1, false: 2, i8: 3, i16: 4, i32: 5, i64: 6, double: 7, binary: 8 } as const;
const [listType, setType, structType] = [9, 10, 12];
/** Parquet's own nesting is four deep. */
const depthMax = 16;

/** What stands there is no thrift that Parquet has. */
export class ThriftError extends Error {
  override name = "ThriftError";
}

export class ThriftReader {
  constructor(private readonly bytes: Uint8Array, public at = 0) {}

  struct(depth = 0): Struct {
    if (depth > depthMax) throw new ThriftError("it is nested too deep");
    const fields: Struct = new Map();
    for (let id = 0;;) {
      const head = this.#byte();
      if (head === 0) return fields;
      id = head >> 4 === 0 ? this.#zigzag() : id + (head >> 4);
      const type = head & 15;
      fields.set(id, type <= 2 ? type === types.true : this.#value(type, depth));
    }
  }

  #value(type: number, depth: number): Value {
    if (type === types.i8) return this.#byte() << 24 >> 24;
    if (type >= types.i16 && type <= types.i64) return this.#zigzag();
    if (type === types.double) return this.#skip(8);
    if (type === types.binary) return this.#skip(this.#varint());
    if (type === structType) return this.struct(depth + 1);
    if (type === listType || type === setType) return this.#list(depth);
    // In a list a boolean is a byte of its own.
    if (type === types.true || type === types.false) return this.#byte() === types.true;
    throw new ThriftError(`it has a value of type ${type}`);
  }

  #list(depth: number): Value[] {
    const head = this.#byte();
    const size = head >> 4 === 15 ? this.#varint() : head >> 4;
    // Each takes a byte at least.
    if (size > this.bytes.length - this.at) throw new ThriftError("it ends too soon");
    const list: Value[] = [];
    for (let i = 0; i < size; i++) list.push(this.#value(head & 15, depth + 1));
    return list;
  }

  #skip(length: number): Uint8Array {
    const start = this.at;
    this.at += length;
    if (this.at > this.bytes.length) throw new ThriftError("it ends too soon");
    return this.bytes.subarray(start, this.at);
  }

  #byte(): number {
    const byte = this.bytes[this.at++];
    if (byte === undefined) throw new ThriftError("it ends too soon");
    return byte;
  }

  #varint(): number {
    let [value, factor] = [0, 1];
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
    throw new ThriftError("it has a number that is too long");
  }

  #zigzag(): number {
    const value = this.#varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

/** A field to write; an undefined one is left out. Fields stand in the order of their numbers. */
export type Field = readonly [
  id: number,
  type: "i32" | "i64" | "text" | "bytes" | "bool" | "struct" | "list",
  Writable,
];
export type Writable =
  | number
  | string
  | boolean
  | Uint8Array
  | undefined
  | readonly Field[]
  | readonly Writable[];

/** A struct's bytes. A list's values are structs, numbers (i32) or texts, all alike. */
export function writeStruct(fields: readonly Field[]): Buffer {
  const out: number[] = [];
  putStruct(out, fields);
  return Buffer.from(out);
}

function putStruct(out: number[], fields: readonly Field[]): void {
  let last = 0;
  for (const [id, type, value] of fields) {
    if (value === undefined) continue;
    out.push(((id - last) << 4) + (value === false ? types.false : wireType(type)));
    last = id;
    // Its type says it all.
    if (type === "bool") continue;
    if (type === "list") putList(out, value as readonly Writable[]);
    else putValue(out, type, value);
  }
  out.push(0);
}

function wireType(type: Field[1]): number {
  if (type === "text" || type === "bytes") return types.binary;
  if (type === "bool") return types.true;
  if (type === "struct") return structType;
  return type === "list" ? listType : types[type];
}

function putList(out: number[], values: readonly Writable[]): void {
  const type = typeof values[0] === "number"
    ? "i32"
    : typeof values[0] === "string"
    ? "text"
    : "struct";
  if (values.length < 15) out.push((values.length << 4) + wireType(type));
  else {
    out.push(0xf0 + wireType(type));
    putVarint(out, values.length);
  }
  for (const value of values) putValue(out, type, value);
}

function putValue(out: number[], type: Field[1], value: Writable): void {
  if (type === "struct") return putStruct(out, value as readonly Field[]);
  if (type === "text" || type === "bytes") {
    const bytes = type === "text" ? Buffer.from(value as string, "utf8") : value as Uint8Array;
    putVarint(out, bytes.length);
    out.push(...bytes);
    return;
  }
  const number = value as number;
  putVarint(out, number < 0 ? -2 * number - 1 : 2 * number);
}

function putVarint(out: number[], value: number): void {
  for (; value >= 128; value = Math.floor(value / 128)) out.push(value % 128 + 128);
  out.push(value);
}
