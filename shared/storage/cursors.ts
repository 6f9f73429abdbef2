/**
 * How far a reader has come, in; a note about it in the storage out, which holds retention back. One
 * note for each reader, named as the reader is:
 *
 *     2026-11-22T20:21:34.123Z          when it was written
 *     RECEIVER/EPOCH SEGMENT OFFSET     for each epoch: all before that has been dealt with, for good
 *
 * An epoch that isn't named hasn't been read at all.
 */
import { formatDuration } from "../duration.ts";
import { limits } from "../limits.ts";
import { type Cursor, type Cursors, epochKey, type EpochName, StorageError } from "./storage.ts";

/**
 * Small texts in the storage, each under a name (`isName`). A text is replaced as a whole: who reads
 * gets the old one or the new one. The folder keeps them in `cursors/NAME`, S3 in the same keys.
 */
export interface Notes {
  /** Resolves when it is durable. Throws `StorageError`, and may have been put all the same. */
  put(name: string, text: string): Promise<void>;
  /** All texts by their names. Throws `StorageError`. */
  all(): Promise<Map<string, string>>;
}

/** What a reader said of itself. */
export interface CursorNote {
  writtenMs: number;
  cursors: Cursors;
}

export function formatCursorNote({ writtenMs, cursors }: CursorNote): string {
  const lines = [...cursors].sort(([a], [b]) => a < b ? -1 : 1)
    .map(([epoch, { segment, offset }]) => `${epoch} ${segment} ${offset}\n`);
  return `${new Date(writtenMs).toISOString()}\n${lines.join("")}`;
}

/** Undefined if it isn't one. */
export function parseCursorNote(text: string): CursorNote | undefined {
  const [time, ...lines] = text.split("\n");
  const writtenMs = Date.parse(time!);
  if (Number.isNaN(writtenMs) || lines.pop() !== "") return undefined;
  const cursors = new Map<string, Cursor>();
  for (const line of lines) {
    const match = /^([^ /]+\/[^ /]+) (\d{1,15}) (\d{1,15})$/.exec(line);
    if (!match) return undefined;
    cursors.set(match[1]!, { segment: Number(match[2]), offset: Number(match[3]) });
  }
  return { writtenMs, cursors };
}

/** Whether a reader needs the first `bytes` of a segment no more. */
export function hasRead(
  { cursors }: CursorNote,
  at: EpochName & { segment: number },
  bytes: number,
): boolean {
  const cursor = cursors.get(epochKey(at));
  if (!cursor) return false;
  return cursor.segment > at.segment || (cursor.segment === at.segment && cursor.offset >= bytes);
}

/** Publishes one reader's cursors, at most every `cursorNoteMs`. A failure is only reported. */
export class CursorPublisher {
  #publishedMs = -Infinity;
  #failingSinceMs: number | undefined;

  constructor(
    private readonly notes: Pick<Notes, "put">,
    private readonly options: {
      name: string;
      nowMs: () => number;
      report: (text: string) => void;
    },
  ) {}

  /** To be called with what a crash can't undo; `last`, when nothing will follow, isn't held up. */
  async publish(cursors: Cursors, last = false): Promise<void> {
    const { name, nowMs } = this.options;
    const writtenMs = nowMs();
    // A clock that was set back must not silence it.
    const passedMs = Math.abs(writtenMs - this.#publishedMs);
    if (passedMs < limits.cursorNoteMs && !last) return;
    this.#publishedMs = writtenMs;
    try {
      await this.notes.put(name, formatCursorNote({ writtenMs, cursors }));
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      return this.#failed(error, writtenMs);
    }
    this.#succeeded(writtenMs);
  }

  #failed(error: StorageError, atMs: number): void {
    if (this.#failingSinceMs !== undefined) return;
    this.#failingSinceMs = atMs;
    this.options.report(
      `${error.message}. In ${
        formatDuration(limits.cursorAgeMsMax)
      } what isn't read yet may be deleted`,
    );
  }

  #succeeded(atMs: number): void {
    if (this.#failingSinceMs === undefined) return;
    const passed = formatDuration(atMs - this.#failingSinceMs);
    this.options.report(`how far it has read is in the storage again, after ${passed}`);
    this.#failingSinceMs = undefined;
  }
}
