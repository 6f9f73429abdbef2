/**
 * History under other rules: a range of *event* time and a folder in; what a grinder needs to grind that
 * range into that folder out, with a state of its own, whatever the live grinder does meanwhile.
 *
 * Beside the grinder's files the folder has `history.json`, which says what is ground there. Killed,
 * and started again with the same words, it goes on from its last commit; finished, it stays as it is.
 *
 * One manifest of the archive holds for it from its beginning to its end: what that says is archived is read
 * from the archive, the rest from hot segments.
 *
 * What was received is read from some minutes before the range (for the clocks) to a day behind it
 * (devices that were offline send late); of that the events count whose wall time is in the range. The
 * range is widened to whole windows, so that no aggregate is of half a window.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, writeSync } from "node:fs";
import { readFileSync, realpathSync, renameSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../shared/limits.ts";
import type { Storage } from "../../shared/storage/storage.ts";
import {
  hotFrom,
  type Manifest,
  manifestPath,
  noManifest,
  parseManifest,
} from "../archive/manifest.ts";
import { ManifestStore } from "../archive/manifest_store.ts";
import type { ArchivePlace } from "../archive/place.ts";
import { ArchiveReader } from "../archive/reader.ts";
import { ArchiveEpoch } from "./archive_epoch.ts";
import type { Progress } from "./select_frames.ts";
import { SelectedStorage } from "./selected_storage.ts";
import { parseRange, type TimeRange } from "./time_range.ts";

export interface HistoryOptions {
  storage: Storage;
  /** Where what is archived is. */
  place: ArchivePlace;
  /** What was asked for, in the operator's words. */
  data: string;
  since?: string | undefined;
  until?: string | undefined;
  /** The rules file. */
  rules: string;
  windowUs: number;
  /** The folder for the state and the outputs; it may not be there yet. */
  out: string;
  /** Folders in which live grinders have theirs. */
  live: readonly string[];
  nowMs: number;
  progress?: (progress: Progress) => void;
  /** Told of what can't be read. */
  warn?: (text: string) => void;
}

/** The folder can't be used; somebody has to name another one. */
export class HistoryError extends Error {
  override name = "HistoryError";
  readonly code = "history";
}

/** The file `history.json`. */
interface Note extends TimeRange {
  /** Digest of what was asked for. */
  asked: string;
  /** The archive's manifest that holds for it. */
  manifest: number;
  finished: boolean;
}

export class History {
  private constructor(
    /** To be ground to its end; undefined if it is finished already. */
    readonly storage: SelectedStorage | undefined,
    private readonly path: string,
    private readonly note: Note,
  ) {}

  /**
   * Takes the folder for it. Throws `UsageError` for times that are none, `HistoryError` if the folder
   * holds something else, `StorageError`.
   */
  static async open(options: HistoryOptions): Promise<History> {
    refuseLive(options.out, options.live);
    const path = join(options.out, "history.json");
    const store = new ManifestStore(options.place);
    const newest = await store.newest(limits.archivePartitions);
    const note = noteOf(options, path, newest.version);
    if (note.finished) return new History(undefined, path, note);
    const manifest = note.manifest === newest.version ? newest : await earlier(options, note);
    save(path, note);
    const received = {
      sinceUs: note.sinceUs - limits.historyBeforeMs * 1000,
      untilUs: note.untilUs + limits.historyLateMs * 1000,
    };
    const { storage, place, progress, warn = () => {} } = options;
    const epoch = new ArchiveEpoch(place, manifest, received);
    const reader = new ArchiveReader(place, manifest, ({ why }) => warn(why));
    const selected = { storage, from: hotFrom(manifest), archive: { epoch, reader }, progress };
    return new History(await SelectedStorage.open(selected, received), path, note);
  }

  /** The event time that is ground. */
  get range(): TimeRange {
    return { sinceUs: this.note.sinceUs, untilUs: this.note.untilUs };
  }

  /** Whether an event of this wall time counts. */
  keeps = (wallUs: number): boolean => wallUs >= this.note.sinceUs && wallUs < this.note.untilUs;

  /** All is ground and committed. */
  finish(): void {
    save(this.path, { ...this.note, finished: true });
  }
}

/** A history in the live grinder's folder would cut back its outputs. */
function refuseLive(out: string, live: readonly string[]): void {
  const real = realPath(out);
  const same = live.find((folder) => realPath(folder) === real);
  if (same === undefined) return;
  throw new HistoryError(
    `Cannot grind history into ${out} because it must not be a live grinder's folder: it is ${same}`,
  );
}

/** What is ground in this folder: as it was begun, or from now on. */
function noteOf(options: HistoryOptions, path: string, manifest: number): Note {
  const asked = digest(options);
  const begun = load(path);
  if (begun?.asked === asked) return begun;
  // A live grinder's folder may be elsewhere than is known here.
  const there = begun ? ["another history"] : filesIn(options.out);
  if (there.length === 0) return { asked, manifest, finished: false, ...wholeWindows(options) };
  throw new HistoryError(
    `Cannot grind history into ${options.out} because it must be empty, or hold what was begun with ` +
      `the same options and rules: it has ${there.slice(0, 5).join(", ")}`,
  );
}

/** The manifest with which it was begun: what that names stays for an hour at least. */
async function earlier({ place, out }: HistoryOptions, { manifest }: Note): Promise<Manifest> {
  const path = manifestPath(manifest);
  if (manifest === 0) return noManifest(limits.archivePartitions);
  const file = (await place.list("archive/manifests")).find((one) => one.path === path);
  if (file) {
    const bytes = await place.read(path, 0, file.bytes);
    return parseManifest(Buffer.from(bytes).toString("utf8"), path);
  }
  throw new HistoryError(
    `Cannot go on with ${out} because the archive must be as it was when that was begun: ` +
      `${path} is gone. Begin anew, in another folder`,
  );
}

function wholeWindows({ since, until, nowMs, windowUs }: HistoryOptions): TimeRange {
  const { sinceUs, untilUs } = parseRange({ since, until }, nowMs);
  return {
    sinceUs: Math.floor(sinceUs / windowUs) * windowUs,
    untilUs: Math.ceil(untilUs / windowUs) * windowUs,
  };
}

/** A duration counts from the first start: asked for again it is the same range. */
function digest({ data, since, until, rules, windowUs }: HistoryOptions): string {
  const text = readFileSync(rules, "utf8");
  const asked = JSON.stringify([data, since ?? "", until ?? "", windowUs, text]);
  return createHash("sha256").update(asked).digest("hex");
}

function load(path: string): Note | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Note;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new HistoryError(
      `Cannot use ${path} because it must be what was written there: ${(error as Error).message}`,
    );
  }
}

/** On disk before the grinder's first file: without it that one would be taken for a live one's. */
function save(path: string, note: Note): void {
  const folder = join(path, "..");
  mkdirSync(folder, { recursive: true });
  const fd = openSync(`${path}.tmp`, "w");
  writeSync(fd, `${JSON.stringify(note)}\n`);
  fsyncSync(fd);
  closeSync(fd);
  renameSync(`${path}.tmp`, path);
  const folderFd = openSync(folder, "r");
  fsyncSync(folderFd);
  closeSync(folderFd);
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name !== "history.json.tmp");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** As far as it is there. */
function realPath(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return join(folder);
  }
}
