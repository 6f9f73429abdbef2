/** Patterns of paths in, a source for each file that matches: those there now, and those that come. */
import { createHash } from "node:crypto";
import { existsSync, globSync, readdirSync, rmSync, statSync } from "node:fs";
import { join, matchesGlob, resolve } from "node:path";
import { limits } from "../../shared/limits.ts";
import { FileCheckpoint } from "./file_checkpoint.ts";
import type { FileSource } from "./file_source.ts";
import { fileSourceName, FollowedFile, type FollowedFileOptions } from "./followed_file.ts";
import { looksRotated } from "./rotated.ts";

export interface FollowFilesOptions
  extends Pick<FollowedFileOptions, "boot" | "nowUs" | "monotonicMs" | "sleep"> {
  /** Paths, or globs as `/var/log/*.log`. */
  patterns: string[];
  /** The folder of the checkpoints. */
  state: string;
  /** Unix time in milliseconds. */
  nowMs: () => number;
  /** Told of changes of state only. */
  report: (text: string) => void;
  /** Sends a source until it has ended and all of it is acknowledged. */
  ship: (source: FileSource) => Promise<void>;
  filesMax?: number;
}

/**
 * A path may be empty for a while, and what stood behind it in between be rotated away already: its
 * position says since when. Nobody looks for longer than this.
 */
const positionKeptMs = 7 * 86_400_000;

const isGlob = (pattern: string) => /[*?[\]{}]/.test(pattern);

/** The files that are meant: what looks rotated or packed only if it is named in full. */
export function globFiles(patterns: string[]): string[] {
  const found = patterns.flatMap((pattern) =>
    isGlob(pattern) ? globSync(pattern).filter((path) => !looksRotated(path)) : [pattern]
  );
  return [...new Set(found.map((path) => resolve(path)))]
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile()).sort();
}

export class FilesFollower {
  readonly #files = new Map<string, FollowedFile>();
  readonly #running = new Map<string, Promise<void>>();
  /** What was said, until it is no longer so. */
  readonly #troubles = new Set<string>();
  #closed = false;

  constructor(private readonly options: FollowFilesOptions) {}

  /** Resolves after `close`, when all that was read is acknowledged. */
  async run(): Promise<void> {
    // One that was renamed while no agent ran isn't there, but what it was still is.
    let paths = await this.#pathsKnown();
    while (!this.#closed) {
      paths.push(...this.#attempt("the patterns", () => globFiles(this.options.patterns)) ?? []);
      this.#followAll(paths);
      await this.options.sleep(limits.filePollMs);
      paths = [];
    }
    await Promise.all(this.#running.values());
  }

  close(): void {
    this.#closed = true;
    for (const file of this.#files.values()) file.close();
  }

  /** Paths with a checkpoint, as far as they are still meant; a very old one goes. */
  async #pathsKnown(): Promise<string[]> {
    const { state, patterns, nowMs } = this.options;
    const wanted = patterns.map((pattern) => resolve(pattern));
    const paths: string[] = [];
    for (const name of readdirSync(state).filter((name) => checkpointName.test(name))) {
      const file = join(state, name);
      const path = (await new FileCheckpoint(file).load())?.path;
      if (path === undefined) continue;
      const isOld = nowMs() - statSync(file).mtimeMs > positionKeptMs;
      if (isOld && !existsSync(path)) rmSync(file);
      else if (wanted.some((one) => one === path || matchesGlob(path, one))) paths.push(path);
    }
    return paths;
  }

  #followAll(paths: string[]): void {
    const { filesMax = limits.filesMax, report } = this.options;
    const left: string[] = [];
    for (const path of new Set(paths)) {
      if (this.#files.has(path)) continue;
      if (this.#files.size >= filesMax) left.push(path);
      else this.#follow(path);
    }
    this.#tell(
      "too many files",
      left.length === 0 ? undefined : () =>
        report(
          `Cannot follow ${left[0]} because at most ${filesMax} files are: ` +
            `${left.length} more match`,
        ),
    );
  }

  #follow(path: string): void {
    const { state, report, boot, nowUs, monotonicMs, sleep } = this.options;
    const checkpoint = new FileCheckpoint(join(state, checkpointFile(path)), report);
    const file = new FollowedFile({ path, checkpoint, boot, nowUs, monotonicMs, sleep });
    this.#files.set(path, file);
    this.#running.set(path, this.#shipAll(path, file));
  }

  async #shipAll(path: string, file: FollowedFile): Promise<void> {
    const { ship, report } = this.options;
    try {
      for (let source = await file.next(); source; source = await file.next()) {
        this.#tell(path, undefined);
        await ship(source);
      }
    } catch (error) {
      // It may be readable later: each look at the patterns tries it again.
      this.#tell(path, () => report(`Cannot follow ${path}: ${(error as Error).message}`));
    } finally {
      this.#files.delete(path);
      this.#running.delete(path);
    }
  }

  #attempt<T>(what: string, action: () => T): T | undefined {
    try {
      const value = action();
      this.#tell(what, undefined);
      return value;
    } catch (error) {
      const { message } = error as Error;
      this.#tell(what, () => this.options.report(`Cannot follow ${what}: ${message}`));
      return undefined;
    }
  }

  /** Once for each trouble, until it is over. */
  #tell(what: string, say: (() => void) | undefined): void {
    if (!say) return void this.#troubles.delete(what);
    if (!this.#troubles.has(what)) say();
    this.#troubles.add(what);
  }
}

const checkpointName = /^checkpoint-file:.*\.json$/;

/** Two files may have one base name; their paths differ. */
function checkpointFile(path: string): string {
  const hash = createHash("sha256").update(path).digest("hex").slice(0, 8);
  return `checkpoint-${fileSourceName(path)}-${hash}.json`;
}
