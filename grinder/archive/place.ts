/**
 * Where archives live: beside the segments, in the folder or in the bucket. Paths are below the data's
 * root, with slashes. Two implementations, place_folder.ts and place_s3.ts; both pass place_contract.ts.
 */
export interface StoredFile {
  path: string;
  bytes: number;
}

export interface ArchivePlace {
  /** Takes a local file over: it is durable when this resolves. Never over another. */
  put(path: string, localFile: string): Promise<void>;
  /**
   * Stores a text under a path that has none: durable, whole or not at all. False if there is one. This is
   * what decides between two archivers, so it must hold for all who write.
   */
  putNew(path: string, text: string): Promise<boolean>;
  /** Fewer bytes where it ends; none where there is nothing. */
  read(path: string, offset: number, length: number): Promise<Uint8Array>;
  /** What is below a folder, at any depth, in the order of paths. */
  list(folder: string): Promise<StoredFile[]>;
  /** Fine if it is gone already. */
  remove(path: string): Promise<void>;
}

/** The archive isn't as it must be, or can't be changed as asked: in words for the operator. */
export class ArchiveError extends Error {
  override name = "ArchiveError";
  readonly code = "archive";
}
