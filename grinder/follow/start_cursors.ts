/** A storage and a receive time in, the cursors out from where on all is read that came since then. */
import { type Cursor, epochKey, type Storage } from "../../shared/storage/storage.ts";
import { selectExtents } from "../history/select_frames.ts";

/** Undefined: from now on. Throws `StorageError`. */
export async function startCursors(
  storage: Storage,
  sinceUs: number | undefined,
): Promise<Map<string, Cursor>> {
  const cursors = new Map<string, Cursor>();
  for (const extent of await storage.list(new Map())) {
    const { segment, length, final } = extent;
    cursors.set(
      epochKey(extent),
      final ? { segment: segment + 1, offset: 0 } : { segment, offset: length },
    );
  }
  if (sinceUs === undefined) return cursors;
  // What is selected first of each epoch is the oldest.
  const selected = await selectExtents(storage, { sinceUs, untilUs: Infinity });
  for (const extent of selected.toReversed()) {
    cursors.set(epochKey(extent), { segment: extent.segment, offset: 0 });
  }
  return cursors;
}
