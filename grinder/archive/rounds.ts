/** One round of archiving: all that is closed, then merges, then what isn't needed any more goes. */
import { limits } from "../../shared/limits.ts";
import { type CursorNote, type Notes, parseCursorNote } from "../../shared/storage/cursors.ts";
import type { Cursors, Storage } from "../../shared/storage/storage.ts";
import type { Archiver, RunReport } from "./archiver.ts";
import { ManifestRaceError } from "./manifest_store.ts";
import type { ArchivePlace } from "./place.ts";
import { archivedBefore, deleteHot, type HotPass, sweepArchive } from "./sweep.ts";

export interface RoundOptions {
  archiver: Archiver;
  storage: Pick<Storage, "list">;
  place: ArchivePlace;
  partitions: number;
  deleteHot: boolean;
  /** Archived segments stay so long at least; an hour, if it is less. */
  keepHotMs?: number;
  /** Archive files of which nothing was received for so long go; undefined: none. */
  keepMs?: number;
  /** Where readers say how far they have come. */
  notes?: Pick<Notes, "all">;
  /** Told what was archived so long ago that no reader takes it for hot: retention keeps the rest. */
  archived?: (cursors: Cursors) => Promise<void>;
  stop: AbortSignal;
  nowMs: () => number;
  report: (text: string) => void;
}

export interface Round extends Pick<RunReport, "segments" | "rows" | "textBytes" | "archiveBytes"> {
  resentRecords: number;
  damagedSegments: number;
  merges: number;
  /** Archive files that were too old. */
  expired: number;
  swept: number;
  hot: HotPass | undefined;
}

/** Throws as `Archiver.run` does. Ends between two runs if it is told to stop. */
export async function archiveAll(options: RoundOptions): Promise<Round> {
  const { archiver, storage, place, stop } = options;
  const round: Round = {
    ...{
      segments: 0,
      rows: 0,
      textBytes: 0,
      archiveBytes: 0,
      resentRecords: 0,
      damagedSegments: 0,
    },
    ...{ merges: 0, expired: 0, swept: 0, hot: undefined },
  };
  for (let more = true; more && !stop.aborted;) {
    const run = await unlessRaced(() => archiver.run());
    if (run) addRun(round, run);
    more = run?.more ?? false;
  }
  while (!stop.aborted && await unlessRaced(() => archiver.merge())) round.merges++;
  if (stop.aborted) return round;
  const { keepMs } = options;
  if (keepMs !== undefined) round.expired = await unlessRaced(() => archiver.expire(keepMs));
  const nowMs = options.nowMs();
  const manifest = await archiver.store.newest(options.partitions);
  await options.archived?.(archivedBefore(manifest, nowMs - limits.archiveGraceMs));
  round.swept = await sweepArchive(place, archiver.store, manifest, nowMs);
  if (!options.deleteHot) return round;
  const readers = await readersOf(options.notes, nowMs);
  const { keepHotMs = 0 } = options;
  round.hot = await deleteHot(storage, place, manifest, { nowMs, readers, keepHotMs });
  return round;
}

/** Two archivers: the one that came too late begins anew, from what the other has published. */
async function unlessRaced<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ManifestRaceError)) throw error;
    return await work();
  }
}

function addRun(round: Round, run: RunReport): void {
  round.segments += run.segments;
  round.rows += run.rows;
  round.textBytes += run.textBytes;
  round.archiveBytes += run.archiveBytes;
  round.resentRecords += run.resentRecords;
  round.damagedSegments += run.damagedSegments;
}

/** Those that are alive, as the retention sees it. */
async function readersOf(notes: RoundOptions["notes"], nowMs: number): Promise<CursorNote[]> {
  const texts = [...await notes?.all() ?? []].map(([, text]) => parseCursorNote(text));
  return texts.filter((note) => note !== undefined)
    .filter(({ writtenMs }) => Math.abs(nowMs - writtenMs) <= limits.cursorAgeMsMax);
}

/** For people. */
export function formatReport(round: Round, ms: number): string {
  const { segments, rows, textBytes, archiveBytes, resentRecords, damagedSegments, hot } = round;
  const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
  const ratio = archiveBytes === 0 ? "" : `, ${(textBytes / archiveBytes).toFixed(1)}:1`;
  const parts = [
    `${segments} segments, ${rows} records, ${mb(textBytes)} MB of them in ${
      mb(archiveBytes)
    } MB${ratio}`,
    `${(ms / 1000).toFixed(1)} s`,
  ];
  if (resentRecords > 0) parts.push(`${resentRecords} sent again`);
  if (damagedSegments > 0) parts.push(`${damagedSegments} segments with damage, which stay`);
  if (round.merges > 0) parts.push(`${round.merges} merges`);
  if (round.expired > 0) parts.push(`${round.expired} archive files were too old`);
  if (hot) parts.push(`${hot.deletedSegments} hot segments deleted (${mb(hot.deletedBytes)} MB)`);
  if (hot && hot.heldBack > 0) parts.push(`${hot.heldBack} wait for their readers`);
  return parts.join("; ");
}
