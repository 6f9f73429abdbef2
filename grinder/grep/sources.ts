/** A place and a selection in, all that is stored there as tasks out: the archive first, which is older. */
import { limits } from "../../shared/limits.ts";
import type { Storage } from "../../shared/storage/storage.ts";
import type { IndexFile } from "../index/index_file.ts";
import type { Selection } from "../reading/frame_source.ts";
import { HotFrames } from "../reading/hot_frames.ts";
import { openParts, type StoredPlace } from "../reading/open_stored.ts";
import { HotReads } from "./hot_reads.ts";
import { HotTasks, type TaskSource, TextTasks } from "./tasks.ts";

export interface Opened {
  storage: Storage;
  index: IndexFile | undefined;
  /** One after the other. */
  sources: (selection: Selection) => Promise<{ sources: TaskSource[]; storedBytesTotal: number }>;
}

/** One manifest holds for all that is read. Throws `StorageError`, `ArchiveError`. */
export async function openSources(
  place: StoredPlace,
  warn: (text: string) => void,
): Promise<Opened> {
  const { storage, index, from, archive } = await openParts(place, warn);
  const archived = (selection: Selection) =>
    archive ? [new TextTasks(archive.frames(selection))] : [];
  const sources = async (selection: Selection) => {
    const { devices } = selection;
    if (index && devices && devices.size <= limits.grepIndexedDevicesMax) {
      const frames = new HotFrames({ storage, index, from, warn }).frames(selection);
      return { sources: [...archived(selection), new TextTasks(frames)], storedBytesTotal: 0 };
    }
    const reads = await HotReads.open(storage, from, selection);
    const { storedBytesTotal } = reads;
    return { sources: [...archived(selection), new HotTasks(reads, warn)], storedBytesTotal };
  };
  return { storage, index, sources };
}
