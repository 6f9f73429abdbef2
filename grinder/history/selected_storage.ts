/**
 * A storage that holds what was received in a range of time, as far as it is there when it is opened:
 * whoever reads storages reads this one like any other.
 */
import {
  type Cursors,
  epochKey,
  type EpochName,
  type EpochWriter,
  type Extent,
  type Storage,
} from "../../shared/storage/storage.ts";
import { type Progress, selectExtents } from "./select_frames.ts";
import type { TimeRange } from "./time_range.ts";

export class SelectedStorage implements Storage {
  readonly storedBytesTotal: number;
  /** How far each segment has been read: some stretches are read twice. */
  readonly #read = new Map<string, number>();
  #storedBytes = 0;

  private constructor(
    private readonly storage: Storage,
    private readonly extents: Extent[],
    private readonly progress: (progress: Progress) => void,
  ) {
    this.storedBytesTotal = extents.reduce((sum, { length }) => sum + length, 0);
  }

  /** Whole segments are selected: at the edges there are blocks of other times. Throws `StorageError`. */
  static async open(
    storage: Storage,
    range: TimeRange,
    progress: (progress: Progress) => void = () => {},
  ): Promise<SelectedStorage> {
    return new SelectedStorage(storage, await selectExtents(storage, range), progress);
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
    const bytes = await this.storage.read(at, offset, length);
    this.#note(`${epochKey(at)} ${at.segment}`, offset + bytes.length);
    return bytes;
  }

  /** Nothing comes any more. */
  watch(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }

  createEpoch(): Promise<EpochWriter> {
    return Promise.reject(new TypeError("a selection of what is stored takes nothing in"));
  }

  #note(key: string, end: number): void {
    const before = this.#read.get(key) ?? 0;
    if (end <= before) return;
    this.#read.set(key, end);
    this.#storedBytes += end - before;
    this.progress({ storedBytes: this.#storedBytes, storedBytesTotal: this.storedBytesTotal });
  }
}
