/**
 * Hot segments in, Parquet files like the archive's out, in a scratch folder: so that a query sees them as
 * it sees the archive. Each record is in one of them or in the archive, never in both, and once.
 */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { readBlocks } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import type { Read } from "../../shared/segment_reader.ts";
import type { Storage } from "../../shared/storage/storage.ts";
import { type Bucket, writeAll } from "../archive/bucket.ts";
import { partitionOf } from "../archive/columns.ts";
import { Duck } from "../archive/duck.ts";
import { hotFrom, type Manifest } from "../archive/manifest.ts";
import { ArchiveError, type ArchivePlace } from "../archive/place.ts";
import { decodeSeen, type SeenStreams } from "../archive/seen_file.ts";
import { sortRows } from "../archive/sort.ts";
import { Spool } from "../archive/spool.ts";
import { StreamTable } from "../archive/stream_table.ts";
import { WallTimes } from "../archive/wall_times.ts";
import type { TimeRange } from "../history/time_range.ts";
import type { FoundFrame } from "../reading/frame_source.ts";
import { firstRecvUs } from "../reading/frame_text.ts";
import { HotFrames } from "../reading/hot_frames.ts";

export interface HotFilesOptions {
  storage: Storage;
  place: Pick<ArchivePlace, "read">;
  manifest: Manifest;
  /** Of receive time. */
  range: TimeRange;
  folder: string;
  memoryBytes: number;
  warn: (text: string) => void;
  /** Bytes of text by now. */
  progress: (textBytes: number) => void;
}

const hourUs = 3600e6;

/** The files; none if nothing is hot. Throws `StorageError`, `ArchiveError`, `DuckError`. */
export async function hotFiles(options: HotFilesOptions): Promise<string[]> {
  const { storage, manifest, range, folder, warn } = options;
  const from = hotFrom(manifest);
  // What can't be read is told of once, not in both passes.
  const first = new HotFrames({ storage, from, warn });
  const { clocks, partitions } = await readClocks(first.frames(range), manifest.partitions);
  const streams = new StreamTable(1, await archivedSeqs(options, partitions));
  const second = new HotFrames({ storage, from, warn: () => {} });
  const buckets: Bucket[] = [];
  for await (const found of spooled(second.frames(range), folder, streams, clocks, options)) {
    buckets.push(...found);
  }
  return buckets.length === 0 ? [] : await sorted(buckets, streams, options);
}

async function readClocks(
  frames: AsyncIterable<FoundFrame>,
  partitions: number,
): Promise<{ clocks: WallTimes; partitions: Set<number> }> {
  const clocks = new WallTimes();
  const touched = new Set<number>();
  for await (const frame of frames) {
    const { receiver } = readOf(frame);
    for (const block of readBlocks(frame.text)) {
      clocks.note(receiver, block);
      touched.add(partitionOf(block.header.device, partitions));
    }
  }
  return { clocks, partitions: touched };
}

/** The archive's own note of what is in it: however late a record comes again, it is known by that. */
async function archivedSeqs(
  { place, manifest }: HotFilesOptions,
  partitions: ReadonlySet<number>,
): Promise<SeenStreams> {
  const all: SeenStreams = new Map();
  for (const partition of partitions) {
    const path = manifest.seen[partition];
    if (path === undefined) continue;
    const bytes = await place.read(path, 0, limits.archiveFileBytesMax);
    if (bytes.length === 0) throw new ArchiveError(`Cannot read ${path}: there is nothing`);
    for (const [key, seen] of decodeSeen(bytes, path)) all.set(key, seen);
  }
  return all;
}

/** A spool has a file open for each hour: some hours each. */
async function* spooled(
  frames: AsyncIterable<FoundFrame>,
  folder: string,
  streams: StreamTable,
  { wallTime }: WallTimes,
  { progress }: HotFilesOptions,
): AsyncGenerator<Bucket[]> {
  let [spool, beganUs, spools, bytes] = [undefined as Spool | undefined, 0, 0, 0];
  for await (const frame of frames) {
    if (frame.text === "") continue;
    const recvUs = firstRecvUs(frame.text) ?? beganUs;
    if (spool && Math.abs(recvUs - beganUs) > limits.sqlSpoolHours * hourUs) {
      yield spool.end();
      spool = undefined;
    }
    if (!spool) {
      const own = join(folder, `hot-${spools++}`);
      mkdirSync(own);
      [spool, beganUs] = [new Spool({ folder: own, streams, wallTime }), recvUs];
    }
    spool.addFrame(readOf(frame));
    progress(bytes += frame.text.length);
  }
  if (spool) yield spool.end();
}

async function sorted(
  buckets: readonly Bucket[],
  streams: StreamTable,
  { folder, memoryBytes }: HotFilesOptions,
): Promise<string[]> {
  const table = join(folder, "streams");
  const fd = openSync(table, "w");
  try {
    streams.write((bytes) => writeAll(fd, bytes));
  } finally {
    closeSync(fd);
  }
  using duck = await Duck.open({ scratch: join(folder, "duckdb"), memoryBytes, threads: 1 });
  const files: string[] = [];
  for (const bucket of buckets) {
    const out = join(folder, `hot-${files.length}.parquet`);
    await sortRows(duck, { ...bucket.paths, streams: table, out });
    bucket.remove();
    files.push(out);
  }
  return files;
}

/** Its segment is RECEIVER/EPOCH/NNNNNNNN. */
function readOf({ segment: path, offset, text }: FoundFrame): Read {
  const [receiver, epoch, number] = path.split("/") as [string, string, string];
  const segment = Number(number);
  const length = text.length;
  return { receiver, epoch, segment, offset, length, text, next: { segment, offset } };
}
