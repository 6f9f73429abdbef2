/** Frames in, durable segments of one epoch in a local folder out (see storage.ts for the layout). */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { existsSync, statSync, unlinkSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { endText } from "../block.ts";
import { limits } from "../limits.ts";
import { compressFrame } from "../zstd.ts";
import { CommittedFile } from "./folder_committed.ts";
import { epochFolder, makeFolder, segmentFile, storageError, syncFolder } from "./folder_files.ts";
import { demandRoom, type Space, spaceOf, usualReserve } from "./folder_room.ts";
import { epochKey, type EpochName, type EpochWriter, segmentPath } from "./storage.ts";

export interface FolderOptions {
  nowMs?: () => number;
  random?: () => number;
  /** How a segment is opened for writing; tests put a disk that fails here. */
  openFile?: (path: string, flags: string) => Promise<FileHandle>;
  /** Commits leave so much of the disk free (default: `usualReserve`). */
  reserveBytes?: number;
  /** How much room there is on a folder's disk; tests say what they like. */
  spaceOf?: (folder: string) => Space;
}

export class FolderEpoch implements EpochWriter {
  readonly pace = { companyMs: limits.companyMs, batchBytes: limits.smallBatchBytes, parallel: 1 };
  readonly receiver: string;
  readonly epoch: string;
  readonly #folder: string;
  readonly #published: CommittedFile;
  readonly #nowMs: () => number;
  readonly #openFile: (path: string, flags: string) => Promise<FileHandle>;
  #file: FileHandle | undefined;
  #segment = 0;
  /** Bytes of the open segment that are durable and published. */
  #committed = 0;
  #openedMs = 0;
  /** The largest batch since the last one that could be written. */
  #refusedBytes = 0;

  private constructor(
    private readonly root: string,
    name: EpochName,
    private readonly options: FolderOptions,
  ) {
    this.receiver = name.receiver;
    this.epoch = name.epoch;
    this.#folder = epochFolder(root, name);
    this.#published = new CommittedFile(this.#folder);
    this.#nowMs = options.nowMs ?? Date.now;
    this.#openFile = options.openFile ?? open;
  }

  /** Makes the epoch's folder; it is durable then. */
  static create(root: string, name: EpochName, options: FolderOptions): FolderEpoch {
    const epoch = new FolderEpoch(root, name, options);
    makeFolder(root, epoch.#folder);
    epoch.#published.publish({ segment: 0, length: 0, ended: false });
    return epoch;
  }

  async commit(frames: Uint8Array[]): Promise<void> {
    const bytes = frames.length === 1 ? frames[0]! : Buffer.concat(frames);
    // Closing comes first, whether or not there is room: only closed segments can be deleted.
    if (this.#file && this.#due(bytes.length)) await this.#orAbandon(() => this.#closeSegment());
    if (bytes.length === 0) return;
    this.#refusedBytes = Math.max(this.#refusedBytes, bytes.length);
    this.#demandRoom(() => bytes.length);
    await this.#orAbandon(() => this.#write(bytes));
    this.#refusedBytes = 0;
  }

  /**
   * Does what a commit does, with a file that has no name any more: nothing is left of it, even if
   * the process is killed in between. So as not to go to and fro it wants more room: for what was
   * refused, but at most as much again as the reserve, since on a small disk that may never be there.
   */
  async probe(): Promise<void> {
    this.#demandRoom((reserveBytes) =>
      limits.probeBytes +
      Math.min(Math.max(reserveBytes / limits.probeShare, this.#refusedBytes), reserveBytes)
    );
    try {
      this.#restoreFolder();
      const path = join(this.#folder, "probe.tmp");
      const file = await this.#openFile(path, "w");
      try {
        unlinkSync(path);
        await writeAll(file, randomBytes(limits.probeBytes), 0);
        await file.datasync();
      } finally {
        await file.close();
      }
      syncFolder(this.#folder);
    } catch (error) {
      throw storageError(`write in ${this.#folder}`, error);
    }
  }

  async close(): Promise<void> {
    try {
      if (this.#file) await this.#closeSegment();
      // Deleted, since nothing came for so long: there is nothing to end.
      if (!existsSync(this.#folder)) return;
      // The epoch ends with the last segment that has anything in it; an unopened one isn't named.
      const last = Math.max(0, this.#segment - 1);
      const length = statSync(this.#pathOf(last), { throwIfNoEntry: false })?.size ?? 0;
      this.#published.publish({ segment: last, length, ended: true });
      syncFolder(this.#folder);
    } catch (error) {
      await this.#abandonSegment();
      throw storageError(`close ${epochKey(this)}`, error);
    }
  }

  #pathOf(segment: number): string {
    return segmentFile(this.root, { ...this, segment });
  }

  #due(more: number): boolean {
    return this.#committed + more > limits.segmentBytesMax ||
      this.#nowMs() - this.#openedMs > limits.segmentAgeMsMax;
  }

  /** The open segment has nothing to do with it, and stays open. */
  #demandRoom(moreBytes: (reserveBytes: number) => number): void {
    try {
      const space = (this.options.spaceOf ?? spaceOf)(this.root);
      const reserveBytes = this.options.reserveBytes ?? usualReserve(space);
      demandRoom(space, reserveBytes, moreBytes(reserveBytes));
    } catch (error) {
      throw storageError(`write in ${this.#folder}`, error);
    }
  }

  async #orAbandon(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const failed = segmentPath({ ...this, segment: this.#segment });
      await this.#abandonSegment();
      throw storageError(`write ${failed}`, error);
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const file = this.#file ?? await this.#openSegment();
    const length = await this.#append(file, bytes);
    this.#published.publish({ segment: this.#segment, length, ended: false });
    this.#committed = length;
  }

  async #openSegment(): Promise<FileHandle> {
    this.#restoreFolder();
    // "w", not "wx": a number whose first write failed is used again.
    // Kept at once: if what follows fails, it has to be closed.
    this.#file = await this.#openFile(this.#pathOf(this.#segment), "w");
    this.#committed = 0;
    this.#openedMs = this.#nowMs();
    // Before the first acknowledgement: a file is lost in a power cut whose entry isn't on disk.
    syncFolder(this.#folder);
    return this.#file;
  }

  /**
   * Somebody deleted the folder; what comes from now on can be stored all the same. But where nothing
   * is left at all the disk isn't mounted, and what is written now would be hidden once it is.
   */
  #restoreFolder(): void {
    if (existsSync(this.#folder)) return;
    const segments = join(this.root, "segments");
    if (!existsSync(segments)) throw new Error(`${segments} must be there: is its disk mounted?`);
    makeFolder(this.root, this.#folder);
  }

  /** Returns the length up to which the segment is durable now. */
  async #append(file: FileHandle, bytes: Uint8Array): Promise<number> {
    const length = this.#committed + bytes.length;
    await writeAll(file, bytes, this.#committed);
    await file.datasync();
    // A deleted file takes writes as well; it would be acknowledged, and gone.
    const size = statSync(this.#pathOf(this.#segment), { throwIfNoEntry: false })?.size;
    if (size === undefined || size < length) {
      throw new Error(`its file must have ${length} bytes: it has ${size ?? "been deleted"}`);
    }
    return length;
  }

  async #closeSegment(): Promise<void> {
    const file = this.#file!;
    await this.#append(file, compressFrame(Buffer.from(endText)));
    this.#file = undefined;
    this.#segment++;
    this.#committed = 0;
    await file.close();
  }

  /**
   * After a failure nothing of the segment is trusted that wasn't synced before: it is cut back to its
   * committed length and never written again. One without anything committed leaves no hole behind.
   */
  async #abandonSegment(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (!file) return;
    // Readers take what stands behind the committed length for a repetition, if it can't be cut off.
    await file.truncate(this.#committed).catch(() => {});
    await file.close().catch(() => {});
    if (this.#committed > 0) this.#segment++;
    else {
      try {
        unlinkSync(this.#pathOf(this.#segment));
      } catch {
        // It is opened with "w" next time.
      }
    }
    this.#committed = 0;
  }
}

/** A write may take a part, and is asked again for the rest. */
async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}
