/**
 * What isn't needed any more, away: archive files that no manifest names, since they are old enough to be
 * no running archiver's; and, where that is asked for, hot segments that are in the archive, an hour after
 * the manifest that says so at the earliest.
 */
import { limits } from "../../shared/limits.ts";
import { type CursorNote, hasRead } from "../../shared/storage/cursors.ts";
import { type Cursors, epochKey, segmentPath, type Storage } from "../../shared/storage/storage.ts";
import type { Manifest } from "./manifest.ts";
import type { ManifestStore } from "./manifest_store.ts";
import { writtenMs } from "./paths.ts";
import type { ArchivePlace } from "./place.ts";

/** Gives how many files it deleted. Throws `StorageError`. */
export async function sweepArchive(
  place: ArchivePlace,
  store: ManifestStore,
  manifest: Manifest,
  nowMs: number,
): Promise<number> {
  const needed = new Set([
    ...manifest.files.map(({ path }) => path),
    ...Object.values(manifest.seen),
    ...manifest.dropped.filter(({ ms }) => nowMs - ms < limits.archiveGraceMs).map(({ path }) =>
      path
    ),
  ]);
  let deleted = 0;
  for (const { path } of await place.list("archive")) {
    const ms = writtenMs(path);
    // What isn't named as ours isn't ours.
    if (ms === undefined || needed.has(path) || nowMs - ms < limits.archiveGarbageMs) continue;
    await place.remove(path);
    deleted++;
  }
  await store.forgetBefore(nowMs - limits.archiveGraceMs);
  return deleted;
}

export interface HotPass {
  deletedSegments: number;
  deletedBytes: number;
  /** Archived, and not yet read by a reader that said how far it has come. */
  heldBack: number;
  /** With damage in them, which isn't in the archive. */
  damaged: number;
}

/** Throws `StorageError`. */
export async function deleteHot(
  storage: Pick<Storage, "list">,
  place: Pick<ArchivePlace, "remove">,
  manifest: Manifest,
  { nowMs, readers, keepHotMs = 0 }: {
    nowMs: number;
    readers: readonly CursorNote[];
    /** Since they were archived. */
    keepHotMs?: number;
  },
): Promise<HotPass> {
  const pass = { deletedSegments: 0, deletedBytes: 0, heldBack: 0, damaged: 0 };
  const archived = archivedBefore(manifest, nowMs - Math.max(limits.archiveGraceMs, keepHotMs));
  const damaged = new Set(manifest.damaged);
  const held = new Set<string>();
  for (const extent of await storage.list(new Map())) {
    const key = epochKey(extent);
    if (!extent.final || !(extent.segment < (archived.get(key)?.segment ?? 0))) continue;
    const isRead = readers.every((reader) => hasRead(reader, extent, extent.length));
    if (damaged.has(segmentPath(extent))) pass.damaged++;
    else if (!isRead) pass.heldBack++;
    // Only from an epoch's beginning: readers take no number to be missing behind the first.
    else if (!held.has(key)) {
      await place.remove(segmentPath(extent));
      pass.deletedSegments++;
      pass.deletedBytes += extent.length;
      continue;
    }
    held.add(key);
  }
  return pass;
}

/** By the newest swap that is old enough. */
export function archivedBefore({ swaps }: Manifest, ms: number): Cursors {
  const swap = swaps.findLast((one) => one.ms <= ms);
  return new Map(Object.entries(swap?.cursors ?? {}));
}
