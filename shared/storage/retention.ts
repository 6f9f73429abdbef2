/**
 * A storage folder and an age in; what is older is deleted: closed segments, the oldest first, then the
 * folders of epochs that have nothing left. In each epoch only from its beginning on, so that its
 * segments stay without holes behind the first. What a reader (cursors.ts) hasn't read yet is kept, as
 * long as that reader gives signs of life.
 *
 * A segment's age is the time since its last write, by its file's own time: a copied folder is as old
 * as the copy, unless the times were copied, too; but no segment is older than its epoch's name says.
 * Deletions aren't synced: after a power cut some may have to be done again. Several receivers may do it
 * at a time: what is gone already is fine.
 */
import type { Stats } from "node:fs";
import { rmdir, stat, unlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { formatDuration } from "../duration.ts";
import { limits } from "../limits.ts";
import { type CursorNote, hasRead, type Notes, parseCursorNote } from "./cursors.ts";
import {
  epochFolder,
  listEpochs,
  listSegments,
  readCommitted,
  segmentFile,
} from "./folder_files.ts";
import { FolderNotes } from "./folder_notes.ts";
import type { EpochName } from "./storage.ts";

export interface RetentionOptions {
  /** At least `keepMsMin`. */
  keepMs: number;
  /** Unix time in milliseconds. */
  now: () => number;
  /** Told once when a reader is given up, or nothing can be deleted, and when that has passed. */
  report: (text: string) => void;
  /** Where readers say how far they have come; default: the folder's own. */
  notes?: Pick<Notes, "all">;
}

export interface Pass {
  deletedBytes: number;
  deletedSegments: number;
  /** Segments that are old enough and that a reader hasn't read yet. */
  heldBack: number;
}

export class Retention {
  readonly #root: string;
  readonly #notes: Pick<Notes, "all">;
  #givenUp = new Set<string>();
  #problem: string | undefined;
  #running: Promise<Pass> | undefined;

  constructor(root: string, private readonly options: RetentionOptions) {
    const { keepMs } = options;
    if (!(keepMs >= limits.keepMsMin)) {
      const least = formatDuration(limits.keepMsMin);
      throw new RangeError(
        `Cannot keep segments so short because it must be at least ${least}: ` +
          `current value is ${formatDuration(keepMs)}`,
      );
    }
    this.#root = resolve(root);
    this.#notes = options.notes ?? new FolderNotes(this.#root);
  }

  /** Deletes what is old, at most `deletedSegmentsMax` segments. A failure is reported, not thrown. */
  pass(): Promise<Pass> {
    this.#running ??= this.#pass().finally(() => this.#running = undefined);
    return this.#running;
  }

  async #pass(): Promise<Pass> {
    const pass = { deletedBytes: 0, deletedSegments: 0, heldBack: 0 };
    const problems: string[] = [];
    const oldMs = this.options.now() - this.options.keepMs;
    try {
      const readers = await this.#readers();
      for (const name of listEpochs(this.#root)) {
        const startMs = epochStartMs(name.epoch);
        // Folders of other names aren't ours. Epochs come oldest first.
        if (startMs === undefined) continue;
        if (startMs > oldMs) break;
        // One that can't be deleted doesn't keep the others.
        await this.#epoch(name, oldMs, readers, pass)
          .catch((error: Error) => problems.push(error.message));
      }
    } catch (error) {
      problems.push((error as Error).message);
    }
    this.#tell(problems[0]);
    return pass;
  }
  /** The readers that are alive. Reports those that were given up, or are back. */
  async #readers(): Promise<CursorNote[]> {
    const alive: CursorNote[] = [];
    const givenUp = new Set<string>();
    for (const [name, text] of await this.#notes.all()) {
      const note = parseCursorNote(text);
      // A note from the future is of a clock that was wrong: it must not count for years.
      const ageMs = note ? Math.abs(this.options.now() - note.writtenMs) : Infinity;
      if (note && ageMs <= limits.cursorAgeMsMax) alive.push(note);
      else givenUp.add(name);
      this.#tellOf(name, givenUp.has(name), note ? `it is ${formatDuration(ageMs)} old` : "none");
    }
    this.#givenUp = givenUp;
    return alive;
  }

  #tellOf(name: string, isGivenUp: boolean, noteIs: string): void {
    if (isGivenUp === this.#givenUp.has(name)) return;
    const most = formatDuration(limits.cursorAgeMsMax);
    this.options.report(
      isGivenUp
        ? `Cannot keep old segments for ${name} because its cursors must be at most ${most} old: ` +
          `${noteIs}. What it hasn't read is deleted, too; if it is gone, delete cursors/${name}`
        : `${name} says again how far it has read, and keeps old segments until it has read them`,
    );
  }

  async #epoch(name: EpochName, oldMs: number, readers: CursorNote[], pass: Pass): Promise<void> {
    const folder = epochFolder(this.#root, name);
    const segments = listSegments(folder);
    const committed = readCommitted(folder);
    const closed = (segment: number) =>
      committed !== undefined && (committed.ended || segment < committed.segment);
    // Of an epoch that nobody writes any more the last one needs no end.
    const dead = await isOld(join(folder, "committed"), oldMs) &&
      (segments.length === 0 ||
        await isOld(segmentFile(this.#root, { ...name, segment: segments.at(-1)! }), oldMs));
    let held = false;
    for (const segment of segments) {
      const path = segmentFile(this.#root, { ...name, segment });
      const file = await statOf(path);
      if (!file) continue;
      if (file.mtimeMs > oldMs || !(dead || closed(segment))) return;
      // A receiver that was killed before its first commit leaves an empty one: nobody will read it.
      held ||= file.size > 0 &&
        !readers.every((reader) => hasRead(reader, { ...name, segment }, file.size));
      if (held) pass.heldBack++;
      else if (pass.deletedSegments >= limits.deletedSegmentsMax) return;
      else if (await remove(path)) {
        pass.deletedSegments++;
        pass.deletedBytes += file.size;
      }
    }
    if (dead && !held) await removeFolder(folder);
  }

  #tell(problem: string | undefined): void {
    if ((problem === undefined) === (this.#problem === undefined)) return;
    this.#problem = problem;
    this.options.report(
      problem === undefined
        ? "old segments can be deleted again"
        : `Cannot delete old segments: ${problem}`,
    );
  }
}

/** `20261122T202134.123Z-9f3c2a71`: see `newEpoch`. Undefined for other names. */
function epochStartMs(epoch: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d\.\d{3}Z)-[0-9a-f]{8}$/.exec(epoch);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Also what isn't there. */
async function isOld(path: string, oldMs: number): Promise<boolean> {
  return ((await statOf(path))?.mtimeMs ?? 0) <= oldMs;
}

function statOf(path: string): Promise<Stats | undefined> {
  return stat(path).catch(unlessThere);
}

/** False if somebody else was faster. */
function remove(path: string): Promise<boolean> {
  return unlink(path).then(() => true, unlessThere).then((removed) => removed === true);
}

/** A receiver that wakes up after so long makes its folder anew; one that just did so keeps it. */
async function removeFolder(folder: string): Promise<void> {
  if (listSegments(folder).length > 0) return;
  for (const file of ["committed", "committed.tmp", "probe.tmp"]) await remove(join(folder, file));
  await rmdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (!["ENOENT", "ENOTEMPTY", "EEXIST"].includes(error.code ?? "")) throw error;
  });
}

function unlessThere(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
}
