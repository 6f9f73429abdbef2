/** Where the fuzzed receiver stores, and how what it stored is read: with the readers that all use. */
import { type Block, readBlocks } from "../../shared/block.ts";
import type { Sink } from "../../shared/commit_queue.ts";
import { forEachRecord } from "../../shared/record.ts";
import { readNew, splitFrames } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { type Cursor, epochKey } from "../../shared/storage/storage.ts";

export interface Store {
  sink: Sink;
  /** Texts of the frames that were committed since the last time. Throws if any is damaged. */
  news: () => AsyncIterable<string>;
}

export class MemoryStore implements Store {
  #frames: Uint8Array[] = [];

  sink: Sink = {
    pace: { companyMs: 0, batchBytes: 0, parallel: 1 },
    commit: (frames) => {
      this.#frames.push(...frames);
      return Promise.resolve();
    },
    probe: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };

  async *news() {
    for (const frame of this.#frames.splice(0)) {
      for (const part of splitFrames(frame, true)) yield textOf(part);
    }
  }
}

export async function folderStore(path: string): Promise<Store> {
  const storage = new FolderStorage(path);
  const sink = await storage.createEpoch("fuzzed");
  const cursors = new Map<string, Cursor>();
  const news = async function* () {
    for await (const read of readNew(storage, cursors)) {
      cursors.set(epochKey(read), read.next);
      // Nothing is in it where a segment ends.
      if (read.text !== undefined || read.damage !== undefined) yield textOf(read);
    }
  };
  return { sink, news };
}

function textOf({ text, damage }: { text?: string; damage?: string }): string {
  if (text === undefined) throw new Error(`what was stored is damaged: ${damage}`);
  return text;
}

/** The blocks of a frame. Throws where a text stands under no header. */
export function blocksOf(frame: string): Block[] {
  const blocks = [...readBlocks(frame, (text) => {
    throw new Error(`what was stored is no block: ${JSON.stringify(text.slice(0, 100))}`);
  })];
  // What isn't a record is set aside by readers; here it only must not throw.
  for (const { text } of blocks) forEachRecord(text, () => {}, () => {});
  return blocks;
}
