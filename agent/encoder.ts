/** Records in, upload frames out (shared/upload.ts has the format). */
import { Buffer } from "node:buffer";
import { formatUploadHeader } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import { formatRecord, isMeta, type LogRecord } from "../shared/record.ts";
import { compressFrame } from "../shared/zstd.ts";
import { recordHash } from "./checkpoint.ts";

export interface Frame {
  /** Compressed. */
  bytes: Uint8Array;
  /** Of decoded text: the unit of acknowledgements. */
  decodedBytes: number;
  /** Lowest and highest seq of its ordinary records; undefined if it has none. */
  range?: { first: number; last: number; count: number };
  /** Of the record `range.last`. */
  hash?: string;
  /** Its gap records: they are said again if the frame itself is refused for good. */
  gaps: LogRecord[];
}

/** Collects records until `take`. One frame holds at most `flushBytes`, or one record more. */
export class Encoder {
  #text: string[] = [];
  #bytes = 0;
  #first = Infinity;
  #count = 0;
  #last: LogRecord | undefined;
  #gaps: LogRecord[] = [];

  /** `transform` changes what is sent; seqs and hashes are those of the records that come in. */
  constructor(private readonly transform = (record: LogRecord) => record) {}

  get empty(): boolean {
    return this.#bytes === 0;
  }

  get full(): boolean {
    return this.#bytes >= limits.flushBytes;
  }

  add(record: LogRecord): void {
    const text = formatRecord(this.transform(record));
    this.#text.push(text);
    this.#bytes += text.length;
    if (record.flag === "g") this.#gaps.push(record);
    if (isMeta(record.flag)) return;
    this.#count++;
    this.#first = Math.min(this.#first, record.seq);
    if (!this.#last || record.seq >= this.#last.seq) this.#last = record;
  }

  /** The frame of what was added since the last one. */
  take(): Frame {
    const last = this.#last;
    const range = last && { first: this.#first, last: last.seq, count: this.#count };
    const header = formatUploadHeader(range ?? { first: 0, last: 0, count: 0 });
    const text = Buffer.from(header + this.#text.join(""), "latin1");
    const frame: Frame = {
      // A copy: what zstd gives back may be the head of a buffer for the worst case.
      bytes: Uint8Array.from(compressFrame(text)),
      decodedBytes: text.length,
      gaps: this.#gaps,
    };
    if (last) {
      frame.range = range!;
      frame.hash = recordHash(last);
    }
    this.#text = [];
    this.#bytes = 0;
    this.#first = Infinity;
    this.#count = 0;
    this.#last = undefined;
    this.#gaps = [];
    return frame;
  }
}

/** A frame of these records. */
export function frameOf(...records: LogRecord[]): Frame {
  const encoder = new Encoder();
  for (const record of records) encoder.add(record);
  return encoder.take();
}
