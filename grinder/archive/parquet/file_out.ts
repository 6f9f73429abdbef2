/**
 * Row groups' columns in, a compressed Parquet file out, as DuckDB would write it: one data page for each
 * column of a row group, of the first kind, behind a dictionary where the column has one; every column may
 * lack values; least and greatest values where the column says them.
 *
 *     PAR1, row groups (for each column: [header, dictionary,] header, page), footer, its length (4 bytes), PAR1
 *     page: definition levels (length in 4 bytes, runs), values; all of it compressed
 *
 * Source: README.md, Encodings.md and parquet.thrift of apache/parquet-format.
 */
import { Buffer } from "node:buffer";
import { constants, zstdCompressSync } from "node:zlib";
import { BytesOut, putRuns } from "./bytes_out.ts";
import type { Sink } from "./columns_out.ts";
import { type Field, writeStruct } from "./thrift.ts";

export type ColumnType = "int32" | "int64" | "time" | "text";

export const encodings = { plain: 0, rle: 3, delta: 5, deltaLength: 6, dictionary: 8 } as const;

/** The values of one column in one row group, encoded. */
export interface ColumnPage {
  encoding: number;
  /** Behind the definition levels, which are not in it. */
  values: BytesOut;
  /** 1 for each row that has a value; undefined: all have. */
  present: Uint8Array | undefined;
  nulls: number;
  dictionary?: { values: number; bytes: BytesOut };
  /** In plain form. */
  min?: Uint8Array;
  max?: Uint8Array;
}

export interface Compression {
  level: number;
  /** Finds what stands farther back than the level itself looks: costs a quarter more time. */
  longDistance?: boolean;
}

const physical = { int32: 1, int64: 2, time: 2, text: 6 } as const;
/** Of Parquet's ConvertedType. */
const converted = { int32: 17, int64: 18, time: 10, text: 0 } as const;
const zstd = 6;
/** 8 MiB: the most that every reader in use takes. */
const windowLog = 23;
const magic = Buffer.from("PAR1");

export class FileOut {
  rows = 0;
  #at = magic.length;
  readonly #groups: Field[][] = [];
  readonly #page = new BytesOut();

  constructor(
    private readonly columns: ReadonlyArray<readonly [name: string, type: ColumnType]>,
    private readonly compression: Compression,
    private readonly sink: Sink,
  ) {
    sink(magic);
  }

  /** `pageOf` gives the columns in turn; what it gave is taken before it is asked for the next. */
  addGroup(rows: number, pageOf: (name: string) => ColumnPage): void {
    if (rows === 0) return;
    const start = this.#at;
    const chunks = this.columns.map(([name, type]) => this.#chunk(name, type, rows, pageOf(name)));
    this.#groups.push([
      [1, "list", chunks],
      [2, "i64", this.#at - start],
      [3, "i64", rows],
    ]);
    this.rows += rows;
  }

  end(notes: Record<string, string>): void {
    const root: Field[] = [[4, "text", "rows"], [5, "i32", this.columns.length]];
    const footer = writeStruct([
      [1, "i32", 2],
      [2, "list", [root, ...this.columns.map(schemaOf)]],
      [3, "i64", this.rows],
      [4, "list", this.#groups],
      [5, "list", Object.entries(notes).map(([k, v]): Field[] => [[1, "text", k], [2, "text", v]])],
      [6, "text", "logmill"],
      // Least and greatest are by the type's own order.
      [7, "list", this.columns.map((): Field[] => [[1, "struct", []]])],
    ]);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(footer.length);
    this.sink(Buffer.concat([footer, length, magic]));
  }

  #chunk(name: string, type: ColumnType, rows: number, page: ColumnPage): Field[] {
    const start = this.#at;
    const sizes = { raw: 0 };
    const { dictionary } = page;
    if (dictionary) {
      const about: Field[] = [[1, "i32", dictionary.values], [2, "i32", encodings.plain]];
      this.#put(2, dictionary.bytes, [7, "struct", about], sizes);
    }
    const dataAt = this.#at;
    const { rle } = encodings;
    const about: Field[] = [
      [1, "i32", rows],
      [2, "i32", page.encoding],
      [3, "i32", rle],
      [4, "i32", rle],
    ];
    this.#put(0, this.#body(page, rows), [5, "struct", about], sizes);
    const used = dictionary ? [page.encoding, encodings.plain, rle] : [page.encoding, rle];
    return [[2, "i64", start], [3, "struct", [
      [1, "i32", physical[type]],
      [2, "list", used],
      [3, "list", [name]],
      [4, "i32", zstd],
      [5, "i64", rows],
      [6, "i64", sizes.raw],
      [7, "i64", this.#at - start],
      [9, "i64", dataAt],
      [11, "i64", dictionary ? start : undefined],
      [12, "struct", [
        [3, "i64", page.nulls],
        [5, "bytes", page.max],
        [6, "bytes", page.min],
      ]],
    ]]];
  }

  #body({ present, values }: ColumnPage, rows: number): BytesOut {
    const page = this.#page;
    page.clear();
    page.int32(0);
    if (present) putRuns(page, present, rows, 1);
    else {
      page.varint(2 * rows);
      page.byte(1);
    }
    page.view.setUint32(0, page.length - 4, true);
    page.set(values.all);
    return page;
  }

  #put(type: number, body: BytesOut, about: Field, sizes: { raw: number }): void {
    const stored = this.#compressed(body.all);
    const header = writeStruct([
      [1, "i32", type],
      [2, "i32", body.length],
      [3, "i32", stored.length],
      about,
    ]);
    this.sink(header);
    this.sink(stored);
    this.#at += header.length + stored.length;
    sizes.raw += header.length + body.length;
  }

  #compressed(bytes: Uint8Array): Uint8Array {
    const { level, longDistance = false } = this.compression;
    return zstdCompressSync(
      bytes,
      {
        pledgedSrcSize: bytes.length,
        // Zstd's worst case: so nothing is grown or copied.
        chunkSize: bytes.length + (bytes.length >> 8) + 512,
        params: {
          [constants.ZSTD_c_compressionLevel]: level,
          ...(longDistance
            ? {
              [constants.ZSTD_c_windowLog]: windowLog,
              [constants.ZSTD_c_enableLongDistanceMatching]: 1,
            }
            : {}),
        },
      } as Parameters<typeof zstdCompressSync>[1],
    );
  }
}

function schemaOf([name, type]: readonly [string, ColumnType]): Field[] {
  // In microseconds, of no zone: they are UTC's.
  const time: Field[] = [[8, "struct", [
    [1, "bool", false],
    [2, "struct", [[2, "struct", []]]],
  ]]];
  return [
    [1, "i32", physical[type]],
    // It may lack values.
    [3, "i32", 1],
    [4, "text", name],
    [6, "i32", converted[type]],
    [10, "struct", type === "time" ? time : undefined],
  ];
}
