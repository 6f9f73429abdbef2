/**
 * Frames in, rows out: a file for each hour of receiving and each partition of devices, in a scratch
 * folder, unsorted, for DuckDB to sort.
 */
import { join } from "node:path";
import { readBlocks } from "../../shared/block.ts";
import type { Read } from "../../shared/segment_reader.ts";
import { BlockRows, type WallTimeOf } from "./block_rows.ts";
import { Bucket } from "./bucket.ts";
import { bytesOf } from "./frame_bytes.ts";
import type { StreamTable } from "./stream_table.ts";

export type { WallTimeOf };

export interface SpoolOptions {
  folder: string;
  streams: StreamTable;
  wallTime: WallTimeOf;
}

export class Spool {
  readonly #rows: BlockRows<Bucket>;

  readonly #streams: StreamTable;

  constructor({ folder, streams, wallTime }: SpoolOptions) {
    this.#streams = streams;
    const newSink = (slot: string, partition: number) =>
      new Bucket(slot, partition, join(folder, `${slot}.${partition}`));
    this.#rows = new BlockRows({ wallTime, newSink });
  }

  /** Takes in a frame. Gives the places in it of what stands under no header and can be no row. */
  addFrame(read: Read): number[] {
    const strays: number[] = [];
    const text = read.text ?? "";
    // No receiver writes such a frame, and what has no end can't be told from what has one.
    if (!text.endsWith("\n")) return text === "" ? [] : [0];
    const bytes = bytesOf(text);
    const { receiver, epoch, segment, offset: frame } = read;
    for (const block of readBlocks(text, (_, offset) => strays.push(offset))) {
      const { header, offset: start } = block;
      this.#rows.add({
        stream: this.#streams.of(header),
        recvUs: header.recvUs,
        place: { receiver, epoch, segment, frame, line: start },
        ...{ bytes, start, end: start + block.text.length },
      });
    }
    return strays;
  }

  /** Completes all files. */
  end(): Bucket[] {
    const all = this.#rows.take().map(({ sink }) => sink);
    for (const bucket of all) bucket.end();
    return all;
  }
}
