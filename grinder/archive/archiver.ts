/**
 * Closed segments in, archive files and a manifest out that says so. The manifest is one atomic step:
 * before it readers see the segments, after it the archive, and never both. Whatever a killed run leaves
 * is named by no manifest, and is swept away later.
 *
 *     read twice (clocks, rows) -> sort -> put -> read back, compare -> manifest
 */
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { readBlocks } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import { newEpoch, segmentPath } from "../../shared/storage/storage.ts";
import { type Bucket, writeAll } from "./bucket.ts";
import { putChecked } from "./check_file.ts";
import { partitionOf } from "./columns.ts";
import { Duck } from "./duck.ts";
import { closedSegments, type Frames, type HotSegments, readSegments } from "./hot_segments.ts";
import { type ArchiveFile, hotFrom, type Manifest, nextManifest } from "./manifest.ts";
import { ManifestStore } from "./manifest_store.ts";
import { mergeSome } from "./merge.ts";
import { filePath, seenPath } from "./paths.ts";
import { ArchiveError, type ArchivePlace } from "./place.ts";
import { sameRows } from "./row_hash.ts";
import { decodeSeen, encodeSeen, type SeenStreams } from "./seen_file.ts";
import { sortRows } from "./sort.ts";
import { Spool } from "./spool.ts";
import { StreamTable } from "./stream_table.ts";
import { WallTimes } from "./wall_times.ts";

/** What has just been done; tests fail or kill the process there. */
export type Step = "read" | "spooled" | "sorted" | "put" | "checked" | "seen" | "published";

export interface ArchiverOptions {
  storage: Frames;
  place: ArchivePlace;
  /** A local folder for what is under way. */
  scratch: string;
  /** Of an archive that is begun now. */
  partitions?: number;
  memoryBytes?: number;
  /** Compressed bytes of segments that a run takes. */
  runBytes?: number;
  nowMs: () => number;
  random: () => number;
  report: (text: string) => void;
  at?: (step: Step) => void;
}

export interface RunReport {
  version: number;
  segments: number;
  files: number;
  rows: number;
  textBytes: number;
  storedBytes: number;
  archiveBytes: number;
  resentRecords: number;
  oddLines: number;
  damagedSegments: number;
  /** There are more segments to archive. */
  more: boolean;
}

export class Archiver {
  readonly store: ManifestStore;
  readonly #partitions: number;

  constructor(private readonly options: ArchiverOptions) {
    this.store = new ManifestStore(options.place);
    this.#partitions = options.partitions ?? limits.archivePartitions;
  }

  /**
   * Archives what is closed, up to `runBytes` of it; undefined if there is nothing. Throws `ArchiveError`,
   * `DuckError`, `StorageError`: then nothing has changed.
   */
  async run(): Promise<RunReport | undefined> {
    const manifest = await this.store.newest(this.#partitions);
    const nowMs = this.options.nowMs();
    const bytesMax = this.options.runBytes ?? limits.archiveRunBytes;
    const hot = await closedSegments(this.options.storage, hotFrom(manifest), { nowMs, bytesMax });
    if (hot.extents.length === 0) return undefined;
    return await this.#inScratch((folder) =>
      new Run(this.options, manifest, hot, folder).run(this.store)
    );
  }

  /** Merges small files, as many as one go takes; false if there are none to merge. */
  merge(): Promise<boolean> {
    return this.#inScratch((folder) => mergeSome(this.options, this.store, folder));
  }

  async #inScratch<T>(work: (folder: string) => Promise<T>): Promise<T> {
    const { scratch } = this.options;
    mkdirSync(scratch, { recursive: true });
    removeDeadRuns(scratch, this.options.nowMs() - limits.archiveGarbageMs);
    const folder = mkdtempSync(join(scratch, "run-"));
    try {
      return await work(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      throw new ArchiveError(
        `Cannot archive because ${scratch} must have room for some GB: ${(error as Error).message}`,
        { cause: error },
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

class Run {
  readonly #id: string;
  readonly #startMs: number;
  readonly #damaged = new Set<string>();

  constructor(
    private readonly options: ArchiverOptions,
    private readonly manifest: Manifest,
    private readonly hot: HotSegments,
    private readonly folder: string,
  ) {
    this.#startMs = options.nowMs();
    this.#id = newEpoch(this.#startMs, options.random);
  }

  async run(store: ManifestStore): Promise<RunReport> {
    const { manifest, hot } = this;
    const { clocks, touched } = await this.#readClocks();
    this.#at("read");
    const archived = await this.#archived(touched);
    const streams = new StreamTable(manifest.partitions, archived);
    const spool = new Spool({ folder: this.folder, streams, wallTime: clocks.wallTime });
    for await (const read of readSegments(this.options.storage, hot)) {
      if (spool.addFrame(read).length > 0) this.#damaged.add(segmentPath(read));
    }
    const buckets = spool.end();
    this.#at("spooled");
    const files = await this.#write(buckets, streams);
    const seen = await this.#writeSeen(touched, archived, streams.seen);
    this.#at("seen");
    const next = this.#next(files, seen);
    await store.publish(next);
    this.#at("published");
    return this.#report(next, files, spool);
  }

  async #readClocks(): Promise<{ clocks: WallTimes; touched: Set<number> }> {
    const clocks = new WallTimes();
    const touched = new Set<number>();
    for await (const read of readSegments(this.options.storage, this.hot)) {
      if (read.damage !== undefined) this.#damaged.add(segmentPath(read));
      for (const block of readBlocks(read.text ?? "")) {
        clocks.note(read.receiver, block);
        touched.add(partitionOf(block.header.device, this.manifest.partitions));
      }
    }
    return { clocks, touched };
  }

  async #archived(touched: Set<number>): Promise<SeenStreams> {
    const all: SeenStreams = new Map();
    for (const partition of touched) {
      const path = this.manifest.seen[partition];
      if (path === undefined) continue;
      const bytes = await this.options.place.read(path, 0, limits.archiveFileBytesMax);
      if (bytes.length === 0) throw new ArchiveError(`Cannot read ${path}: there is nothing`);
      for (const [key, seen] of decodeSeen(bytes, path)) all.set(key, seen);
    }
    return all;
  }

  /** One bucket is sorted while the one before it is read back. */
  async #write(buckets: Bucket[], streams: StreamTable): Promise<ArchiveFile[]> {
    const table = join(this.folder, "streams");
    writeFile(table, (sink) => streams.write(sink));
    using duck = await Duck.open({
      scratch: join(this.folder, "duckdb"),
      memoryBytes: this.options.memoryBytes ?? limits.archiveMemoryBytes,
      threads: 1,
    });
    const files: ArchiveFile[] = [];
    let checking: Promise<ArchiveFile | undefined> = Promise.resolve(undefined);
    for (const bucket of buckets) {
      const out = join(this.folder, `${bucket.slot}.${bucket.partition}.parquet`);
      const sorting = sortRows(duck, { ...bucket.paths, streams: table, out });
      // Both have ended when one has failed: DuckDB mustn't be closed while it works.
      const [checked, sorted] = await Promise.allSettled([checking, sorting]);
      if (checked.status === "rejected") throw checked.reason;
      if (sorted.status === "rejected") throw sorted.reason;
      if (checked.value) files.push(checked.value);
      bucket.remove();
      this.#at("sorted");
      checking = this.#put(bucket, out);
    }
    const last = await checking;
    return last ? [...files, last] : files;
  }

  /** What isn't what went in is not put into a manifest. */
  async #put(bucket: Bucket, out: string): Promise<ArchiveFile> {
    const { slot, partition, sum } = bucket;
    const path = filePath({ slot, partition, run: this.#id });
    const file = await putChecked(this.options.place, path, out, () => this.#at("put"));
    if (!sameRows(file, sum.sum)) {
      throw new ArchiveError(
        `Cannot archive ${slot} because ${path} must hold the ${sum.rows} rows that were stored: ` +
          `it has ${file.rows}, or others. The segments stay as they are`,
      );
    }
    this.#at("checked");
    return { path, slot, partition, ...file };
  }

  async #writeSeen(
    touched: Set<number>,
    archived: SeenStreams,
    now: SeenStreams,
  ): Promise<Record<string, string>> {
    const { partitions } = this.manifest;
    const all = Map.groupBy(
      [...archived, ...now],
      ([key]) => partitionOf(key.slice(0, key.indexOf(" ")), partitions),
    );
    const beforeUs = (this.#startMs - limits.streamAgeMsMax) * 1000;
    const paths: Record<string, string> = {};
    for (const partition of touched) {
      const bytes = encodeSeen(new Map(all.get(partition)), beforeUs);
      if (bytes.length === 0) continue;
      const path = paths[partition] = seenPath({ partition, run: this.#id });
      const local = join(this.folder, `seen.${partition}`);
      writeFileSync(local, bytes);
      await this.options.place.put(path, local);
    }
    return paths;
  }

  #next(files: ArchiveFile[], seen: Record<string, string>): Manifest {
    const { manifest } = this;
    const replaced = Object.keys(seen).flatMap((partition) => manifest.seen[partition] ?? []);
    return nextManifest(manifest, {
      startMs: this.#startMs,
      nowMs: this.options.nowMs(),
      run: this.#id,
      files: [...manifest.files, ...files],
      seen: { ...manifest.seen, ...seen },
      damaged: [...new Set([...manifest.damaged, ...this.#damaged])].sort(),
      drop: replaced,
      swap: Object.fromEntries(this.hot.next),
    });
  }

  #report(next: Manifest, files: ArchiveFile[], spool: Spool): RunReport {
    const sum = (of: (file: ArchiveFile) => number) =>
      files.reduce((all, file) => all + of(file), 0);
    const { extents, more } = this.hot;
    return {
      version: next.version,
      segments: extents.length,
      files: files.length,
      rows: sum(({ rows }) => rows),
      textBytes: sum(({ textBytes }) => textBytes),
      storedBytes: extents.reduce((all, { extent, from }) => all + extent.length - from, 0),
      archiveBytes: sum(({ bytes }) => bytes),
      resentRecords: spool.resentRecords,
      oddLines: spool.oddLines,
      damagedSegments: this.#damaged.size,
      more,
    };
  }

  #at(step: Step): void {
    this.options.at?.(step);
  }
}

function writeFile(path: string, write: (sink: (bytes: Uint8Array) => void) => void): void {
  const fd = openSync(path, "w");
  try {
    write((bytes) => writeAll(fd, bytes));
  } finally {
    closeSync(fd);
  }
}

/** What killed runs have left in the scratch folder. */
function removeDeadRuns(scratch: string, beforeMs: number): void {
  for (const name of readdirSync(scratch).filter((name) => name.startsWith("run-"))) {
    const folder = join(scratch, name);
    if (statSync(folder).mtimeMs < beforeMs) rmSync(folder, { recursive: true, force: true });
  }
}
