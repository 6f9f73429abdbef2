/**
 * A store as a receiver leaves it in a day: many devices that say little, each record soon sent, so that
 * a commit has one record of each of some devices. The device that is told of says as much as it would in
 * a real day (`bytesPerSecond`), and its records stand in as many frames; of the others so many records
 * are left out that the store is `scale` of its size.
 */
import { Buffer } from "node:buffer";
import { formatBlockHeader } from "../../shared/block.ts";
import { formatRecord, syncRecord } from "../../shared/record.ts";
import type { EpochWriter } from "../../shared/storage/storage.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { LogText } from "../../tests/fleet/text.ts";

export interface NarrativeStore {
  epoch: EpochWriter;
  devices: number;
  hours: number;
  scale: number;
  startUs: number;
  /** Moves the storage's clock. */
  setNow: (us: number) => void;
  /** Frames in one commit: a segment is closed by age and size, whatever this is. */
  framesPerCommit: number;
}

export interface Stored {
  textBytes: number;
  storedBytes: number;
  frames: number;
}

export const toldDevice = "router4711";
/** 1 MB a day. */
const bytesPerSecond = 1e6 / 86_400;
const recordBytes = 95;
const syncEveryUs = 60e6;
/** What a receiver gathers in its 8 ms, of 10,000 devices. */
const blocksPerFrame = 10;

interface Device {
  name: string;
  boot: string;
  seq: number;
  syncUs: number;
}

export async function fillStore(options: NarrativeStore): Promise<Stored> {
  const { epoch, devices, hours, scale, startUs, setNow, framesPerCommit } = options;
  const random = seededRandom(1);
  const text = new LogText(random, "router");
  const all = Array.from({ length: devices }, (_, i) => newDevice(`other${i}`, i, startUs));
  const told = newDevice(toldDevice, devices, startUs);
  const stepUs = recordBytes / bytesPerSecond * 1e6;
  const othersPerStep = Math.round(devices * scale);
  const stored: Stored = { textBytes: 0, storedBytes: 0, frames: 0 };
  let frames: Uint8Array[] = [];
  for (let atUs = startUs; atUs < startUs + hours * 3600e6; atUs += stepUs) {
    const chosen = [
      told,
      ...Array.from({ length: othersPerStep }, () => all[Math.floor(random() * devices)]!),
    ];
    for (let i = 0; i < chosen.length; i += blocksPerFrame) {
      const recvUs = Math.round(atUs + stepUs * i / chosen.length);
      const blocks = chosen.slice(i, i + blocksPerFrame).map((one) =>
        block(one, recvUs, text, startUs)
      );
      const bytes = Buffer.from(blocks.join(""), "latin1");
      const frame = compressFrame(bytes);
      frames.push(frame);
      stored.textBytes += bytes.length;
      stored.storedBytes += frame.length;
      stored.frames++;
      if (frames.length < framesPerCommit) continue;
      setNow(recvUs);
      await epoch.commit(frames);
      frames = [];
    }
  }
  await epoch.commit(frames);
  await epoch.close();
  return stored;
}

function newDevice(name: string, i: number, startUs: number): Device {
  const boot = `0b5f0a4e-9a8c-4f6d-8e2b-${i.toString(16).padStart(12, "0")}`;
  return { name, boot, seq: 0, syncUs: startUs - syncEveryUs };
}

function block(device: Device, recvUs: number, text: LogText, bootUs: number): string {
  const writtenUs = recvUs - 200_000;
  const usec = Math.max(0, writtenUs - bootUs + 1e6);
  const { prio, text: line } = text.next();
  const seq = device.seq++;
  let records = "";
  if (recvUs - device.syncUs >= syncEveryUs) {
    device.syncUs = recvUs;
    records = formatRecord(syncRecord(seq, usec, { wallUs: writtenUs, synced: true }));
  }
  const ascii = line.replace(/[^\x20-\x5b\x5d-\x7e]/g, "?");
  records += formatRecord({ prio, seq, usec, flag: "-", fields: "", text: ascii, more: [] });
  const names = { device: device.name, boot: device.boot, source: "kmsg", stream: device.boot };
  return formatBlockHeader({ ...names, recvUs, first: seq, last: seq, count: 1 }) + records;
}
