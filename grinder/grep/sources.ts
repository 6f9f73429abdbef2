/** A place and a selection in, all that is stored there as tasks out: the archive first, which is older. */
import { limits } from "../../shared/limits.ts";
import type { Storage } from "../../shared/storage/storage.ts";
import type { IndexFile } from "../index/index_file.ts";
import type { Selection } from "../reading/frame_source.ts";
import { HotFrames } from "../reading/hot_frames.ts";
import { openParts, type StoredPlace } from "../reading/open_stored.ts";
import { GramFilter } from "./gram_filter.ts";
import type { GramQuery } from "./gram_query.ts";
import { HotReads } from "./hot_reads.ts";
import { skippedFound } from "./search.ts";
import { HotTasks, type TaskSource, TextTasks } from "./tasks.ts";

export interface Opened {
  storage: Storage;
  index: IndexFile | undefined;
  /** One after the other. */
  sources: (
    selection: Selection,
    looked: LookedFor,
  ) => Promise<OpenedSources>;
}

export interface OpenedSources {
  sources: TaskSource[];
  storedBytesTotal: number;
  /** Whether what can't match is left out, as far as that is known. */
  isFiltered: boolean;
}

export interface LookedFor {
  /** What is to be read is what it lets through; undefined: all. */
  query: GramQuery | undefined;
  /** Whether clock records are wanted. */
  clocks: boolean;
}

/** One manifest holds for all that is read. Throws `StorageError`, `ArchiveError`. */
export async function openSources(
  place: StoredPlace,
  warn: (text: string) => void,
): Promise<Opened> {
  const { storage, index, from, archive } = await openParts(place, warn);
  const archived = (selection: Selection) =>
    archive ? [new TextTasks(archive.frames(selection))] : [];
  const sources = async (selection: Selection, { query, clocks }: LookedFor) => {
    const { devices } = selection;
    if (index && devices && devices.size <= limits.grepIndexedDevicesMax) {
      const frames = new HotFrames({ storage, index, from, warn }).frames(selection);
      const sources = [...archived(selection), new TextTasks(frames)];
      return { sources, storedBytesTotal: 0, isFiltered: false };
    }
    const filter = index && query
      ? new GramFilter({ grams: index.grams, query, clocks, warn })
      : undefined;
    const reads = await HotReads.open(storage, from, selection, filter);
    const { storedBytesTotal } = reads;
    const hot = new HotTasks(reads, warn, skippedFound);
    const isFiltered = filter !== undefined && !archive;
    return { sources: [...archived(selection), hot], storedBytesTotal, isFiltered };
  };
  return { storage, index, sources };
}
