/**
 * Small archive files to larger ones, as time goes: an hour's to one when the hour is over, a day's when
 * the day is. What comes out must hold exactly the rows that went in.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../shared/limits.ts";
import { newEpoch } from "../../shared/storage/storage.ts";
import type { ArchiverOptions } from "./archiver.ts";
import { putChecked } from "./check_file.ts";
import { Duck } from "./duck.ts";
import { type ArchiveFile, type Manifest, nextManifest } from "./manifest.ts";
import type { ManifestStore } from "./manifest_store.ts";
import { filePath } from "./paths.ts";
import { ArchiveError, type ArchivePlace } from "./place.ts";
import { RowHash, sameRows } from "./row_hash.ts";
import { mergeFiles } from "./sort.ts";

/** Files that become one. */
export interface Merge {
  slot: string;
  partition: number;
  files: ArchiveFile[];
}

const hourMs = 3_600_000;
/** Of `2026-11-22`. */
const dayLength = 10;

/** What is to be merged now, oldest first. */
export function planMerges({ files }: Manifest, nowMs: number): Merge[] {
  const days = groups(files, ({ slot }) => slot.slice(0, dayLength), 24 * hourMs, nowMs);
  const taken = new Set(days.flatMap((day) => day.files));
  const rest = files.filter((file) => !taken.has(file));
  return [...days, ...groups(rest, ({ slot }) => slot, hourMs, nowMs)]
    .sort((a, b) => a.slot < b.slot ? -1 : 1);
}

function groups(
  files: ArchiveFile[],
  slotOf: (file: ArchiveFile) => string,
  lengthMs: number,
  nowMs: number,
): Merge[] {
  const all = Map.groupBy(files, (file) => `${slotOf(file)} ${file.partition}`);
  return [...all.values()].flatMap((group) => {
    const slot = slotOf(group[0]!);
    const bytes = group.reduce((sum, file) => sum + file.bytes, 0);
    const fits = group.length > 1 && group.length <= limits.archiveMergeFilesMax &&
      bytes <= limits.archiveFileBytesMax;
    const isOver = startMs(slot) + lengthMs + limits.archiveMergeAfterMs <= nowMs;
    return fits && isOver ? [{ slot, partition: group[0]!.partition, files: group }] : [];
  });
}

function startMs(slot: string): number {
  return Date.parse(slot.length > dayLength ? `${slot}:00:00Z` : `${slot}T00:00:00Z`);
}

/** One go; false if there is nothing to merge. Throws as `Archiver.run` does. */
export async function mergeSome(
  options: ArchiverOptions,
  store: ManifestStore,
  folder: string,
): Promise<boolean> {
  const manifest = await store.newest(options.partitions ?? limits.archivePartitions);
  const startMs = options.nowMs();
  const [merge] = planMerges(manifest, startMs);
  if (!merge) return false;
  const run = newEpoch(startMs, options.random);
  const merged = await mergeOne(options, merge, run, folder);
  await store.publish(nextManifest(manifest, {
    startMs,
    nowMs: options.nowMs(),
    run,
    files: [...manifest.files.filter((file) => !merge.files.includes(file)), merged],
    drop: merge.files.map(({ path }) => path),
  }));
  options.at?.("published");
  return true;
}

async function mergeOne(
  options: ArchiverOptions,
  { slot, partition, files }: Merge,
  run: string,
  folder: string,
): Promise<ArchiveFile> {
  const out = join(folder, "merged.parquet");
  using duck = await Duck.open({
    scratch: join(folder, "duckdb"),
    memoryBytes: options.memoryBytes ?? limits.archiveMemoryBytes,
    threads: 1,
  });
  const local: string[] = [];
  for (const [i, file] of files.entries()) {
    local.push(await fetched(options.place, file, join(folder, `${i}.parquet`)));
  }
  await mergeFiles(duck, { files: local, out });
  options.at?.("sorted");
  const path = filePath({ slot, partition, run });
  const merged = await putChecked(options.place, path, out, () => options.at?.("put"));
  const sum = new RowHash();
  for (const file of files) sum.addSum(file);
  if (!sameRows(merged, sum.sum)) {
    throw new ArchiveError(
      `Cannot merge ${files.length} files of ${slot} because the merged one must hold the same ` +
        `${sum.rows} rows: it has ${merged.rows}, or others. They stay as they are`,
    );
  }
  options.at?.("checked");
  return { path, slot, partition, ...merged };
}

/** DuckDB reads local files only. */
async function fetched(place: ArchivePlace, file: ArchiveFile, local: string): Promise<string> {
  const bytes = await place.read(file.path, 0, file.bytes);
  if (bytes.length !== file.bytes) {
    throw new ArchiveError(
      `Cannot read ${file.path} because it must have ${file.bytes} bytes: it has ${bytes.length}`,
    );
  }
  writeFileSync(local, bytes);
  return local;
}
