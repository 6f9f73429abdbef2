/** The archiver as a program: closed segments to Parquet files, small ones to larger ones. */
import { availableParallelism, setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { formatDuration, parseDurationMs } from "../../shared/duration.ts";
import { limits } from "../../shared/limits.ts";
import { programOptions, UsageError } from "../../shared/options.ts";
import { CursorPublisher } from "../../shared/storage/cursors.ts";
import { FolderNotes } from "../../shared/storage/folder_notes.ts";
import {
  type OpenOptions,
  openStorage,
  parseS3Place,
  s3Options,
} from "../../shared/storage/open.ts";
import { StorageError } from "../../shared/storage/storage.ts";
import { Archiver } from "./archiver.ts";
import { DuckError } from "./duck.ts";
import { ArchiverLock } from "./lock.ts";
import { openPlace } from "./open_place.ts";
import { ParquetError } from "./parquet/footer.ts";
import { ArchiveError } from "./place.ts";
import { archiveAll, formatReport } from "./rounds.ts";

const MB = 1e6;
const { values } = programOptions(
  `
Usage: deno task archive [OPTIONS]     make Parquet files of closed segments, and merge small ones`,
  {
    data: {
      type: "text",
      unit: "place",
      default: "./data",
      help: "where the segments are, and the archive goes: a folder, or s3://BUCKET/PREFIX",
    },
    ...s3Options,
    every: { type: "number", unit: "s", default: 0, help: "go on, and look so often; 0: end" },
    "until-stdin-ends": {
      type: "flag",
      unit: "",
      help: "end when the standard input does: with the process that started this one",
    },
    "delete-hot": {
      type: "flag",
      unit: "",
      help: "delete segments an hour after they were archived, once their readers have read them",
    },
    "keep-hot": {
      type: "text",
      unit: "age",
      help: "the same, but so long after they were archived: 2h; from 1h to 48h",
    },
    keep: {
      type: "text",
      unit: "age",
      help: "delete archive files of which nothing was received for so long: 60d (default: never)",
    },
    partitions: {
      type: "number",
      unit: "files",
      default: limits.archivePartitions,
      help: "devices are spread over so many files a day; stays what it was at the first run",
    },
    memory: {
      type: "number",
      unit: "MB",
      default: Math.round(limits.archiveMemoryBytes / MB),
      help: "for sorting; what doesn't fit is sorted on the disk",
    },
    threads: {
      type: "number",
      unit: "threads",
      default: availableParallelism(),
      help: "to sort and write in",
    },
    scratch: {
      type: "text",
      unit: "folder",
      help: "for what is under way: some GB (default: archive/scratch in --data; with S3 in /tmp)",
    },
  },
  process.argv.slice(2),
);
const say = (text: string) => console.error(`archive: ${text}`);

try {
  const { data, every, partitions, memory, threads } = values;
  checkNumber("--partitions", partitions, 1, limits.archivePartitionsMax);
  checkNumber("--memory", memory, 64, 1e6);
  checkNumber("--threads", threads, 1, 256);
  const s3 = parseS3Place(data);
  const keepHotMs = durationOf("--keep-hot", values["keep-hot"], limits.archiveKeepHotMsMax);
  const keepMs = durationOf("--keep", values.keep, Infinity);
  // The grinder goes first.
  setPriority(limits.archivePriority);
  const storage = await openStorage(data, values);
  const place = await openPlace(data, values);
  const scratch = values.scratch ??
    (s3 ? join(tmpdir(), "logmill-archive") : join(data, "archive", "scratch"));
  using _lock = new ArchiverLock(s3 ? join(scratch, "lock") : join(data, "archive", "lock"));
  const archiver = new Archiver({
    storage,
    place,
    scratch,
    partitions,
    memoryBytes: memory * MB,
    threads: { threads, place: { data, options: s3OptionsOf(values) } },
    nowMs: Date.now,
    random: Math.random,
    report: say,
  });
  // With S3 no reader says how far it has come, and the bucket's own rule deletes, asking nobody.
  const notes = s3 ? undefined : new FolderNotes(data);
  const cursors = notes &&
    new CursorPublisher(notes, { name: "archive", nowMs: Date.now, report: say });
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());
  if (values["until-stdin-ends"]) process.stdin.once("end", () => stop.abort()).resume();
  do {
    const began = performance.now();
    const round = await archiveAll({
      ...{ archiver, storage, place, partitions, stop: stop.signal, nowMs: Date.now, report: say },
      deleteHot: values["delete-hot"] || keepHotMs !== undefined,
      ...(keepHotMs === undefined ? {} : { keepHotMs }),
      ...(keepMs === undefined ? {} : { keepMs }),
      ...(notes ? { notes } : {}),
      archived: async (at) => await cursors?.publish(at, true),
    });
    say(formatReport(round, performance.now() - began));
    if (every > 0) {
      await setTimeout(every * 1000, undefined, { signal: stop.signal }).catch(() => {});
    }
  } while (every > 0 && !stop.signal.aborted);
} catch (error) {
  const asked = error instanceof UsageError;
  const expected = [ArchiveError, DuckError, ParquetError, StorageError];
  const told = asked || expected.some((kind) => error instanceof kind);
  say(told ? (error as Error).message : String((error as Error).stack ?? error));
  process.exit(asked ? 2 : 1);
}
process.exit(0);

/** Of an option that may be left out. Less than an hour isn't taken: readers need it. */
function durationOf(name: string, text: string | undefined, mostMs: number): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDurationMs(name, text);
  if (ms >= limits.archiveGraceMs && ms <= mostMs) return ms;
  const most = mostMs === Infinity ? "" : `, and at most ${formatDuration(mostMs)}`;
  throw new UsageError(`Cannot use ${name} because it must be at least 1h${most}: it is ${text}`);
}

/** What a thread can be told. */
function s3OptionsOf(all: OpenOptions): OpenOptions {
  return { "s3-endpoint": all["s3-endpoint"], "s3-region": all["s3-region"] };
}

function checkNumber(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new UsageError(
    `Cannot use ${name} because it must be a whole number from ${least} to ${most}: it is ${value}`,
  );
}
