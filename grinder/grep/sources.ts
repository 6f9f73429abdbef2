/** A place and a selection in, all that is stored there as tasks out: the archive first, which is older. */
import { limits } from "../../shared/limits.ts";
import { openStorage } from "../../shared/storage/open.ts";
import type { Storage } from "../../shared/storage/storage.ts";
import { hotFrom } from "../archive/manifest.ts";
import { ManifestStore } from "../archive/manifest_store.ts";
import { openPlace } from "../archive/open_place.ts";
import { ArchiveReader } from "../archive/reader.ts";
import { IndexError, IndexFile, indexPath } from "../index/index_file.ts";
import { ArchiveFrames } from "../reading/archive_frames.ts";
import type { Selection } from "../reading/frame_source.ts";
import { HotFrames } from "../reading/hot_frames.ts";
import { outOf, type StoredPlace } from "../reading/open_stored.ts";
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
  const [storage, archive] = await Promise.all([
    openStorage(place.data, place),
    openPlace(place.data, place),
  ]);
  const manifest = await new ManifestStore(archive).newest(0);
  const index = openIndex(indexPath(outOf(place)), warn);
  const from = hotFrom(manifest);
  const archived = (selection: Selection) => {
    if (manifest.files.length === 0) return [];
    const reader = new ArchiveReader(archive, manifest, ({ why }) => warn(why));
    return [new TextTasks(new ArchiveFrames(reader).frames(selection))];
  };
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

function openIndex(path: string, warn: (text: string) => void): IndexFile | undefined {
  try {
    return IndexFile.read(path);
  } catch (error) {
    if (!(error instanceof IndexError)) throw error;
    warn(`${error.message}. All is read without it; \`deno task index --rebuild\` makes it anew`);
    return undefined;
  }
}
