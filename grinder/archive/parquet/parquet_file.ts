/**
 * A Parquet file that can be read in ranges, in; its row groups, and of those the columns that are asked
 * for, out.
 */
import {
  type ColumnChunk,
  type Footer,
  footerLength,
  ParquetError,
  parseFooter,
  type RowGroup,
  tailBytes,
} from "./footer.ts";

/** Bytes from `offset` on; fewer where the file ends. */
export type RangeReader = (offset: number, length: number) => Promise<Uint8Array>;

/** Read at once from the end: the footer of a file of some hundred row groups is in it. */
const endBytes = 128 * 1024;

export class ParquetFile {
  private constructor(readonly footer: Footer, private readonly read: RangeReader) {}

  /** Throws `ParquetError` if it isn't one, or not whole; and what `read` throws. */
  static async open(read: RangeReader, bytes: number): Promise<ParquetFile> {
    const start = Math.max(0, bytes - endBytes);
    const end = await read(start, bytes - start);
    if (end.length !== bytes - start) {
      throw new ParquetError(`it must have ${bytes} bytes: it is cut short`);
    }
    const need = footerLength(end.subarray(-tailBytes)) + tailBytes;
    if (need > bytes) throw new ParquetError("its footer is longer than it is");
    const tail = need <= end.length ? end.subarray(-need) : await read(bytes - need, need);
    const file = new ParquetFile(parseFooter(tail.subarray(0, -tailBytes)), read);
    file.#check(bytes - need);
    return file;
  }

  /** The bytes of some columns of a row group, in one request. */
  async chunks(group: RowGroup, names: readonly string[]): Promise<Map<string, ChunkBytes>> {
    const wanted = names.map((name) => this.#column(group, name));
    const start = Math.min(...wanted.map(({ offset }) => offset));
    const end = Math.max(...wanted.map(({ offset, length }) => offset + length));
    const bytes = await this.read(start, end - start);
    if (bytes.length < end - start) throw new ParquetError("it is cut short");
    return new Map(wanted.map((chunk) => {
      const at = chunk.offset - start;
      return [chunk.name, { chunk, bytes: bytes.subarray(at, at + chunk.length) }];
    }));
  }

  #column(group: RowGroup, name: string): ColumnChunk {
    const column = group.columns.get(name);
    if (column) return column;
    throw new ParquetError(`it must have a column ${name}: it has none`);
  }

  /** What the footer says must fit the file: it is the only part that may have been swapped. */
  #check(dataBytes: number): void {
    for (const { rows, columns } of this.footer.groups) {
      for (const { offset, length, values, name } of columns.values()) {
        const fits = offset >= 0 && length >= 0 && offset + length <= dataBytes && values === rows;
        if (!fits) throw new ParquetError(`its column ${name} isn't where its footer says`);
      }
    }
  }
}

export interface ChunkBytes {
  chunk: ColumnChunk;
  bytes: Uint8Array;
}
