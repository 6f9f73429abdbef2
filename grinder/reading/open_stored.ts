/** A place as the operator writes it in; all that is stored there out, archive, index and hot segments. */
import { type OpenOptions, openStorage, parseS3Place } from "../../shared/storage/open.ts";
import type { Cursors, Storage } from "../../shared/storage/storage.ts";
import { hotFrom, type Manifest } from "../archive/manifest.ts";
import { ManifestStore } from "../archive/manifest_store.ts";
import { openPlace } from "../archive/open_place.ts";
import type { ArchivePlace } from "../archive/place.ts";
import { ArchiveReader } from "../archive/reader.ts";
import { IndexError, IndexFile, indexPath } from "../index/index_file.ts";
import { ArchiveFrames } from "./archive_frames.ts";
import { HotFrames } from "./hot_frames.ts";
import { Stored } from "./stored.ts";

export interface StoredPlace extends OpenOptions {
  data: string;
  /** Where the grinder's outputs are. */
  out?: string | undefined;
}

export interface OpenedPlace {
  storage: Storage;
  stored: Stored;
  index: IndexFile | undefined;
}

/** Where the grinder's outputs are, if nobody says it. */
export function outOf({ data, out }: StoredPlace): string {
  return out ?? (parseS3Place(data) ? "./data" : data);
}

/** What is read is made of; `from` is where hot segments begin that aren't in the archive. */
export interface StoredParts {
  storage: Storage;
  index: IndexFile | undefined;
  from: Cursors;
  /** Undefined where nothing is archived. */
  archive: ArchiveFrames | undefined;
}

/** What is stored: the archive by its manifest, and the storage of the segments, of which that says where they begin. */
export interface StoredData {
  storage: Storage;
  place: ArchivePlace;
  manifest: Manifest;
  reader: ArchiveReader;
}

/** One manifest holds for all that is read. Throws `StorageError`, `ArchiveError`. */
export async function openData(
  place: OpenOptions & Pick<StoredPlace, "data">,
  warn: (text: string) => void,
): Promise<StoredData> {
  // Of a bucket each takes requests of its own, and a first line waits for all of them.
  const [storage, archived] = await Promise.all([
    openStorage(place.data, place),
    openArchive(place),
  ]);
  const reader = new ArchiveReader(archived.place, archived.manifest, ({ why }) => warn(why));
  return { storage, ...archived, reader };
}

async function openArchive(options: OpenOptions & Pick<StoredPlace, "data">) {
  const place = await openPlace(options.data, options);
  return { place, manifest: await new ManifestStore(place).newest(0) };
}

/**
 * The same, for who asks for few devices. `warn` is told of what can't be read, and of what is slower
 * for want of an index. Throws `StorageError`, `ArchiveError`.
 */
export async function openParts(
  place: StoredPlace,
  warn: (text: string) => void,
): Promise<StoredParts> {
  const { storage, manifest, reader } = await openData(place, warn);
  const index = openIndex(indexPath(outOf(place)), warn);
  const archive = manifest.files.length === 0 ? undefined : new ArchiveFrames(reader);
  return { storage, index, from: hotFrom(manifest), archive };
}

/** The same, as one. */
export async function openStored(
  place: StoredPlace,
  warn: (text: string) => void,
): Promise<OpenedPlace> {
  const { storage, index, from, archive } = await openParts(place, warn);
  const hot = new HotFrames({ storage, index, from, warn });
  return { storage, index, stored: new Stored(archive ? [archive, hot] : [hot]) };
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
