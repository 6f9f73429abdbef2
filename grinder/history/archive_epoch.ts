/**
 * A manifest and a range of receive time to what of the archive is ground for it: as an epoch, whose
 * segments are the files, oldest first, and whose offsets are rows. So a reader's cursor says how far it
 * is; and the manifest, by its version in the epoch's name, says which files are meant.
 */
import type { Cursor, EpochName } from "../../shared/storage/storage.ts";
import { openArchiveFile } from "../archive/check_file.ts";
import type { ArchiveFile, Manifest } from "../archive/manifest.ts";
import { ParquetError, type RowGroup as GroupMeta } from "../archive/parquet/footer.ts";
import type { ParquetFile } from "../archive/parquet/parquet_file.ts";
import type { ArchivePlace } from "../archive/place.ts";
import { mayMatch } from "../archive/reader.ts";
import type { TimeRange } from "./time_range.ts";

/** A row group. */
export interface ArchivedGroup {
  file: ArchiveFile;
  parquet: ParquetFile;
  meta: GroupMeta;
  /** The file's number, and its row with which the group begins. */
  segment: number;
  firstRow: number;
  /** Whether the file's next group comes next. */
  goesOn: boolean;
  /** Whether nothing of the file comes behind it. */
  isLast: boolean;
}

export class ArchiveEpoch {
  readonly name: EpochName;
  readonly files: readonly ArchiveFile[];

  constructor(
    private readonly place: Pick<ArchivePlace, "read">,
    manifest: Manifest,
    private readonly range: TimeRange,
  ) {
    this.name = { receiver: receiverOf(manifest), epoch: `archive-v${manifest.version}` };
    this.files = manifest.files.filter(({ minRecvUs, maxRecvUs }) =>
      maxRecvUs >= range.sinceUs && minRecvUs < range.untilUs
    ).sort(inOrder);
  }

  /** The groups of one file that may have something of the range, from a row on. Throws `ParquetError`. */
  async groups(segment: number, fromRow = 0): Promise<ArchivedGroup[]> {
    const file = this.files[segment]!;
    const read = (offset: number, length: number) => this.place.read(file.path, offset, length);
    const parquet = await openArchiveFile(read, file.bytes);
    if (parquet.footer.rows !== file.rows) {
      throw new ParquetError(`it must have ${file.rows} rows: it has ${parquet.footer.rows}`);
    }
    const groups: ArchivedGroup[] = [];
    let firstRow = 0;
    for (const meta of parquet.footer.groups) {
      const isIn = mayMatch(meta, { ...this.range, by: "recv" });
      if (isIn && firstRow + meta.rows > fromRow) {
        groups.push({ file, parquet, meta, segment, firstRow, goesOn: false, isLast: false });
      }
      firstRow += meta.rows;
    }
    for (const [i, group] of groups.entries()) {
      group.goesOn = groups[i + 1]?.firstRow === group.firstRow + group.meta.rows;
      group.isLast = i === groups.length - 1;
    }
    return groups;
  }

  /** The files that are of one slot with the one at a cursor, from it on. */
  slotFrom({ segment }: Cursor): number[] {
    const slot = this.files[segment]?.slot;
    return this.files.flatMap((file, i) => i >= segment && file.slot === slot ? [i] : []);
  }
}

function inOrder(a: ArchiveFile, b: ArchiveFile): number {
  if (a.slot !== b.slot) return a.slot < b.slot ? -1 : 1;
  return a.partition - b.partition || a.minRecvUs - b.minRecvUs || (a.path < b.path ? -1 : 1);
}

/** Rows don't say which receiver took them; where there was but one, it is that. */
function receiverOf({ swaps }: Manifest): string {
  const epochs = Object.keys(swaps.at(-1)?.cursors ?? {});
  const receivers = new Set(epochs.map((key) => key.slice(0, key.indexOf("/"))));
  return receivers.size === 1 ? [...receivers][0]! : "archive";
}
