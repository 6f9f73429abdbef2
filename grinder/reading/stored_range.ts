/** What is stored and a range of receive time in; all of that range, archived or not, to be read once. */
import type { Cursors } from "../../shared/storage/storage.ts";
import { hotFrom } from "../archive/manifest.ts";
import { ArchiveEpoch } from "../history/archive_epoch.ts";
import type { Progress } from "../history/select_frames.ts";
import { SelectedStorage } from "../history/selected_storage.ts";
import type { TimeRange } from "../history/time_range.ts";
import { ArchiveFrames } from "./archive_frames.ts";
import { HotFrames } from "./hot_frames.ts";
import type { StoredData } from "./open_stored.ts";
import { Stored } from "./stored.ts";

export interface StoredRange {
  /** The hot segments, and how large all of it is. */
  selected: SelectedStorage;
  stored: Stored;
}

export interface RangeOptions {
  progress?: (progress: Progress) => void;
  /** Told of what can't be read. */
  warn: (text: string) => void;
}

/** Throws `StorageError`. */
export async function openRange(
  { storage, place, manifest, reader }: StoredData,
  range: TimeRange,
  { progress, warn }: RangeOptions,
): Promise<StoredRange> {
  const from: Cursors = hotFrom(manifest);
  const archive = { epoch: new ArchiveEpoch(place, manifest, range), reader };
  const selected = await SelectedStorage.open({ storage, from, archive, progress }, range);
  const archived = new ArchiveFrames(reader, selected.done.bind(selected));
  const hot = new HotFrames({ storage: selected, from, warn });
  return { selected, stored: new Stored([archived, hot]) };
}
