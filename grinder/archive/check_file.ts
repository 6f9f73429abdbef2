/**
 * An archive file in, read from its first byte to its last as any reader would; what is in it out, for the
 * manifest, and to be held against what should be.
 */
import { statSync } from "node:fs";
import { fileNote, streamColumns } from "./columns.ts";
import { ParquetError } from "./parquet/footer.ts";
import { ParquetFile, type RangeReader } from "./parquet/parquet_file.ts";
import type { ArchivePlace } from "./place.ts";
import { RowGroup } from "./row_group.ts";
import { RowHash, type RowSum } from "./row_hash.ts";

export interface FileContent extends RowSum {
  textBytes: number;
  minTimeUs: number;
  maxTimeUs: number;
  minRecvUs: number;
  maxRecvUs: number;
  firstDevice: string;
  lastDevice: string;
}

/** Throws `ParquetError` if it is no archive file, or its rows aren't in order. */
export async function checkFile(read: RangeReader, bytes: number): Promise<FileContent> {
  const file = await openArchiveFile(read, bytes);
  const check = new FileCheck();
  for (const meta of file.footer.groups) check.add(await RowGroup.read(file, meta));
  return check.content;
}

/** Throws `ParquetError`. */
export async function openArchiveFile(read: RangeReader, bytes: number): Promise<ParquetFile> {
  const file = await ParquetFile.open(read, bytes);
  if (file.footer.notes.get(fileNote.name) === fileNote.value) return file;
  throw new ParquetError(`it must say ${fileNote.name}=${fileNote.value}: it is some other file`);
}

/** Puts a local file into its place and reads it back from there. Throws `ParquetError`. */
export async function putChecked(
  place: ArchivePlace,
  path: string,
  local: string,
  put: () => void,
): Promise<FileContent & { bytes: number }> {
  const { size: bytes } = statSync(local);
  await place.put(path, local);
  put();
  const read = (offset: number, length: number) => place.read(path, offset, length);
  return { bytes, ...await checkFile(read, bytes) };
}

class FileCheck {
  readonly #hash = new RowHash();
  #out = new Uint8Array(64 * 1024);
  #textBytes = 0;
  #minTimeUs = Infinity;
  #maxTimeUs = -Infinity;
  #minRecvUs = Infinity;
  #maxRecvUs = -Infinity;
  #firstDevice: string | undefined;
  /** Of the row before: names, and whether it had a place. */
  #lastNames = "";
  #lastPlaced = false;
  #lastSeq = -1;
  #lastDevice = "";

  add(group: RowGroup): void {
    for (let row = 0; row < group.rows;) {
      const end = group.streamEnd(row);
      this.#begin(group, row);
      const names = group.namesHash(row);
      for (; row < end; row++) this.#row(group, row, names);
    }
  }

  get content(): FileContent {
    return {
      ...this.#hash.sum,
      textBytes: this.#textBytes,
      minTimeUs: this.#minTimeUs,
      maxTimeUs: this.#maxTimeUs,
      minRecvUs: this.#minRecvUs,
      maxRecvUs: this.#maxRecvUs,
      firstDevice: this.#firstDevice ?? "",
      lastDevice: this.#lastDevice,
    };
  }

  #begin(group: RowGroup, row: number): void {
    const names = group.names(row);
    // Below all that names are made of: so it compares as column after column would.
    const key = streamColumns.map((column) => names[column]).join(" ");
    if (key < this.#lastNames) throw new ParquetError(`its rows must be in order: ${key} isn't`);
    if (key !== this.#lastNames) [this.#lastPlaced, this.#lastSeq] = [false, -1];
    this.#lastNames = key;
    this.#firstDevice ??= names.device;
    this.#lastDevice = names.device;
  }

  #row(group: RowGroup, row: number, names: number): void {
    const place = group.placeHash(row);
    const isPlaced = group.isPlaced(row);
    const seq = group.seq[row]!;
    const isInOrder = isPlaced || (!this.#lastPlaced && seq >= this.#lastSeq);
    if (!isInOrder) throw new ParquetError(`its rows must be in order: seq ${seq} isn't`);
    [this.#lastPlaced, this.#lastSeq] = [isPlaced, seq];
    const need = group.bytesMax(row);
    if (need > this.#out.length) this.#out = new Uint8Array(2 * need);
    const end = group.write(row, this.#out, 0);
    const [recv, time] = [group.recv[row]!, group.time[row]!];
    this.#hash.add(names, place, recv, time, this.#out, 0, end);
    this.#textBytes += end;
    if (time < this.#minTimeUs) this.#minTimeUs = time;
    if (time > this.#maxTimeUs) this.#maxTimeUs = time;
    if (recv < this.#minRecvUs) this.#minRecvUs = recv;
    if (recv > this.#maxRecvUs) this.#maxRecvUs = recv;
  }
}
