/**
 * One path across rotation and truncation: what stood behind it is given out one file after the other,
 * oldest first, each as a source of its own.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fstatSync } from "node:fs";
import { basename } from "node:path";
import { isName } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import type { FilePosition } from "./file_checkpoint.ts";
import { FileSource, type FileSourceOptions } from "./file_source.ts";
import { printOf, surelyHolds } from "./print.ts";
import { locate, type OpenFile, openFile, pathsSince } from "./rotated.ts";

export interface FollowedFileOptions
  extends Pick<FileSourceOptions, "boot" | "checkpoint" | "nowUs" | "monotonicMs" | "sleep"> {
  path: string;
}

export class FollowedFile {
  #position: FilePosition | undefined;
  #current: FileSource | undefined;
  #started = false;
  #closed = false;

  constructor(private readonly options: FollowedFileOptions) {}

  /**
   * The next file with anything in it; waits for it. Undefined after `close`, or when nothing is
   * there under the path: it may be followed anew when something is. Only to be called when the
   * source before has ended and is acknowledged.
   */
  async next(): Promise<FileSource | undefined> {
    if (this.#closed) await this.#current?.saved();
    else await this.#settle();
    while (!this.#closed) {
      const resumed = this.#resume();
      if (resumed) return resumed;
      const file = this.#nextFile();
      if (file) return await this.#startOn(file);
      if (!this.#isThere()) return undefined;
      await this.options.sleep(limits.filePollMs);
    }
    return undefined;
  }

  close(): void {
    this.#closed = true;
    this.#current?.close();
  }

  async #settle(): Promise<void> {
    if (!this.#started) this.#position = await this.options.checkpoint.load();
    else if (this.#current) this.#position = await this.#current.end();
    this.#started = true;
    this.#current = undefined;
  }

  /** The file of the position, if there may be more of it. */
  #resume(): FileSource | undefined {
    const position = this.#position;
    if (!position) return undefined;
    if (!position.ended) return this.#source(locate(position), position);
    const file = openFile(this.options.path);
    if (!file) return undefined;
    // Taken for rotated away, and back in its place.
    if (file.inode === position.inode && surelyHolds(file.fd, position)) {
      if (fstatSync(file.fd).size > position.offset) return this.#source(file, position);
    }
    closeSync(file.fd);
    return undefined;
  }

  /** The oldest that came after the position and has something in it. */
  #nextFile(): OpenFile | undefined {
    const { path } = this.options;
    const position = this.#position;
    for (const candidate of [...(position ? pathsSince(position) : []), path]) {
      const file = openFile(candidate);
      if (!file) continue;
      const isLast = position && file.inode === position.inode && surelyHolds(file.fd, position);
      if (fstatSync(file.fd).size > 0 && !isLast) return file;
      closeSync(file.fd);
    }
    return undefined;
  }

  async #startOn(file: OpenFile): Promise<FileSource> {
    const stream = randomBytes(9).toString("hex");
    const nothing = printOf(new Uint8Array());
    const position: FilePosition = {
      path: this.options.path,
      stream,
      inode: file.inode,
      nextSeq: 0,
      offset: 0,
      head: nothing,
      tail: nothing,
      mtimeMs: fstatSync(file.fd).mtimeMs,
      ended: false,
    };
    // So that it is found, and under this stream, if it is rotated away while no agent runs.
    await this.options.checkpoint.save(position);
    return this.#source(file, position);
  }

  #source(file: OpenFile | undefined, position: FilePosition): FileSource {
    const { path, boot, checkpoint, nowUs, monotonicMs, sleep } = this.options;
    this.#current = new FileSource({
      source: fileSourceName(path),
      boot,
      file,
      position,
      checkpoint,
      nowUs,
      monotonicMs,
      sleep,
    });
    if (this.#closed) this.#current.close();
    return this.#current;
  }

  #isThere(): boolean {
    const file = openFile(this.options.path);
    if (file) closeSync(file.fd);
    return file !== undefined;
  }
}

/** `file:NAME`, of the base name; what a name can't hold becomes `_`. */
export function fileSourceName(path: string): string {
  const name = `file:${basename(path).replaceAll(/[^A-Za-z0-9._:@+-]/g, "_")}`;
  return isName(name) ? name : name.slice(0, limits.nameBytesMax);
}
