/**
 * A storage folder in, a second one out that has all that was ever stored there, whatever is deleted
 * meanwhile: each segment has a second name there from its beginning on, so that it is the same file.
 */
import { existsSync, linkSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatCommitted } from "../../shared/storage/storage.ts";

const lookMs = 100;

export class Mirror {
  readonly #linked = new Set<string>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(private readonly data: string, readonly folder: string) {
    mkdirSync(join(folder, "segments"), { recursive: true });
    this.#timer = setInterval(() => this.#look(), lookMs);
  }

  get segments(): number {
    return this.#linked.size;
  }

  /** Nobody writes any more: what is there is all. Gives the folder. */
  end(): string {
    clearInterval(this.#timer);
    this.#look();
    for (const epoch of foldersBelow(join(this.folder, "segments"), 2)) {
      const folder = join(this.folder, "segments", epoch);
      const last = readdirSync(folder).filter((name) => name.endsWith(".zst")).sort().at(-1);
      if (last === undefined) continue;
      const { size: length } = statSync(join(folder, last));
      const committed = { segment: Number(last.slice(0, 8)), length, ended: true };
      writeFileSync(join(folder, "committed"), formatCommitted(committed));
    }
    return this.folder;
  }

  #look(): void {
    const segments = join(this.data, "segments");
    for (const path of foldersBelow(segments, 3).filter((path) => path.endsWith(".zst"))) {
      if (this.#linked.has(path)) continue;
      mkdirSync(join(this.folder, "segments", path, ".."), { recursive: true });
      linkSync(join(segments, path), join(this.folder, "segments", path));
      this.#linked.add(path);
    }
  }
}

/** Paths so many levels below; of folders that are being deleted, nothing. */
function foldersBelow(folder: string, depth: number): string[] {
  if (!existsSync(folder)) return [];
  let paths = [""];
  for (let level = 0; level < depth; level++) {
    paths = paths.flatMap((path) => namesIn(join(folder, path)).map((name) => join(path, name)));
  }
  return paths;
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}
