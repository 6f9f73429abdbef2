/**
 * An archive and a selection in, frames of text out, as segments have them: blocks, each with its header
 * line, and whole records (shared/block.ts). Whoever reads frames reads these like any other. One manifest
 * holds for the whole of it; files that can't match are known by the manifest, row groups by their own
 * statistics, and neither is read.
 *
 * A block is what stands together of one block as it was received: its header has the same names and
 * receive time, and numbers that are true of the records in it. Lines that have a place in the storage
 * come in frames of their own, which say where they stood.
 */
import { Buffer } from "node:buffer";
import { formatBlockHeader } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import type { Read } from "../../shared/segment_reader.ts";
import { StorageError } from "../../shared/storage/storage.ts";
import { openArchiveFile } from "./check_file.ts";
import { partitionOf } from "./columns.ts";
import type { ArchiveFile, Manifest } from "./manifest.ts";
import {
  ParquetError,
  type RowGroup as GroupMeta,
  statisticNumber,
  statisticText,
} from "./parquet/footer.ts";
import type { ParquetFile } from "./parquet/parquet_file.ts";
import type { ArchivePlace } from "./place.ts";
import { RowGroup } from "./row_group.ts";

export interface Selection {
  /** Unix microseconds: from ... up to but not including. */
  sinceUs?: number;
  untilUs?: number;
  /** Of writing, which is the default, or of receiving. */
  by?: "time" | "recv";
  /** All, if it isn't given. */
  devices?: ReadonlySet<string>;
}

/** A row group that may have something of a selection: what one worker takes at a time. */
export interface Piece {
  file: ArchiveFile;
  /** The row group's number in it. */
  group: number;
}

export interface ArchiveFrame {
  /** Its text is bytes[0, length). */
  bytes: Uint8Array;
  length: number;
  /** Where lines without a seq stood. */
  place?: { receiver: string; epoch: string; segment: number; offset: number };
}

/** Reading goes on without it. */
export interface BadFile {
  file: ArchiveFile;
  why: string;
}

const frameBytesMax = limits.frameTextBytesMax;
/** A record that filled a frame may stand behind a header that is a little longer. */
const bufferBytes = frameBytesMax + limits.headerBytesMax;

export class ArchiveReader {
  /** The last one: pieces of one file come together. */
  #open: { path: string; file: ParquetFile } | undefined;

  constructor(
    private readonly place: Pick<ArchivePlace, "read">,
    readonly manifest: Manifest,
    private readonly bad: (bad: BadFile) => void = () => {},
  ) {}

  /** What may match, in the order of the archive: hour by hour, partition by partition. */
  async *pieces(selection: Selection = {}): AsyncGenerator<Piece> {
    for (const file of this.#files(selection)) {
      const parquet = await this.#parquet(file);
      for (const [group, meta] of parquet?.footer.groups.entries() ?? []) {
        if (mayMatch(meta, selection)) yield { file, group };
      }
    }
  }

  /** Frames of all that matches; records that don't are in none. Throws `StorageError`. */
  async *frames(selection: Selection = {}): AsyncGenerator<ArchiveFrame> {
    for await (const piece of this.pieces(selection)) yield* await this.piece(piece, selection);
  }

  /** The frames of one piece. */
  async piece({ file, group }: Piece, selection: Selection = {}): Promise<Iterable<ArchiveFrame>> {
    try {
      const parquet = await this.#parquet(file);
      if (!parquet) return [];
      const rows = await RowGroup.read(parquet, parquet.footer.groups[group]!);
      return new FrameMaker(rows, selection).frames();
    } catch (error) {
      this.#refuse(file, error);
      return [];
    }
  }

  /** The same as `readNew` gives them: the archive is an epoch, and a file of it a segment. */
  async *reads(selection: Selection = {}): AsyncGenerator<Read> {
    const numbers = new Map(this.manifest.files.map(({ path }, i) => [path, i]));
    let [last, offset] = [-1, 0];
    for await (const piece of this.pieces(selection)) {
      const segment = numbers.get(piece.file.path)!;
      if (segment !== last) [last, offset] = [segment, 0];
      for (const { bytes, length, place } of await this.piece(piece, selection)) {
        const text = textOf(bytes, length);
        const at = { receiver: "archive", epoch: `v${this.manifest.version}`, segment, offset };
        yield { ...at, ...place, length, text, next: { segment, offset: offset + length } };
        offset += length;
      }
    }
  }

  #files(
    { sinceUs = -Infinity, untilUs = Infinity, by = "time", devices }: Selection,
  ): ArchiveFile[] {
    const { partitions, files } = this.manifest;
    const wanted = devices &&
      new Set([...devices].map((device) => partitionOf(device, partitions)));
    return files.filter((file) => {
      const [min, max] = by === "time"
        ? [file.minTimeUs, file.maxTimeUs]
        : [file.minRecvUs, file.maxRecvUs];
      return max >= sinceUs && min < untilUs && (!wanted || wanted.has(file.partition));
    });
  }

  async #parquet(file: ArchiveFile): Promise<ParquetFile | undefined> {
    if (this.#open?.path === file.path) return this.#open.file;
    try {
      const read = (offset: number, length: number) => this.place.read(file.path, offset, length);
      const parquet = await openArchiveFile(read, file.bytes);
      if (parquet.footer.rows !== file.rows) {
        throw new ParquetError(`it must have ${file.rows} rows: it has ${parquet.footer.rows}`);
      }
      this.#open = { path: file.path, file: parquet };
      return parquet;
    } catch (error) {
      this.#refuse(file, error);
      return undefined;
    }
  }

  /** A storage that gives nothing now says nothing about the file. */
  #refuse(file: ArchiveFile, error: unknown): void {
    if (error instanceof StorageError) throw error;
    this.bad({ file, why: `Cannot read ${file.path}: ${(error as Error).message}` });
  }
}

export function mayMatch({ columns }: GroupMeta, selection: Selection): boolean {
  const { sinceUs = -Infinity, untilUs = Infinity, by = "time", devices } = selection;
  const time = columns.get(by);
  const [min, max] = [statisticNumber(time?.min), statisticNumber(time?.max)];
  if ((max ?? Infinity) < sinceUs || (min ?? -Infinity) >= untilUs) return false;
  const device = columns.get("device");
  const [first, last] = [statisticText(device?.min), statisticText(device?.max)];
  if (!devices || first === undefined || last === undefined) return true;
  return [...devices].some((name) => name >= first && name <= last);
}

/** The rows of a group that match, as frames. */
class FrameMaker {
  #frame = new Uint8Array(bufferBytes);
  #length = 0;

  readonly #times: Float64Array;
  readonly #sinceUs: number;
  readonly #untilUs: number;
  /** No time is asked for. */
  readonly #all: boolean;
  readonly #devices: ReadonlySet<string> | undefined;

  constructor(private readonly group: RowGroup, selection: Selection) {
    const { sinceUs = -Infinity, untilUs = Infinity, by = "time", devices } = selection;
    this.#times = group[by];
    this.#sinceUs = sinceUs;
    this.#untilUs = untilUs;
    this.#all = sinceUs === -Infinity && untilUs === Infinity;
    this.#devices = devices;
  }

  *frames(): Generator<ArchiveFrame> {
    const { group } = this;
    const devices = this.#devices;
    for (let row = 0; row < group.rows;) {
      const end = group.streamEnd(row);
      const isWanted = !devices || devices.has(group.device(row));
      if (isWanted) yield* this.#stream(row, end);
      row = end;
    }
    yield* this.#flush();
  }

  *#stream(start: number, end: number): Generator<ArchiveFrame> {
    const { group } = this;
    const names = group.names(start);
    for (let row = start; row < end;) {
      if (!this.#matches(row)) row++;
      else if (group.isPlaced(row)) {
        yield* this.#flush();
        row = this.#block(names, row, end);
        const { receiver, epoch, segment, frame } = group.place(row - 1)!;
        const place = { receiver, epoch, segment, offset: frame };
        for (const made of this.#flush()) yield { ...made, place };
      } else {
        const next = this.#block(names, row, end);
        if (next === row) yield* this.#flush();
        row = next;
      }
    }
  }

  /**
   * Puts the block that begins at `row` into the frame, as much as there is room for; gives the row
   * behind it: the same if there is no room.
   */
  #block(names: ReturnType<RowGroup["names"]>, row: number, end: number): number {
    const { group } = this;
    let room = frameBytesMax - this.#length - limits.headerBytesMax;
    const recvUs = group.recv[row]!;
    const place = group.isPlaced(row) ? placeOf(group, row) : undefined;
    let [next, first, last, count] = [row, 0, 0, 0];
    for (; next < end && group.recv[next] === recvUs && this.#matches(next); next++) {
      if (group.isPlaced(next) !== (place !== undefined)) break;
      if (place !== undefined && placeOf(group, next) !== place) break;
      room -= group.bytesMax(next);
      // One row alone always fits an empty frame.
      if (room < 0 && (this.#length > 0 || next > row)) break;
      if (place !== undefined || !group.isOrdinary(next)) continue;
      const seq = group.seq[next]!;
      if (count++ === 0) first = seq;
      last = seq;
    }
    if (next > row) this.#write({ ...names, recvUs, first, last, count }, row, next);
    return next;
  }

  #write(header: Parameters<typeof formatBlockHeader>[0], row: number, end: number): void {
    const line = formatBlockHeader(header);
    const frame = this.#frame;
    let at = this.#length;
    for (let i = 0; i < line.length; i++) frame[at++] = line.charCodeAt(i);
    for (let next = row; next < end; next++) at = this.group.write(next, frame, at);
    this.#length = at;
  }

  *#flush(): Generator<ArchiveFrame> {
    if (this.#length === 0) return;
    const [bytes, length] = [this.#frame, this.#length];
    // Whoever takes it may keep it.
    this.#frame = new Uint8Array(bufferBytes);
    this.#length = 0;
    yield { bytes, length };
  }

  #matches(row: number): boolean {
    if (this.#all) return true;
    const us = this.#times[row]!;
    return us >= this.#sinceUs && us < this.#untilUs;
  }
}

function placeOf(group: RowGroup, row: number): string {
  const { receiver, epoch, segment, frame } = group.place(row)!;
  return `${receiver}/${epoch}/${segment} ${frame}`;
}

function textOf(bytes: Uint8Array, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("latin1");
}
