/**
 * One partition's blocks in (block_spool.ts), its archive files and its list of archived seqs out, in
 * their places: the part of a run that a thread of its own can do. Blocks are taken as many at a time as
 * the memory allows; each time gives a file for each hour of receiving.
 *
 *     read -> rows, each once -> sort -> write -> put -> read back, compare
 */
import { Buffer } from "node:buffer";
import { closeSync, openSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../shared/limits.ts";
import { BlockRows } from "./block_rows.ts";
import { type FramePlace, type PartitionSpool, spooledBlocks } from "./block_spool.ts";
import { checkFile } from "./check_file.ts";
import { writeRows } from "./file_of_rows.ts";
import type { ArchiveFile } from "./manifest.ts";
import { filePath, nthRun, seenPath } from "./paths.ts";
import { ArchiveError, type ArchivePlace } from "./place.ts";
import { sameRows } from "./row_hash.ts";
import { Rows } from "./rows.ts";
import { decodeSeen, encodeSeen, type SeenStreams } from "./seen_file.ts";
import { type StreamEntry, StreamTable } from "./stream_table.ts";
import { wallTimeBy } from "./wall_times.ts";

/** What a job needs of the place: another thread may stand behind it. */
export type JobPlace = Pick<ArchivePlace, "put" | "read">;

/** What has just been done; tests fail or kill the process there. */
export type JobStep = "sorted" | "put" | "checked" | "seen";

export interface PartitionJob {
  spool: PartitionSpool;
  frames: FramePlace[];
  partitions: number;
  run: string;
  /** The list of what is archived of the partition; undefined: nothing is. */
  seen: string | undefined;
  /** Streams of which nothing came since are forgotten. */
  forgetBeforeUs: number;
  /** A local folder for what is under way. */
  folder: string;
  /** Bytes of blocks taken at a time. */
  sliceBytes: number;
  level: number;
}

export interface JobResult {
  partition: number;
  files: ArchiveFile[];
  /** The new list; undefined: nothing is known of any stream. */
  seen: string | undefined;
  resentRecords: number;
  oddLines: number;
}

/** Throws `ArchiveError`, `ParquetError`, and what the place throws. */
export async function archivePartition(
  job: PartitionJob,
  place: JobPlace,
  at: (step: JobStep) => void,
): Promise<JobResult> {
  const archived = await seenOf(job, place);
  const streams = new StreamTable(job.partitions, archived);
  const slices = new Slices(job, streams);
  const files: ArchiveFile[] = [];
  for (const { slot, sink } of slices.hours()) {
    files.push(await new HourFile(job, place, at, files.length).make(slot, sink));
  }
  const seen = await putSeen(job, place, new Map([...archived, ...streams.seen]));
  at("seen");
  const { resentRecords, oddLines } = slices.rows;
  return { partition: job.spool.partition, files, seen, resentRecords, oddLines };
}

/** The spool's blocks, as rows of one hour after the other. */
class Slices {
  readonly rows: BlockRows<Rows>;
  #bytes: Buffer = Buffer.alloc(0);
  readonly #entries: StreamEntry[];
  #held: Rows[] = [];

  constructor(private readonly job: PartitionJob, streams: StreamTable) {
    this.#entries = job.spool.streams.map((names) => streams.of(names));
    this.rows = new BlockRows({
      wallTime: wallTimeBy(job.spool.clocks),
      newSink: () => {
        const rows = new Rows(this.#bytes);
        this.#held.push(rows);
        return rows;
      },
    });
  }

  *hours(): Generator<{ slot: string; sink: Rows }> {
    const { path } = this.job.spool;
    const { size } = statSync(path);
    const fd = openSync(path, "r");
    try {
      for (let at = 0; at < size;) {
        at += this.#take(fd, at, size);
        yield* this.rows.take().sort((a, b) => a.slot < b.slot ? -1 : 1);
      }
    } finally {
      closeSync(fd);
    }
    rmSync(path);
  }

  /** Gives how many bytes of the file it took. */
  #take(fd: number, from: number, size: number): number {
    const { spool, frames, sliceBytes } = this.job;
    // One block may go beyond it.
    const most = Math.min(size - from, sliceBytes + limits.frameTextBytesMax);
    const bytes = this.#bytes = readAll(fd, from, most);
    let taken = 0;
    this.#held = [];
    for (const { stream, recvUs, frame, line, start, end } of spooledBlocks(bytes)) {
      const place = { ...frames[frame]!, line };
      this.rows.add({ stream: this.#entries[stream]!, recvUs, place, bytes, start, end });
      taken = end;
      if (taken >= sliceBytes || this.#isFull()) break;
    }
    if (taken > 0) return taken;
    throw new ArchiveError(
      `Cannot read ${spool.path} because it must hold blocks: it is cut short`,
    );
  }

  #isFull(): boolean {
    let rows = 0;
    for (const held of this.#held) rows += held.rows;
    return rows >= limits.archiveSliceRows;
  }
}

class HourFile {
  constructor(
    private readonly job: PartitionJob,
    private readonly place: JobPlace,
    private readonly at: (step: JobStep) => void,
    private readonly number: number,
  ) {}

  /** What isn't what went in is not put into a manifest. */
  async make(slot: string, rows: Rows): Promise<ArchiveFile> {
    const { folder, level, run } = this.job;
    const { partition } = this.job.spool;
    const local = join(folder, `${partition}.${this.number}.parquet`);
    writeRows(rows, local, { level, longDistance: true });
    this.at("sorted");
    const path = filePath({ slot, partition, run: nthRun(run, this.number) });
    const { size: bytes } = statSync(local);
    await this.place.put(path, local);
    this.at("put");
    const read = (offset: number, length: number) => this.place.read(path, offset, length);
    const content = await checkFile(read, bytes);
    if (!sameRows(content, rows.sum.sum)) {
      throw new ArchiveError(
        `Cannot archive ${slot} because ${path} must hold the ${rows.rows} rows that were stored: ` +
          `it has ${content.rows}, or others. The segments stay as they are`,
      );
    }
    this.at("checked");
    return { path, slot, partition, bytes, ...content };
  }
}

async function seenOf({ seen: path }: PartitionJob, place: JobPlace): Promise<SeenStreams> {
  if (path === undefined) return new Map();
  const bytes = await place.read(path, 0, limits.archiveFileBytesMax);
  if (bytes.length === 0) throw new ArchiveError(`Cannot read ${path}: there is nothing`);
  return decodeSeen(bytes, path);
}

async function putSeen(
  job: PartitionJob,
  place: JobPlace,
  all: SeenStreams,
): Promise<string | undefined> {
  const { partition } = job.spool;
  const bytes = encodeSeen(all, job.forgetBeforeUs);
  if (bytes.length === 0) return undefined;
  const path = seenPath({ partition, run: job.run });
  const local = join(job.folder, `seen.${partition}`);
  writeFileSync(local, bytes);
  await place.put(path, local);
  return path;
}

function readAll(fd: number, from: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let got = 0;
  while (got < length) {
    const more = readSync(fd, bytes, got, length - got, from + got);
    if (more === 0) break;
    got += more;
  }
  return bytes.subarray(0, got);
}
