/** A local folder as storage (see storage.ts for the layout and the guarantees). */
import { Buffer } from "node:buffer";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  watch,
  writeFileSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { endText } from "../block.ts";
import { limits } from "../limits.ts";
import { compressFrame } from "../zstd.ts";
import {
  type Committed,
  type Cursors,
  epochKey,
  type EpochName,
  type EpochWriter,
  type Extent,
  formatCommitted,
  newEpoch,
  parseCommitted,
  segmentPath,
  type Storage,
  StorageError,
} from "./storage.ts";

export interface FolderOptions {
  nowMs?: () => number;
  random?: () => number;
  /** How a segment is opened for writing; tests put a disk that fails here. */
  openFile?: (path: string, flags: string) => Promise<FileHandle>;
}

export class FolderStorage implements Storage {
  readonly root: string;
  readonly #nowMs: () => number;
  /** Epochs that have ended don't change: their `committed` is read once. */
  readonly #ended = new Map<string, Committed>();

  constructor(root: string, private readonly options: FolderOptions = {}) {
    this.root = resolve(root);
    this.#nowMs = options.nowMs ?? Date.now;
  }

  createEpoch(receiver: string): Promise<EpochWriter> {
    const epoch = newEpoch(this.#nowMs(), this.options.random ?? Math.random);
    try {
      const folder = join(this.root, "segments", receiver, epoch);
      mkdirSync(folder, { recursive: true });
      publish(folder, { segment: 0, length: 0, ended: false });
      for (let dir = folder; dir !== dirname(this.root); dir = dirname(dir)) syncFolder(dir);
      return Promise.resolve(new FolderEpoch(this.root, { receiver, epoch }, this.options));
    } catch (error) {
      return Promise.reject(storageError(`create an epoch in ${this.root}`, error));
    }
  }

  list(after: Cursors): Promise<Extent[]> {
    try {
      return Promise.resolve(this.#epochs().flatMap((name) => this.#extents(name, after)));
    } catch (error) {
      return Promise.reject(storageError(`list ${this.root}`, error));
    }
  }

  async read(
    at: EpochName & { segment: number },
    offset: number,
    length: number,
  ): Promise<Uint8Array> {
    try {
      const file = await open(join(this.root, segmentPath(at)), "r");
      try {
        const bytes = Buffer.allocUnsafe(length);
        let got = 0;
        while (got < length) {
          const { bytesRead } = await file.read(bytes, got, length - got, offset + got);
          if (bytesRead === 0) break;
          got += bytesRead;
        }
        return bytes.subarray(0, got);
      } finally {
        await file.close();
      }
    } catch (error) {
      throw storageError(`read ${segmentPath(at)}`, error);
    }
  }

  watch(news: () => void): Disposable {
    const folder = join(this.root, "segments");
    mkdirSync(folder, { recursive: true });
    const watcher = watch(folder, { recursive: true }, (_event, file) => {
      if (file === null || String(file).endsWith("committed")) news();
    });
    watcher.on("error", () => {}); // The caller's poll is the net under it.
    return { [Symbol.dispose]: () => watcher.close() };
  }

  #epochs(): EpochName[] {
    const names: EpochName[] = [];
    for (const receiver of listFolder(join(this.root, "segments"))) {
      for (const epoch of listFolder(join(this.root, "segments", receiver))) {
        names.push({ receiver, epoch });
      }
    }
    const key = (n: EpochName) => `${n.epoch} ${n.receiver}`;
    return names.sort((a, b) => key(a) < key(b) ? -1 : 1);
  }

  #extents(name: EpochName, after: Cursors): Extent[] {
    const key = epochKey(name);
    const from = after.get(key) ?? { segment: 0, offset: 0 };
    const known = this.#ended.get(key);
    if (known && from.segment > known.segment) return [];
    const folder = join(this.root, "segments", name.receiver, name.epoch);
    const committed = known ?? readCommitted(folder);
    if (committed?.ended) this.#ended.set(key, committed);
    const segments = segmentFiles(folder, from.segment);
    const silent = !committed?.ended && this.#silent(folder, segments);
    const newest = committed ?? { segment: -1, length: 0, ended: false };
    const extents: Extent[] = [];
    for (const { segment, size } of segments) {
      // What lies behind the committed length may yet be cut off, unless nobody writes any more.
      const open = segment === newest.segment && !newest.ended;
      if (segment > newest.segment && !silent) break;
      extents.push({
        ...name,
        segment,
        length: open && !silent ? Math.min(newest.length, size) : size,
        final: segment < newest.segment || newest.ended,
      });
    }
    return extents;
  }

  /** Segments count as well: the first commit after a long quiet may be half written just now. */
  #silent(folder: string, segments: SegmentFile[]): boolean {
    const changedMs = [statOf(join(folder, "committed")), ...segments].map((s) => s.changedMs);
    return this.#nowMs() - Math.max(...changedMs) > limits.epochSilentMs;
  }
}

class FolderEpoch implements EpochWriter {
  readonly receiver: string;
  readonly epoch: string;
  readonly #folder: string;
  readonly #nowMs: () => number;
  readonly #openFile: (path: string, flags: string) => Promise<FileHandle>;
  #file: FileHandle | undefined;
  #segment = 0;
  /** Bytes of the open segment that are durable and published. */
  #committed = 0;
  #openedMs = 0;

  constructor(private readonly root: string, name: EpochName, options: FolderOptions) {
    this.receiver = name.receiver;
    this.epoch = name.epoch;
    this.#folder = join(root, "segments", name.receiver, name.epoch);
    this.#nowMs = options.nowMs ?? Date.now;
    this.#openFile = options.openFile ?? open;
  }

  async commit(frames: Uint8Array[]): Promise<void> {
    const bytes = Buffer.concat(frames);
    try {
      if (this.#file && this.#due(bytes.length)) await this.#closeSegment();
      if (bytes.length === 0) return;
      const file = this.#file ?? await this.#openSegment();
      const length = await this.#append(file, bytes);
      publish(this.#folder, { segment: this.#segment, length, ended: false });
      this.#committed = length;
    } catch (error) {
      const failed = segmentPath({ ...this, segment: this.#segment });
      await this.#abandonSegment();
      throw storageError(`write ${failed}`, error);
    }
  }

  async close(): Promise<void> {
    try {
      if (this.#file) await this.#closeSegment();
      // The epoch ends with the last segment that has anything in it; an unopened one isn't named.
      const last = Math.max(0, this.#segment - 1);
      const path = join(this.root, segmentPath({ ...this, segment: last }));
      const length = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
      publish(this.#folder, { segment: last, length, ended: true });
      syncFolder(this.#folder);
    } catch (error) {
      await this.#abandonSegment();
      throw storageError(`close ${epochKey(this)}`, error);
    }
  }

  #due(more: number): boolean {
    return this.#committed + more > limits.segmentBytesMax ||
      this.#nowMs() - this.#openedMs > limits.segmentAgeMsMax;
  }

  async #openSegment(): Promise<FileHandle> {
    // "w", not "wx": a number whose first write failed is used again.
    const path = join(this.root, segmentPath({ ...this, segment: this.#segment }));
    // Kept at once: if what follows fails, it has to be closed.
    this.#file = await this.#openFile(path, "w");
    this.#committed = 0;
    this.#openedMs = this.#nowMs();
    syncFolder(this.#folder);
    return this.#file;
  }

  /** Returns the length up to which the segment is durable now. */
  async #append(file: FileHandle, bytes: Uint8Array): Promise<number> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await file.write(
        bytes,
        done,
        bytes.length - done,
        this.#committed + done,
      );
      done += bytesWritten;
    }
    await file.datasync();
    return this.#committed + bytes.length;
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
      const path = join(this.root, segmentPath({ ...this, segment: this.#segment }));
      try {
        unlinkSync(path);
      } catch {
        // It is opened with "w" next time.
      }
    }
    this.#committed = 0;
  }
}

/** Readers see the old word or the new one, never half of one. */
function publish(folder: string, committed: Committed): void {
  const path = join(folder, "committed");
  writeFileSync(`${path}.tmp`, formatCommitted(committed));
  renameSync(`${path}.tmp`, path);
}

function readCommitted(folder: string): Committed | undefined {
  try {
    return parseCommitted(readFileSync(join(folder, "committed"), "utf8"));
  } catch {
    return undefined;
  }
}

interface SegmentFile {
  segment: number;
  size: number;
  changedMs: number;
}

/** The segments from number `from` on, in order. */
function segmentFiles(folder: string, from: number): SegmentFile[] {
  return listFolder(folder)
    .filter((file) => /^\d{8,}\.zst$/.test(file) && parseInt(file) >= from)
    .map((file) => ({ segment: parseInt(file), ...statOf(join(folder, file)) }))
    .sort((a, b) => a.segment - b.segment);
}

/** What isn't there has no size and has never changed. */
function statOf(path: string): { size: number; changedMs: number } {
  try {
    const { size, mtimeMs } = statSync(path);
    return { size, changedMs: mtimeMs };
  } catch {
    return { size: 0, changedMs: 0 };
  }
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}

function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function storageError(what: string, cause: unknown): StorageError {
  return new StorageError(`Cannot ${what}: ${(cause as Error).message}`, { cause });
}
