/**
 * A storage that holds what was received in a range of time, as far as it is there when it is opened:
 * whoever reads storages reads this one like any other. What is archived is only given when it is asked
 * for by its place (archive_epoch.ts), as frames; it isn't in the list.
 */
import { Buffer } from "node:buffer";
import {
  type Cursor,
  type Cursors,
  epochKey,
  type EpochName,
  type EpochWriter,
  type Extent,
  type Storage,
} from "../../shared/storage/storage.ts";
import { compressFrame } from "../../shared/zstd.ts";
import type { ArchiveFile } from "../archive/manifest.ts";
import type { ArchiveReader } from "../archive/reader.ts";
import type { ArchiveEpoch } from "./archive_epoch.ts";
import { type Progress, selectExtents } from "./select_frames.ts";
import type { TimeRange } from "./time_range.ts";

export interface SelectedOptions {
  storage: Storage;
  /** Where each epoch begins: all before is in the archive. */
  from?: Cursors;
  archive?: { epoch: ArchiveEpoch; reader: ArchiveReader };
  progress?: ((progress: Progress) => void) | undefined;
}

/** What a segment holds of text: what is left to do is told by that. Measured: 4.5 to 5.5. */
const textOfHotByte = 5;

export class SelectedStorage implements Storage {
  readonly storedBytesTotal: number;
  readonly #textBytesTotal: number;
  /** How far each segment has been read: some stretches are read twice. */
  readonly #read = new Map<string, number>();
  #storedBytes = 0;
  #textBytes = 0;
  /** The frames that were asked for last: boots that died together stand together. */
  #archived = { key: "", frames: Buffer.alloc(0) };

  private constructor(
    private readonly options: SelectedOptions,
    private readonly extents: Extent[],
  ) {
    const files = this.archive?.files ?? [];
    const hotBytes = extents.reduce((sum, { length }) => sum + length, 0);
    this.storedBytesTotal = files.reduce((sum, { bytes }) => sum + bytes, hotBytes);
    this.#textBytesTotal = files.reduce(
      (sum, { textBytes }) => sum + textBytes,
      hotBytes * textOfHotByte,
    );
  }

  /** Whole segments are selected: at the edges there are blocks of other times. Throws `StorageError`. */
  static async open(options: SelectedOptions, range: TimeRange): Promise<SelectedStorage> {
    const { storage, from = new Map() } = options;
    const hot = (await storage.list(from)).filter((extent) =>
      extent.segment >= (from.get(epochKey(extent))?.segment ?? 0)
    );
    const readable = { list: () => Promise.resolve(hot), read: storage.read.bind(storage) };
    return new SelectedStorage(options, await selectExtents(readable, range));
  }

  get archive(): ArchiveEpoch | undefined {
    return this.options.archive?.epoch;
  }

  /** Where reading begins in segments of which a part is archived. */
  get starts(): Map<string, Cursor> {
    const starts = new Map<string, Cursor>();
    for (const extent of this.extents) {
      const from = this.options.from?.get(epochKey(extent));
      if (from?.segment === extent.segment && from.offset > 0) starts.set(epochKey(extent), from);
    }
    return starts;
  }

  list(after: Cursors): Promise<Extent[]> {
    const isNew = (extent: Extent) => {
      const cursor = after.get(epochKey(extent));
      return !cursor || extent.segment >= cursor.segment;
    };
    return Promise.resolve(this.extents.filter(isNew));
  }

  async read(
    at: EpochName & { segment: number },
    offset: number,
    length: number,
  ): Promise<Uint8Array> {
    if (this.archive && epochKey(at) === epochKey(this.archive.name)) {
      return this.#readArchived(at.segment, offset);
    }
    const bytes = await this.options.storage.read(at, offset, length);
    this.#note(`${epochKey(at)} ${at.segment}`, offset + bytes.length, textOfHotByte);
    return bytes;
  }

  /** So much of an archive file has been read. */
  done({ path, bytes, textBytes }: ArchiveFile, share: number): void {
    this.#note(path, share * bytes, textBytes / bytes);
  }

  /** Nothing comes any more. */
  watch(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }

  createEpoch(): Promise<EpochWriter> {
    return Promise.reject(new TypeError("a selection of what is stored takes nothing in"));
  }

  async #readArchived(segment: number, row: number): Promise<Uint8Array> {
    const key = `${segment} ${row}`;
    if (this.#archived.key !== key) {
      const { epoch, reader } = this.options.archive!;
      const groups = await epoch.groups(segment);
      const group = groups.find(({ firstRow }) => firstRow === row)!;
      const piece = { file: group.file, group: group.parquet.footer.groups.indexOf(group.meta) };
      const frames = [...await reader.piece(piece)].map(({ bytes, length }) =>
        compressFrame(Buffer.from(bytes.buffer, bytes.byteOffset, length))
      );
      this.#archived = { key, frames: Buffer.concat(frames) };
    }
    return this.#archived.frames;
  }

  /** Reading is at `end`; each byte holds so much text. */
  #note(key: string, end: number, text: number): void {
    const before = this.#read.get(key) ?? 0;
    if (end <= before) return;
    this.#read.set(key, end);
    this.#storedBytes += end - before;
    this.#textBytes += (end - before) * text;
    const share = Math.min(1, this.#textBytes / this.#textBytesTotal);
    const storedBytes = Math.min(Math.round(this.#storedBytes), this.storedBytesTotal);
    this.options.progress?.({ storedBytes, storedBytesTotal: this.storedBytesTotal, share });
  }
}
