/**
 * Closed segments in, archive files and a manifest out that says so. The manifest is one atomic step:
 * before it readers see the segments, after it the archive, and never both. Whatever a killed run leaves
 * is named by no manifest, and is swept away later.
 *
 *     read, by partition -> each partition by itself (partition_job.ts) -> manifest
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../shared/limits.ts";
import { newEpoch, segmentPath } from "../../shared/storage/storage.ts";
import { BlockSpool, type PartitionSpool } from "./block_spool.ts";
import { closedSegments, type Frames, type HotSegments, readSegments } from "./hot_segments.ts";
import { type JobThreadsOptions, runJobs } from "./job_threads.ts";
import { type ArchiveFile, hotFrom, type Manifest, nextManifest } from "./manifest.ts";
import { ManifestStore } from "./manifest_store.ts";
import { mergeSome } from "./merge.ts";
import {
  archivePartition,
  type JobResult,
  type JobStep,
  type PartitionJob,
} from "./partition_job.ts";
import { ArchiveError, type ArchivePlace } from "./place.ts";

/** What has just been done; tests fail or kill the process there. */
export type Step = "spooled" | JobStep | "published";

export interface ArchiverOptions {
  storage: Frames;
  place: ArchivePlace;
  /** A local folder for what is under way. */
  scratch: string;
  /** Of an archive that is begun now. */
  partitions?: number;
  memoryBytes?: number;
  /** To sort and write in, and how they open `place`; without it all is done in the one that calls. */
  threads?: JobThreadsOptions;
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

  /**
   * Leaves files out of the next manifest of which nothing was received for so long; gives how many. They
   * stay for an hour beside it, for readers that began with an older one.
   */
  async expire(keepMs: number): Promise<number> {
    const manifest = await this.store.newest(this.#partitions);
    const startMs = this.options.nowMs();
    const isOld = ({ maxRecvUs }: ArchiveFile) => startMs - maxRecvUs / 1000 > keepMs;
    const old = manifest.files.filter(isOld);
    if (old.length === 0) return 0;
    await this.store.publish(nextManifest(manifest, {
      startMs,
      nowMs: this.options.nowMs(),
      run: newEpoch(startMs, this.options.random),
      files: manifest.files.filter((file) => !isOld(file)),
      drop: old.map(({ path }) => path),
    }));
    return old.length;
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
    const spool = new BlockSpool(this.folder, this.manifest.partitions);
    for await (const read of readSegments(this.options.storage, this.hot)) {
      const strays = spool.add(read);
      if (read.damage !== undefined || strays.length > 0) this.#damaged.add(segmentPath(read));
    }
    const jobs = spool.end().map((part) => this.#job(part, spool));
    this.#at("spooled");
    const results = await this.#do(jobs);
    const next = this.#next(jobs, results);
    await store.publish(next);
    this.#at("published");
    return this.#report(next, results);
  }

  #job(spool: PartitionSpool, { frames }: BlockSpool): PartitionJob {
    const { memoryBytes = limits.archiveMemoryBytes, threads } = this.options;
    return {
      spool,
      frames,
      partitions: this.manifest.partitions,
      run: this.#id,
      seen: this.manifest.seen[spool.partition],
      forgetBeforeUs: (this.#startMs - limits.streamAgeMsMax) * 1000,
      folder: this.folder,
      // What is made of them takes as much again.
      sliceBytes: Math.min(limits.archiveSliceBytes, memoryBytes / (threads?.threads ?? 1) / 2),
      level: limits.archiveLevel,
    };
  }

  async #do(jobs: PartitionJob[]): Promise<JobResult[]> {
    const { place, threads } = this.options;
    if (threads) return await runJobs(jobs, threads);
    const results: JobResult[] = [];
    for (const job of jobs) {
      results.push(await archivePartition(job, place, (step) => this.#at(step)));
    }
    return results;
  }

  #next(jobs: PartitionJob[], results: JobResult[]): Manifest {
    const { manifest } = this;
    const seen = new Map<number, string>(
      results.flatMap(({ partition, seen }) =>
        seen === undefined ? [] : [[partition, seen] as const]
      ),
    );
    return nextManifest(manifest, {
      startMs: this.#startMs,
      nowMs: this.options.nowMs(),
      run: this.#id,
      files: [...manifest.files, ...results.flatMap(({ files }) => files)],
      seen: { ...manifest.seen, ...Object.fromEntries(seen) },
      damaged: [...new Set([...manifest.damaged, ...this.#damaged])].sort(),
      drop: jobs.flatMap((job) => job.seen && seen.has(job.spool.partition) ? [job.seen] : []),
      swap: Object.fromEntries(this.hot.next),
    });
  }

  #report(next: Manifest, results: JobResult[]): RunReport {
    const files = results.flatMap((result) => result.files);
    const sum = <T>(all: readonly T[], of: (one: T) => number) =>
      all.reduce((sum, one) => sum + of(one), 0);
    const { extents, more } = this.hot;
    return {
      version: next.version,
      segments: extents.length,
      files: files.length,
      rows: sum(files, ({ rows }) => rows),
      textBytes: sum(files, ({ textBytes }) => textBytes),
      storedBytes: sum(extents, ({ extent, from }) => extent.length - from),
      archiveBytes: sum(files, ({ bytes }) => bytes),
      resentRecords: sum(results, ({ resentRecords }) => resentRecords),
      oddLines: sum(results, ({ oddLines }) => oddLines),
      damagedSegments: this.#damaged.size,
      more,
    };
  }

  #at(step: Step): void {
    this.options.at?.(step);
  }
}

/** What killed runs have left in the scratch folder. */
function removeDeadRuns(scratch: string, beforeMs: number): void {
  for (const name of readdirSync(scratch).filter((name) => name.startsWith("run-"))) {
    const folder = join(scratch, name);
    if (statSync(folder).mtimeMs < beforeMs) rmSync(folder, { recursive: true, force: true });
  }
}
