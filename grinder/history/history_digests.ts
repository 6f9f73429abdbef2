/** What is selected of a storage to digests, for the grinder: what is archived, then the hot segments. */
import type { Cursors, Storage } from "../../shared/storage/storage.ts";
import { epochKey } from "../../shared/storage/storage.ts";
import type { Digested } from "../engine/engine.ts";
import type { Rule } from "../rule.ts";
import { ArchiveDigests } from "./archive_digests.ts";
import { GroupThreads } from "./group_threads.ts";
import type { SelectedStorage } from "./selected_storage.ts";

export interface HistoryDigestsOptions {
  storage: SelectedStorage;
  rules: readonly Rule[];
  /** Where other threads find them. */
  rulesPath: string;
  /** Other threads. */
  threads: number;
  /** Of hot segments: engine/engine.ts. */
  digests: (storage: Storage, cursors: Cursors) => AsyncIterable<Digested>;
  /** `BuiltInEvents.heardAt` */
  heardAt: (receiver: string, recvUs: number) => void;
  warn: (text: string) => void;
}

/** Everything beyond the cursors. Throws `StorageError`. */
export async function* historyDigests(
  options: HistoryDigestsOptions,
  cursors: Cursors,
): AsyncGenerator<Digested> {
  const { storage, digests } = options;
  const { archive: epoch } = storage;
  if (epoch && (cursors.get(epochKey(epoch.name))?.segment ?? 0) < epoch.files.length) {
    await using threads = new GroupThreads(options);
    const done = storage.done.bind(storage);
    yield* new ArchiveDigests({ ...options, epoch, threads, done }).from(cursors);
  }
  if ((await storage.list(new Map())).length > 0) yield* digests(storage, cursors);
}
