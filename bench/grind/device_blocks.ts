/**
 * Lines to blocks as a receiver stores them, of many devices in any order: each device has one boot,
 * whose records are numbered on and on, and says now and then what time it is.
 */
import { formatBlockHeader } from "../../shared/block.ts";
import { formatRecord, syncRecord } from "../../shared/record.ts";
import type { Line } from "./corpus.ts";

export interface DeviceBlocksOptions {
  devices: number;
  /** Of the records under one header, about. */
  blockBytes: number;
  /** When all devices have booted. */
  bootUs: number;
  random: () => number;
  nextLine: () => Line;
}

/** A device says what time it is so often: each 30 s, at 35 KB a minute in blocks of 2.5 KB. */
const blocksPerSync = 7;
/** An agent's flush: records are so old when they are received. */
const flushUs = 200_000;
/** Between two records of a block. */
const recordUs = 4_000;

interface Device {
  name: string;
  boot: string;
  seq: number;
  blocks: number;
}

export class DeviceBlocks {
  /** Ordinary records in all blocks so far. */
  records = 0;
  readonly #devices: Device[];

  constructor(private readonly options: DeviceBlocksOptions) {
    const { devices, random } = options;
    this.#devices = Array.from({ length: devices }, (_, i) => newDevice(i, random));
  }

  /** A block of any of the devices, as a byte string. */
  next(recvUs: number): string {
    const { random } = this.options;
    const device = this.#devices[Math.floor(random() * this.#devices.length)]!;
    const first = device.seq;
    const text = this.#records(device, recvUs);
    const { name, boot, seq } = device;
    this.records += seq - first;
    const names = { device: name, boot, source: "kmsg", stream: boot };
    const numbers = { first, last: seq - 1, count: seq - first };
    return formatBlockHeader({ ...names, recvUs, ...numbers }) + text;
  }

  #records(device: Device, recvUs: number): string {
    const { blockBytes, bootUs, random, nextLine } = this.options;
    const wallUs = recvUs - flushUs;
    let usec = wallUs - bootUs;
    let text = "";
    if (device.blocks++ % blocksPerSync === 0) {
      text += formatRecord(syncRecord(device.seq, usec, { wallUs, synced: true }));
    }
    const want = blockBytes * (0.8 + 0.4 * random());
    while (text.length < want) {
      usec += recordUs;
      text += formatRecord({ ...nextLine(), seq: device.seq++, usec, flag: "-", fields: "" });
    }
    return text;
  }
}

function newDevice(i: number, random: () => number): Device {
  const hex = () => Math.floor(random() * 0x1_0000_0000).toString(16).padStart(8, "0");
  const [a, b, c, d] = [hex(), hex(), hex(), hex()];
  const boot = `${a}-${b.slice(0, 4)}-4${b.slice(5)}-a${c.slice(1, 4)}-${c.slice(4)}${d}`;
  return { name: `router-${String(i).padStart(6, "0")}`, boot, seq: 0, blocks: 0 };
}
