/**
 * Lines to a storage as a receiver fills it, and to the same as files for other programs: text and zstd,
 * each in two halves, since those programs use one core.
 *
 *     data/          the storage
 *     half-0.txt     half-1.txt     the records and the lines between blocks, as they are stored
 *     half-0.zst     half-1.zst     the same, compressed: the segments' frames
 */
import { Buffer } from "node:buffer";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { CommitQueue } from "../../shared/commit_queue.ts";
import { readFrames } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { decompressFrame } from "../../shared/zstd.ts";
import type { Line } from "./corpus.ts";
import { DeviceBlocks } from "./device_blocks.ts";

export interface CorpusOptions {
  folder: string;
  textBytes: number;
  devices: number;
  /** Of the records under one header, about. */
  blockBytes: number;
  random: () => number;
  nextLine: () => Line;
}

/** Blocks that wait for their commit at a time: some frames. */
const appendsMax = 4_000;
const startUs = Date.UTC(2026, 10, 22, 12) * 1000;
const bootUs = startUs - 3600e6;

/** Returns how much text is stored, headers included. */
export async function storeCorpus(options: CorpusOptions): Promise<number> {
  const { folder, textBytes } = options;
  const storage = new FolderStorage(join(folder, "data"));
  const queue = new CommitQueue(await storage.createEpoch("bench"));
  const blocks = new DeviceBlocks({ ...options, bootUs });
  let [bytes, recvUs] = [0, startUs];
  let appends: Promise<void>[] = [];
  while (bytes < textBytes) {
    const block = Buffer.from(blocks.next(recvUs += 40), "latin1");
    bytes += block.length;
    appends.push(queue.append(block));
    if (appends.length < appendsMax) continue;
    await Promise.all(appends);
    appends = [];
  }
  await Promise.all(appends);
  await queue.close();
  await writeHalves(storage, folder, bytes);
  return bytes;
}

async function writeHalves(storage: FolderStorage, folder: string, bytes: number): Promise<void> {
  const names = [0, 1].flatMap((half) => [`half-${half}.txt`, `half-${half}.zst`]);
  const files = names.map((name) => openSync(join(folder, name), "w"));
  let done = 0;
  for await (const { frame } of readFrames(storage, new Map())) {
    if (!frame || frame.textBytes < 10) continue;
    const half = done < bytes / 2 ? 0 : 2;
    writeSync(files[half]!, decompressFrame(frame.bytes, frame.textBytes));
    writeSync(files[half + 1]!, frame.bytes);
    done += frame.textBytes;
  }
  files.forEach(closeSync);
}
