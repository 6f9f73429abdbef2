/**
 * Frames in, a file for each partition of devices out, in a scratch folder: blocks as they came, in order
 * of arrival. Whoever takes a partition's file needs nothing of the others.
 *
 * | bytes | what stands before a block's records |
 * |-------|--------------------------------------|
 * | 4     | its stream: a number in the partition's list |
 * | 4     | bytes of records |
 * | 8     | receive time, microseconds, a float |
 * | 4     | its frame: a number in the list of frames |
 * | 4     | where its records begin in the frame's text |
 *
 * Numbers are little-endian; the file lives for one run.
 */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { readBlocks } from "../../shared/block.ts";
import type { Read } from "../../shared/segment_reader.ts";
import { writeAll } from "./bucket.ts";
import { partitionOf } from "./columns.ts";
import { bytesOf } from "./frame_bytes.ts";
import type { StreamNames } from "./stream_table.ts";
import { type KnownClocks, WallTimes } from "./wall_times.ts";

/** Where a frame is. */
export interface FramePlace {
  receiver: string;
  epoch: string;
  segment: number;
  frame: number;
}

export interface PartitionSpool {
  partition: number;
  path: string;
  /** Of the file. */
  bytes: number;
  streams: StreamNames[];
  clocks: KnownClocks;
}

export const entryBytes = 24;
/** Gathered of each partition before it is written; all partitions together. */
const heldBytes = 16 * 1024 * 1024;

export class BlockSpool {
  readonly frames: FramePlace[] = [];
  readonly #clocks = new WallTimes();
  readonly #parts = new Map<number, PartFile>();
  /** By names. */
  readonly #streams = new Map<string, { part: PartFile; id: number }>();

  constructor(private readonly folder: string, private readonly partitions: number) {}

  /** Takes in a frame. Gives the places in it of what stands under no header and can be no row. */
  add(read: Read): number[] {
    const strays: number[] = [];
    const text = read.text ?? "";
    // No receiver writes such a frame, and what has no end can't be told from what has one.
    if (!text.endsWith("\n")) return text === "" ? [] : [0];
    const { receiver, epoch, segment, offset: frame } = read;
    const number = this.frames.push({ receiver, epoch, segment, frame }) - 1;
    const { buffer, byteOffset } = bytesOf(text);
    for (const block of readBlocks(text, (_, offset) => strays.push(offset))) {
      this.#clocks.note(receiver, block);
      const { header, offset } = block;
      const { part, id } = this.#streamOf(header);
      // Of a Buffer, subarray takes ten times as long.
      const records = new Uint8Array(buffer, byteOffset + offset, block.text.length);
      part.add(id, header.recvUs, number, records, offset);
    }
    return strays;
  }

  /** Completes all files; the largest first. */
  end(): PartitionSpool[] {
    const clocks = this.#clocks.byPart((device) => partitionOf(device, this.partitions));
    const none: KnownClocks = { fits: new Map(), skewsUs: new Map() };
    return [...this.#parts].map(([partition, part]) => {
      part.end();
      const { path, bytes, streams } = part;
      return { partition, path, bytes, streams, clocks: clocks.get(partition) ?? none };
    }).sort((a, b) => b.bytes - a.bytes);
  }

  #streamOf(header: StreamNames): { part: PartFile; id: number } {
    const { device, boot, source, stream } = header;
    const key = `${device} ${boot} ${source} ${stream}`;
    let known = this.#streams.get(key);
    if (!known) {
      const part = this.#partOf(device);
      known = { part, id: part.streams.push({ device, boot, source, stream }) - 1 };
      this.#streams.set(key, known);
    }
    return known;
  }

  #partOf(device: string): PartFile {
    const partition = partitionOf(device, this.partitions);
    let part = this.#parts.get(partition);
    if (!part) {
      const held = Math.max(64 * 1024, Math.floor(heldBytes / this.partitions));
      part = new PartFile(join(this.folder, `blocks.${partition}`), held);
      this.#parts.set(partition, part);
    }
    return part;
  }
}

class PartFile {
  readonly streams: StreamNames[] = [];
  bytes = 0;
  readonly #fd: number;
  readonly #held: Uint8Array;
  readonly #view: DataView;
  #length = 0;

  constructor(readonly path: string, heldBytes: number) {
    this.#fd = openSync(path, "w");
    this.#held = new Uint8Array(heldBytes);
    this.#view = new DataView(this.#held.buffer);
  }

  add(stream: number, recvUs: number, frame: number, records: Uint8Array, line: number): void {
    if (this.#length + entryBytes + records.length > this.#held.length) this.#flush();
    const view = this.#view;
    const at = this.#length;
    view.setUint32(at, stream, true);
    view.setUint32(at + 4, records.length, true);
    view.setFloat64(at + 8, recvUs, true);
    view.setUint32(at + 16, frame, true);
    view.setUint32(at + 20, line, true);
    this.#length += entryBytes;
    if (this.#length + records.length > this.#held.length) {
      // Larger than all that is held.
      this.#flush();
      writeAll(this.#fd, records);
      this.bytes += records.length;
    } else {
      this.#held.set(records, this.#length);
      this.#length += records.length;
    }
  }

  end(): void {
    this.#flush();
    closeSync(this.#fd);
  }

  #flush(): void {
    writeAll(this.#fd, this.#held.subarray(0, this.#length));
    this.bytes += this.#length;
    this.#length = 0;
  }
}

export interface SpooledBlock {
  stream: number;
  recvUs: number;
  frame: number;
  line: number;
  /** Its records are bytes[start, end). */
  start: number;
  end: number;
}

/** The blocks that are whole in these bytes. */
export function* spooledBlocks(bytes: Uint8Array): Generator<SpooledBlock> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + entryBytes <= bytes.length;) {
    const start = at + entryBytes;
    const end = start + view.getUint32(at + 4, true);
    if (end > bytes.length) return;
    yield {
      stream: view.getUint32(at, true),
      recvUs: view.getFloat64(at + 8, true),
      frame: view.getUint32(at + 16, true),
      line: view.getUint32(at + 20, true),
      start,
      end,
    };
    at = end;
  }
}
