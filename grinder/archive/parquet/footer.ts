/**
 * The end of a Parquet file to what is in it: row groups, where their columns' pages are, and the least
 * and greatest value of each.
 *
 * Source: parquet.thrift of apache/parquet-format.
 */
import { Buffer } from "node:buffer";
import { type Struct, ThriftReader, type Value } from "./thrift.ts";

/** Something is no Parquet file of ours, or no whole one. */
export class ParquetError extends Error {
  override name = "ParquetError";
  readonly code = "parquet";
}

export interface ColumnChunk {
  name: string;
  /** Parquet's number of the physical type. */
  type: number;
  /** 0 none, 6 zstd. */
  codec: number;
  /** Where its first page begins, and how many bytes its pages take. */
  offset: number;
  length: number;
  values: number;
  /** How many of them are none; undefined if it doesn't say. */
  nulls: number | undefined;
  /** As the file has them: the values' plain form; undefined if it doesn't say. */
  min: Uint8Array | undefined;
  max: Uint8Array | undefined;
}

export interface RowGroup {
  rows: number;
  columns: Map<string, ColumnChunk>;
}

export interface Footer {
  rows: number;
  groups: RowGroup[];
  /** Texts that were written along. */
  notes: Map<string, string>;
}

export const tailBytes = 8;
const footerBytesMax = 256 * 1024 * 1024;

/** How long the footer is, by the file's last 8 bytes. Throws `ParquetError`. */
export function footerLength(tail: Uint8Array): number {
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength);
  if (bytes.length < tailBytes || bytes.toString("latin1", bytes.length - 4) !== "PAR1") {
    throw new ParquetError(
      "it must end as a Parquet file does: it is cut short, or something else",
    );
  }
  const length = bytes.readUInt32LE(bytes.length - tailBytes);
  if (length <= footerBytesMax) return length;
  throw new ParquetError(`its footer must be at most ${footerBytesMax} bytes: it has ${length}`);
}

/** Throws `ParquetError`. */
export function parseFooter(bytes: Uint8Array): Footer {
  try {
    const footer = new ThriftReader(bytes).struct();
    return {
      rows: number(footer, 3),
      groups: list(footer, 4).map(rowGroup),
      notes: new Map(list(footer, 5).map((note) => [text(note, 1), text(note, 2)])),
    };
  } catch (error) {
    throw new ParquetError(`its footer can't be read: ${(error as Error).message}`);
  }
}

function rowGroup(group: Struct): RowGroup {
  const columns = list(group, 1).map((chunk) => columnChunk(chunk.get(3) as Struct));
  return {
    rows: number(group, 3),
    columns: new Map(columns.map((column) => [column.name, column])),
  };
}

function columnChunk(meta: Struct): ColumnChunk {
  const statistics = meta.get(12) as Struct | undefined;
  const path = (meta.get(3) as Uint8Array[]).map((part) => Buffer.from(part).toString());
  const dataOffset = number(meta, 9);
  const dictionaryOffset = meta.get(11) as number | undefined;
  return {
    name: path.join("."),
    type: number(meta, 1),
    codec: number(meta, 4),
    offset: dictionaryOffset ? Math.min(dictionaryOffset, dataOffset) : dataOffset,
    length: number(meta, 7),
    values: number(meta, 5),
    nulls: statistics?.get(3) as number | undefined,
    min: statistics?.get(6) as Uint8Array | undefined,
    max: statistics?.get(5) as Uint8Array | undefined,
  };
}

function number(struct: Struct, id: number): number {
  const value = struct.get(id);
  if (typeof value === "number") return value;
  throw new Error(`field ${id} must be a number: it is ${typeof value}`);
}

function text(struct: Struct, id: number): string {
  return Buffer.from((struct.get(id) ?? []) as Uint8Array).toString();
}

function list(struct: Struct, id: number): Struct[] {
  return ((struct.get(id) ?? []) as Value[]) as Struct[];
}

/** A statistic of a column of whole numbers. */
export function statisticNumber(bytes: Uint8Array | undefined): number | undefined {
  if (bytes?.length !== 8) return undefined;
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true));
}

/** A statistic of a column of names. */
export function statisticText(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString("latin1");
}
