/**
 * What a grinder has made, by age: the day files of its outputs, which go when their day is over for so
 * long; and the index of segments that are gone. Nobody is asked: who reads a day file that goes keeps
 * what it has open, as with any file.
 */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { epochKey, type Storage } from "../shared/storage/storage.ts";
import { kinds } from "./day_files.ts";
import { IndexFile, indexPath } from "./index/index_file.ts";

const dayMs = 86_400_000;

/** Gives what it deleted, by path below `out`. */
export function deleteOldOutputs(out: string, keepMs: number, nowMs: number): string[] {
  return kinds.flatMap((kind) => namesIn(join(out, kind)).map((name) => `${kind}/${name}`))
    .filter((path) => nowMs - dayEndMs(path) > keepMs)
    .map((path) => {
      rmSync(join(out, path), { force: true });
      return path;
    });
}

/** Never for what isn't a day's file. */
function dayEndMs(path: string): number {
  const [, year, month, day] = /\/(\d{4})(\d\d)(\d\d)\.jsonl$/.exec(path) ?? [];
  return year === undefined ? Infinity : Date.UTC(+year, +month! - 1, +day!) + dayMs;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Gives how many parts it took away. Throws `StorageError`, `IndexError`. */
export async function forgetGoneIndex(
  storage: Pick<Storage, "list">,
  out: string,
  nowMs: number,
  report: (text: string) => void,
): Promise<number> {
  using index = IndexFile.write(indexPath(out), nowMs, report);
  // Before the storage is listed: so none is of an epoch that began later.
  const known = new Set(index.parts().map(({ id }) => id));
  const epochs = Map.groupBy(await storage.list(new Map()), epochKey);
  return index.remove(({ id, epoch, to: { segment, offset } }) => {
    if (!known.has(id)) return false;
    const first = epochs.get(epoch)?.[0];
    return !first || segment < first.segment || (segment === first.segment && offset === 0);
  });
}

export interface RetentionOptions {
  storage: Pick<Storage, "list">;
  out: string;
  /** Undefined: outputs stay. */
  keepMs: number | undefined;
  /** At most so often. */
  everyMs: number;
  nowMs: () => number;
  report: (text: string) => void;
}

/** Called often, it does all of that once in a while; what fails is said, and tried again next time. */
export class Retention {
  #nextMs = -Infinity;

  constructor(private readonly options: RetentionOptions) {}

  async run(): Promise<void> {
    const { storage, out, keepMs, everyMs, report } = this.options;
    const nowMs = this.options.nowMs();
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + everyMs;
    try {
      const deleted = keepMs === undefined ? [] : deleteOldOutputs(out, keepMs, nowMs);
      if (deleted.length > 0) report(`deleted ${deleted.join(", ")}: older than they are kept`);
      await forgetGoneIndex(storage, out, nowMs, report);
    } catch (error) {
      report(`Cannot delete what is old: ${(error as Error).message}`);
    }
  }
}
