/**
 * Frames in, rows out: a file for each hour of receiving and each partition of devices, in a scratch
 * folder, unsorted, for DuckDB to sort. A record goes in once, by its seq, whatever is sent again or held
 * by two receivers; a `g` or `s` record, which has no seq of its own, once in a run; lines without any
 * seq as often as they are stored.
 */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { type Block, type BlockHeader, readBlocks } from "../../shared/block.ts";
import { isMeta, parseRecord } from "../../shared/record.ts";
import type { Read } from "../../shared/segment_reader.ts";
import { forEachRawLine } from "../raw_lines.ts";
import { Bucket, type LinePlace, type RowContext } from "./bucket.ts";
import { encode, noRecordFlag, partitionsMax } from "./columns.ts";
import { RecordBytes } from "./record_bytes.ts";
import type { StreamEntry, StreamTable } from "./stream_table.ts";

/** Unix microseconds of a record's writing, by its block's header and who received that. */
export type WallTimeOf = (header: BlockHeader, usec: number, receiver: string) => number;

export interface SpoolOptions {
  folder: string;
  streams: StreamTable;
  wallTime: WallTimeOf;
}

const hourUs = 3600e6;

/** Within it a boot's start stays what it was: far less than a clock is ever known to. */
const startedStepUs = 10_000;

export class Spool {
  /** Records that were there already. */
  resentRecords = 0;
  /** Lines that are no records where records should be. */
  oddLines = 0;
  /** By hour and partition. */
  readonly #buckets = new Map<number, Bucket>();
  readonly #record = new RecordBytes();

  constructor(private readonly options: SpoolOptions) {}

  /** Takes in a frame. Gives the places in it of what stands under no header and can be no row. */
  addFrame(read: Read): number[] {
    const strays: number[] = [];
    const text = read.text ?? "";
    // No receiver writes such a frame, and what has no end can't be told from what has one.
    if (!text.endsWith("\n")) return text === "" ? [] : [0];
    const bytes = bytesOf(text);
    for (const block of readBlocks(text, (_, offset) => strays.push(offset))) {
      const rows = this.#rowsOf(block.header, read.receiver);
      if (block.header.source === "raw") this.#rawLines(rows, read, block, bytes);
      else this.#records(rows, read, block, bytes);
    }
    return strays;
  }

  /** Completes all files. */
  end(): Bucket[] {
    const all = [...this.#buckets.values()];
    for (const bucket of all) bucket.end();
    return all;
  }

  #records(rows: Rows, read: Read, { text, offset }: Block, bytes: Buffer): void {
    const record = this.#record;
    const { stream } = rows;
    const end = offset + text.length;
    let line = 0;
    for (let at = offset; at < end; at = record.end) {
      if (!record.read(bytes, at, end)) this.#odd(rows, read, bytes, at, line++);
      else if (isMetaAt(bytes, record)) this.#meta(rows, bytes, at);
      else if (stream.seen.seqs.addIfNew(record.seq, record.seq)) {
        rows.bucket.addRecord(rows.at(record.usec), record, bytes, at);
      } else this.resentRecords++;
    }
  }

  #meta(rows: Rows, bytes: Buffer, at: number): void {
    const record = this.#record;
    const { metas } = rows.stream;
    const text = bytes.toString("latin1", at, record.end);
    if (metas.has(text)) return void this.resentRecords++;
    metas.add(text);
    rows.bucket.addRecord(rows.at(record.usec), record, bytes, at);
  }

  /** What isn't as the kernel prints it, with its continuation lines. */
  #odd(rows: Rows, read: Read, bytes: Buffer, at: number, line: number): void {
    const { textEnd, moreStart, moreEnd, end } = this.#record;
    const first = bytes.toString("latin1", at, textEnd);
    const record = parseRecord(first);
    if (record && !isMeta(record.flag) && !rows.stream.seen.seqs.addIfNew(record.seq, record.seq)) {
      return void this.resentRecords++;
    }
    if (!record) this.oddLines++;
    const text = record?.text ?? first;
    rows.bucket.addOdd(
      rows.at(record?.usec ?? 0),
      {
        seq: record?.seq ?? line,
        prio: record?.prio ?? 0,
        flag: record ? encode(record.flag) : noRecordFlag,
        prefix: `%${encode(first.slice(0, first.length - text.length))}`,
        text: encode(text),
        more: bytes.toString("latin1", moreStart, moreEnd).split("\n").map(encode).join("\n"),
        place: record ? undefined : placeOf(read, at),
      },
      bytes,
      at,
      end,
    );
  }

  #rawLines(rows: Rows, read: Read, { text, offset }: Block, bytes: Buffer): void {
    forEachRawLine(text, (record, at) => {
      const start = offset + at;
      const newline = bytes.indexOf(0x0a, start);
      const line = bytes.toString("latin1", start, newline);
      // A leading # is stored as an escape, which isn't in the record's text.
      const prefix = line.endsWith(record.text)
        ? line.slice(0, line.length - record.text.length)
        : "";
      const stored = prefix === "" ? line : record.text;
      const isPlain = /^[\x20-\x7e]*$/.test(line);
      rows.bucket.addOdd(
        rows.at(record.usec),
        {
          seq: record.seq,
          prio: record.prio,
          flag: record.flag,
          prefix: isPlain ? `=${prefix}` : `%${encode(prefix)}`,
          text: isPlain ? stored : encode(stored),
          more: "",
          place: placeOf(read, start),
        },
        bytes,
        start,
        newline + 1,
      );
    });
  }

  #rowsOf(header: BlockHeader, receiver: string): Rows {
    const { folder, streams, wallTime } = this.options;
    const stream = streams.of(header);
    if (header.recvUs > stream.seen.newestRecvUs) stream.seen.newestRecvUs = header.recvUs;
    const hour = Math.floor(header.recvUs / hourUs);
    const key = hour * partitionsMax + stream.partition;
    let bucket = this.#buckets.get(key);
    if (!bucket) {
      const slot = new Date(hour * hourUs / 1000).toISOString().slice(0, 13);
      bucket = new Bucket(slot, stream.partition, join(folder, `${slot}.${stream.partition}`));
      this.#buckets.set(key, bucket);
    }
    return new Rows(header, receiver, stream, bucket, wallTime);
  }
}

/** The rows of one block. */
class Rows implements RowContext {
  readonly recvUs: number;
  timeUs = 0;
  startedUs = 0;

  constructor(
    private readonly header: BlockHeader,
    private readonly receiver: string,
    readonly stream: StreamEntry,
    readonly bucket: Bucket,
    private readonly wallTime: WallTimeOf,
  ) {
    this.recvUs = header.recvUs;
  }

  /** ... of which the next was written then, by the kernel's clock. */
  at(usec: number): this {
    const startedUs = this.wallTime(this.header, usec, this.receiver) - usec;
    const { stream } = this;
    // Nearly all of a boot then have the same start, which takes no room.
    if (!(Math.abs(startedUs - stream.startedUs) < startedStepUs)) stream.startedUs = startedUs;
    this.startedUs = stream.startedUs;
    this.timeUs = this.startedUs + usec;
    return this;
  }
}

function placeOf({ receiver, epoch, segment, offset }: Read, line: number): LinePlace {
  return { receiver, epoch, segment, frame: offset, line };
}

function isMetaAt(bytes: Uint8Array, { flagStart, flagEnd }: RecordBytes): boolean {
  // `g` and `s`
  return flagEnd - flagStart === 1 && (bytes[flagStart] === 0x67 || bytes[flagStart] === 0x73);
}

const encoder = new TextEncoder();

/** Nearly always all of it is ASCII: the quick way is right then, and says when it isn't. */
function bytesOf(text: string): Buffer {
  const bytes = Buffer.allocUnsafe(text.length);
  const { read, written } = encoder.encodeInto(text, bytes);
  return read === text.length && written === read ? bytes : Buffer.from(text, "latin1");
}
