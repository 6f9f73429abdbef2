/**
 * One file from where it was acknowledged to its end as a source: its lines, numbered from 0, under
 * the stream id of its position. It ends when the file is rotated away and no longer written to, or
 * when it is truncated; then what a copy of it still holds is read first.
 */
import { Buffer } from "node:buffer";
import { closeSync, fstatSync, readSync, statSync } from "node:fs";
import { limits } from "../../shared/limits.ts";
import { gapRecord, type LogRecord } from "../../shared/record.ts";
import { rawLines } from "../raw_lines.ts";
import type { Source } from "../source.ts";
import type { FileCheckpoint, FilePosition } from "./file_checkpoint.ts";
import { headBytesMax, holds, printAt, printOf, tailBytesMax } from "./print.ts";
import { locate, type OpenFile } from "./rotated.ts";

/** Facility user, level info: lines say nothing of their level here. */
const prio = 14;

/** Reads are synchronous, and what is kept is copied: one buffer does for all files. */
const buffer = Buffer.alloc(limits.fileReadBytes);

export interface FileSourceOptions {
  /** `file:NAME`. */
  source: string;
  boot: string;
  /** Undefined if it can't be found any more: then there is only that to say. */
  file: OpenFile | undefined;
  position: FilePosition;
  checkpoint: FileCheckpoint;
  /** The kernel's clock, which orders these lines among the kernel's own. */
  nowUs: () => number;
  monotonicMs: () => number;
  sleep: (ms: number) => Promise<void>;
}

interface Look {
  size: number;
  mtimeMs: number;
}

type Place = Pick<FilePosition, "nextSeq" | "offset" | "tail">;

export class FileSource implements Source {
  readonly source: string;
  readonly boot: string;
  readonly stream: string;
  #file: OpenFile | undefined;
  #inode: string;
  #place: Place;
  #head: FilePosition["head"];
  /** What is acknowledged, and the places behind it, oldest first. */
  #acked: Place;
  #unacked: Place[] = [];
  /** At the last look; and when it was surely still itself. */
  #seen: Look = { size: -1, mtimeMs: -1 };
  #known: Look;
  /** There was more than was taken. */
  #more = false;
  /** Since when the path has been another file's. */
  #awaySinceMs: number | undefined;
  /** It is a copy: nobody writes to it. */
  #isCopy = false;
  #ended = false;
  #closed = false;
  #saving = Promise.resolve();

  constructor(private readonly options: FileSourceOptions) {
    const { source, boot, position, file } = options;
    this.source = source;
    this.boot = boot;
    this.stream = position.stream;
    this.#file = file;
    this.#inode = file?.inode ?? position.inode;
    this.#head = position.head;
    this.#known = { size: -1, mtimeMs: position.mtimeMs };
    const { nextSeq, offset, tail } = position;
    this.#place = this.#acked = { nextSeq, offset, tail };
  }

  async read(): Promise<LogRecord[] | undefined> {
    while (!this.#closed && !this.#ended) {
      const headBytes = this.#head.bytes;
      const records = this.#take();
      // What is about to be sent can be told from any other file's lines after a crash, too.
      if (this.#head.bytes > headBytes) await this.#save(this.#acked);
      if (records.length > 0) return records;
      // Holes may be long: others get their turn in between.
      if (this.#more) await new Promise((next) => setImmediate(next));
      else if (!this.#ended) await this.options.sleep(limits.filePollMs);
    }
    this.#close();
    return undefined;
  }

  /** A line that has no end yet is left for the next start. */
  close(): void {
    this.#closed = true;
  }

  /** The line `seq` is acknowledged: resolves when that is on disk. */
  save({ seq }: { seq: number }): Promise<void> {
    const behind = this.#unacked.findLastIndex(({ nextSeq }) => nextSeq <= seq + 1);
    if (behind < 0) return Promise.resolve();
    this.#acked = this.#unacked.splice(0, behind + 1).at(-1)!;
    return this.#save(this.#acked);
  }

  /** All of it is acknowledged: says so on disk, if it has ended, and where it stands. */
  async end(): Promise<FilePosition> {
    if (this.#ended) await this.#save(this.#place);
    return this.#position(this.#place);
  }

  /** What was acknowledged until now is on disk. */
  saved(): Promise<void> {
    return this.#saving;
  }

  #save(place: Place): Promise<void> {
    return this.#saving = this.options.checkpoint.save(this.#position(place));
  }

  #position(place: Place): FilePosition {
    const { path } = this.options.position;
    const ended = this.#ended && place === this.#place;
    const which = { path, stream: this.stream, inode: this.#inode };
    return { ...which, ...place, head: this.#head, mtimeMs: this.#known.mtimeMs, ended };
  }

  #take(): LogRecord[] {
    if (!this.#file) return this.#finish(true);
    const { size, mtimeMs } = fstatSync(this.#file.fd);
    if (size < this.#place.offset) return this.#truncated();
    const changed = size !== this.#seen.size || mtimeMs !== this.#seen.mtimeMs;
    this.#seen = { size, mtimeMs };
    if (changed) this.#awaySinceMs = undefined;
    const records = changed || this.#more ? this.#lines(false) : [];
    if (records.length > 0 || this.#ended || !this.#isOver()) return records;
    const rest = this.#lines(true);
    return this.#more || this.#ended ? rest : this.#finish(false, rest);
  }

  /** It has been another file's path for so long, and nothing has come since. */
  #isOver(): boolean {
    if (this.#isCopy) return true;
    const { path } = this.options.position;
    const now = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (String(now?.ino) === this.#inode) this.#awaySinceMs = undefined;
    else this.#awaySinceMs ??= this.options.monotonicMs();
    const { monotonicMs } = this.options;
    return this.#awaySinceMs !== undefined &&
      monotonicMs() - this.#awaySinceMs >= limits.fileRotatedMs;
  }

  #lines(last: boolean): LogRecord[] {
    const { fd } = this.#file!;
    const { offset } = this.#place;
    const bytes = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, offset));
    // After the read: so these bytes are behind those that we know.
    if (!holds(fd, { ...this.#place, head: this.#head })) return this.#truncated();
    this.#known = this.#seen;
    const records: LogRecord[] = [];
    const usec = this.options.nowUs();
    let { nextSeq } = this.#place;
    let end = 0;
    const lineBytesMax = limits.rawLineBytesMax;
    for (
      const line of rawLines(bytes, lineBytesMax, last && offset + bytes.length >= this.#seen.size)
    ) {
      end = line.end;
      if (line.text === undefined) continue;
      records.push({
        prio,
        seq: nextSeq++,
        usec,
        flag: "-",
        fields: "",
        text: line.text,
        more: [],
      });
      if (records.length === limits.fileLinesMax) break;
    }
    this.#more = end > 0 && offset + end < this.#seen.size;
    if (end > 0) this.#moveTo(nextSeq, bytes.subarray(0, end));
    return records;
  }

  #moveTo(nextSeq: number, passed: Buffer): void {
    const tail = printOf(passed.subarray(-tailBytesMax));
    this.#place = { nextSeq, offset: this.#place.offset + passed.length, tail };
    const headBytes = Math.min(this.#place.offset, headBytesMax);
    if (headBytes > this.#head.bytes) this.#head = printAt(this.#file!.fd, 0, headBytes);
    // Coarser at the end: that costs a longer repetition after a crash, never a line.
    if (this.#unacked.length === limits.filePlacesMax) this.#unacked.pop();
    this.#unacked.push(this.#place);
  }

  /** It is no longer the file that was read so far: the rest may be in a copy. */
  #truncated(): LogRecord[] {
    const rest = locate(this.#position(this.#place));
    if (!rest) return this.#finish(this.#known.size > this.#place.offset);
    this.#close();
    this.#file = rest;
    this.#inode = rest.inode;
    this.#isCopy = true;
    this.#seen = { size: -1, mtimeMs: -1 };
    return this.#take();
  }

  #finish(isLost: boolean, records: LogRecord[] = []): LogRecord[] {
    this.#ended = true;
    if (!isLost) return records;
    const { nextSeq } = this.#place;
    // Nobody knows how many.
    const gap = { first: nextSeq, last: "?", count: 0, cause: "lost" } as const;
    return [gapRecord(nextSeq, this.options.nowUs(), gap)];
  }

  #close(): void {
    if (this.#file) closeSync(this.#file.fd);
    this.#file = undefined;
  }
}
