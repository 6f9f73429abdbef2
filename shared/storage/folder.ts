/** A local folder as storage (see storage.ts for the layout and the guarantees). */
import { Buffer } from "node:buffer";
import { mkdirSync, watch } from "node:fs";
import { open } from "node:fs/promises";
import { join, resolve } from "node:path";
import { limits } from "../limits.ts";
import { FolderEpoch, type FolderOptions } from "./folder_epoch.ts";
import {
  epochFolder,
  listEpochs,
  listSegments,
  readCommitted,
  segmentFile,
  statOf,
  storageError,
} from "./folder_files.ts";
import {
  type Committed,
  type Cursors,
  epochKey,
  type EpochName,
  type EpochWriter,
  type Extent,
  newEpoch,
  segmentPath,
  type Storage,
} from "./storage.ts";

export type { FolderOptions } from "./folder_epoch.ts";

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
      return Promise.resolve(FolderEpoch.create(this.root, { receiver, epoch }, this.options));
    } catch (error) {
      return Promise.reject(storageError(`create an epoch in ${this.root}`, error));
    }
  }

  list(after: Cursors): Promise<Extent[]> {
    try {
      return Promise.resolve(listEpochs(this.root).flatMap((name) => this.#extents(name, after)));
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
      const file = await open(segmentFile(this.root, at), "r");
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

  #extents(name: EpochName, after: Cursors): Extent[] {
    const key = epochKey(name);
    const from = after.get(key) ?? { segment: 0, offset: 0 };
    const known = this.#ended.get(key);
    if (known && from.segment > known.segment) return [];
    const folder = epochFolder(this.root, name);
    const committed = known ?? readCommitted(folder);
    if (committed?.ended) this.#ended.set(key, committed);
    // From the lowest that is there: those before it may have been deleted.
    const segments = listSegments(folder, from.segment)
      .map((segment) => ({ segment, ...statOf(segmentFile(this.root, { ...name, segment })) }));
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
  #silent(folder: string, segments: Array<{ changedMs: number }>): boolean {
    const changedMs = [statOf(join(folder, "committed")), ...segments].map((s) => s.changedMs);
    return this.#nowMs() - Math.max(...changedMs) > limits.epochSilentMs;
  }
}
