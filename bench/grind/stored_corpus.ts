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
import { formatBlockHeader } from "../../shared/block.ts";
import { CommitQueue } from "../../shared/commit_queue.ts";
import { formatRecord, syncRecord } from "../../shared/record.ts";
import { readFrames } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { decompressFrame } from "../../shared/zstd.ts";
import type { Line } from "./corpus.ts";

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
/** A device says what time it is so often: each 30 s, at 35 KB a minute in blocks of 2.5 KB. */
const blocksPerSync = 7;
const startUs = Date.UTC(2026, 10, 22, 12) * 1000;
const bootUs = startUs - 3600e6;

interface Device {
  name: string;
  boot: string;
  seq: number;
  blocks: number;
}

/** Returns how much text is stored, headers included. */
export async function storeCorpus(options: CorpusOptions): Promise<number> {
  const { folder, textBytes, random, devices: count } = options;
  const storage = new FolderStorage(join(folder, "data"));
  const queue = new CommitQueue(await storage.createEpoch("bench"));
  const devices = Array.from({ length: count }, (_, i) => newDevice(i, random));
  let [bytes, recvUs] = [0, startUs];
  let appends: Promise<void>[] = [];
  while (bytes < textBytes) {
    const device = devices[Math.floor(random() * count)]!;
    const block = Buffer.from(nextBlock(device, recvUs += 40, options), "latin1");
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

function newDevice(i: number, random: () => number): Device {
  const hex = () => Math.floor(random() * 0x1_0000_0000).toString(16).padStart(8, "0");
  const [a, b, c, d] = [hex(), hex(), hex(), hex()];
  const boot = `${a}-${b.slice(0, 4)}-4${b.slice(5)}-a${c.slice(1, 4)}-${c.slice(4)}${d}`;
  return { name: `router-${String(i).padStart(6, "0")}`, boot, seq: 0, blocks: 0 };
}

function nextBlock(device: Device, recvUs: number, options: CorpusOptions): string {
  const { blockBytes, random, nextLine } = options;
  const first = device.seq;
  const want = blockBytes * (0.8 + 0.4 * random());
  let usec = recvUs - bootUs - 200_000;
  let text = "";
  if (device.blocks++ % blocksPerSync === 0) {
    text += formatRecord(syncRecord(first, usec, { wallUs: recvUs - 200_000, synced: true }));
  }
  while (text.length < want) {
    usec += 4_000;
    text += formatRecord({ ...nextLine(), seq: device.seq++, usec, flag: "-", fields: "" });
  }
  const { name, boot } = device;
  const names = { device: name, boot, source: "kmsg", stream: boot };
  const last = device.seq - 1;
  return formatBlockHeader({ ...names, recvUs, first, last, count: last - first + 1 }) + text;
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
