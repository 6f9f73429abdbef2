/**
 * The storage seam: where segments live. The local folder and S3 are its two implementations; both
 * pass contract.ts.
 *
 *     segments/RECEIVER/EPOCH/NNNNNNNN.zst     zstd frames (zstd.ts) of blocks (block.ts)
 *     segments/RECEIVER/EPOCH/committed        lines `NNNNNNNN LENGTH[ end]`, of which the last counts
 *
 * EPOCH is new at each start of a receiver: sortable time, then random. Segments count from 0 without
 * holes, from the first on that retention has left. Every frame begins with a header line. The last
 * frame of a closed segment is the line `#end`. `committed` names the newest segment and how much of
 * it is durable; ` end` says that the receiver stopped of its own will and nothing will follow.
 */
export interface EpochName {
  receiver: string;
  epoch: string;
}

/** A stretch of one segment that may be read: everything in it has been committed. */
export interface Extent extends EpochName {
  segment: number;
  /** Committed bytes from the segment's beginning. */
  length: number;
  /** Nothing will be added to this segment. */
  final: boolean;
}

/** Where a reader stands in an epoch. */
export interface Cursor {
  segment: number;
  offset: number;
}

export type Cursors = ReadonlyMap<string, Cursor>;

/** How a storage wants its commits. */
export interface Pace {
  /** A batch of less text than `batchBytes` waits so long for company after the last one began. */
  companyMs: number;
  batchBytes: number;
  /** Commits that may run at a time. */
  parallel: number;
}

/** One receiver process's own end of the storage. Nobody else writes to its epoch. */
export interface EpochWriter extends EpochName {
  readonly pace: Pace;
  /**
   * Appends frames. When it resolves they are durable and visible to readers, and so is all before
   * them. When it rejects (`StorageError`) they may be neither; the next commit starts afresh in a
   * new segment. With no frames it only closes a segment that is old. At most `pace.parallel` at a
   * time, which settle in the order in which they were called.
   */
  commit(frames: Uint8Array[]): Promise<void>;
  /** Resolves if the storage would take a commit now; called after one has failed, not beside one. */
  probe(): Promise<void>;
  /** Closes the segment with `#end` and the epoch with it. */
  close(): Promise<void>;
}

export interface Storage {
  createEpoch(receiver: string): Promise<EpochWriter>;
  /**
   * What can be read beyond the cursors (keys by `epochKey`), in order: by epoch, then by segment. An
   * epoch without a cursor is read from its beginning. Extents may be listed that are read to their end.
   */
  list(after: Cursors): Promise<Extent[]>;
  /** `length` bytes of a segment from `offset`, fewer where it ends. The caller owns them. */
  read(at: EpochName & { segment: number }, offset: number, length: number): Promise<Uint8Array>;
  /** Calls `news` soon after something may have been committed; may miss some: poll as well. */
  watch(news: () => void): Disposable;
}

/** The storage can't take or give data now; it says nothing about the data. Always worth a retry. */
export class StorageError extends Error {
  override name = "StorageError";
  readonly code = "storage";
  readonly status = 503;
}

export function epochKey(name: EpochName): string {
  return `${name.receiver}/${name.epoch}`;
}

export function segmentPath(at: EpochName & { segment: number }): string {
  return `segments/${at.receiver}/${at.epoch}/${String(at.segment).padStart(8, "0")}.zst`;
}

/** `20261122T202134.123Z-9f3c2a71`: sorts by time; two starts in one millisecond still differ. */
export function newEpoch(nowMs: number, random: () => number): string {
  const time = new Date(nowMs).toISOString().replaceAll(/[-:]/g, "");
  const tail = Math.floor(random() * 0x1_0000_0000).toString(16).padStart(8, "0");
  return `${time}-${tail}`;
}

export interface Committed {
  segment: number;
  length: number;
  ended: boolean;
}

export function formatCommitted(c: Committed): string {
  return `${String(c.segment).padStart(8, "0")} ${c.length}${c.ended ? " end" : ""}\n`;
}

/** Reads the file `committed`; undefined if it is torn or not there yet. */
export function parseCommitted(text: string): Committed | undefined {
  const match = /^(\d{8,}) (\d{1,15})( end)?\n$/.exec(text);
  if (!match) return undefined;
  return { segment: Number(match[1]), length: Number(match[2]), ended: match[3] !== undefined };
}
