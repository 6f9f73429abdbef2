/**
 * Blocks in, rows out, each into the sink of its hour and partition. A record goes in once, by its seq,
 * whatever is sent again or held by two receivers; a `g` or `s` record, which has no seq of its own, once
 * in a run; lines without any seq as often as they are stored.
 */
import { Buffer } from "node:buffer";
import type { BlockHeader } from "../../shared/block.ts";
import { isMeta, parseRecord } from "../../shared/record.ts";
import { forEachRawLine } from "../raw_lines.ts";
import { encode, noRecordFlag, partitionsMax } from "./columns.ts";
import { RecordBytes } from "./record_bytes.ts";
import type { LinePlace, RowContext, RowSink } from "./row_sink.ts";
import type { StreamEntry } from "./stream_table.ts";

/** What a time is reckoned by, of a block's header. */
export type RowHeader = Pick<BlockHeader, "device" | "boot" | "recvUs">;

/** Unix microseconds of a record's writing, by its block's header and who received that. */
export type WallTimeOf = (header: RowHeader, usec: number, receiver: string) => number;

/** Where a block's records begin: `line` is of the first. */
export type BlockPlace = LinePlace;

/** Its records are bytes[start, end). */
export interface SomeBlock {
  stream: StreamEntry;
  recvUs: number;
  place: BlockPlace;
  bytes: Buffer;
  start: number;
  end: number;
}

export interface BlockRowsOptions<Sink extends RowSink> {
  wallTime: WallTimeOf;
  /** Of an hour (`2026-11-22T10`) and a partition. */
  newSink: (slot: string, partition: number) => Sink;
}

const hourUs = 3600e6;

/** Within it a boot's start stays what it was: far less than a clock is ever known to. */
const startedStepUs = 10_000;

export class BlockRows<Sink extends RowSink> {
  /** Records that were there already. */
  resentRecords = 0;
  /** Lines that are no records where records should be. */
  oddLines = 0;
  /** By hour and partition. */
  readonly #sinks = new Map<number, { slot: string; partition: number; sink: Sink }>();
  readonly #record = new RecordBytes();

  constructor(private readonly options: BlockRowsOptions<Sink>) {}

  /** Takes in the block whose records are bytes[start, end). */
  add(block: SomeBlock): void {
    const rows = this.#rowsOf(block);
    if (block.stream.source === "raw") this.#rawLines({ ...block, rows });
    else this.#records({ ...block, rows });
  }

  /** Gives all sinks, and begins new ones. What was seen stays seen. */
  take(): Array<{ slot: string; partition: number; sink: Sink }> {
    const all = [...this.#sinks.values()];
    this.#sinks.clear();
    return all;
  }

  #records(block: BlockAt<Sink>): void {
    const { rows, bytes, start, end } = block;
    const record = this.#record;
    const { seqs } = rows.stream.seen;
    let line = 0;
    for (let at = start; at < end; at = record.end) {
      if (!record.read(bytes, at, end)) this.#odd(block, at, line++);
      else if (isMetaAt(bytes, record)) this.#meta(rows, bytes, at);
      else if (seqs.addIfNew(record.seq, record.seq)) {
        rows.sink.addRecord(rows.at(record.usec), record, bytes, at);
      } else this.resentRecords++;
    }
  }

  #meta(rows: RowsOfBlock<Sink>, bytes: Buffer, at: number): void {
    const record = this.#record;
    const { metas } = rows.stream;
    const text = bytes.toString("latin1", at, record.end);
    if (metas.has(text)) return void this.resentRecords++;
    metas.add(text);
    rows.sink.addRecord(rows.at(record.usec), record, bytes, at);
  }

  /** What isn't as the kernel prints it, with its continuation lines. */
  #odd(block: BlockAt<Sink>, at: number, line: number): void {
    const { rows, bytes } = block;
    const { textEnd, moreStart, moreEnd, end } = this.#record;
    const first = bytes.toString("latin1", at, textEnd);
    const record = parseRecord(first);
    if (record && !isMeta(record.flag) && !rows.stream.seen.seqs.addIfNew(record.seq, record.seq)) {
      return void this.resentRecords++;
    }
    if (!record) this.oddLines++;
    const text = record?.text ?? first;
    const more = bytes.toString("latin1", moreStart, moreEnd).split("\n").map(encode).join("\n");
    const odd = {
      seq: record?.seq ?? line,
      prio: record?.prio ?? 0,
      flag: record ? encode(record.flag) : noRecordFlag,
      prefix: `%${encode(first.slice(0, first.length - text.length))}`,
      text: encode(text),
      more,
      place: record ? undefined : placeAt(block, at),
    };
    rows.sink.addOdd(rows.at(record?.usec ?? 0), odd, bytes, at, end);
  }

  #rawLines(block: BlockAt<Sink>): void {
    const { rows, bytes, start, end } = block;
    forEachRawLine(bytes.toString("latin1", start, end), (record, offset) => {
      const at = start + offset;
      const newline = bytes.indexOf(0x0a, at);
      const line = bytes.toString("latin1", at, newline);
      // A leading # is stored as an escape, which isn't in the record's text.
      const prefix = line.endsWith(record.text)
        ? line.slice(0, line.length - record.text.length)
        : "";
      const stored = prefix === "" ? line : record.text;
      const isPlain = /^[\x20-\x7e]*$/.test(line);
      const odd = {
        seq: record.seq,
        prio: record.prio,
        flag: record.flag,
        prefix: isPlain ? `=${prefix}` : `%${encode(prefix)}`,
        text: isPlain ? stored : encode(stored),
        more: "",
        place: placeAt(block, at),
      };
      rows.sink.addOdd(rows.at(record.usec), odd, bytes, at, newline + 1);
    });
  }

  #rowsOf({ stream, recvUs, place }: SomeBlock): RowsOfBlock<Sink> {
    const { wallTime, newSink } = this.options;
    if (recvUs > stream.seen.newestRecvUs) stream.seen.newestRecvUs = recvUs;
    const { partition } = stream;
    const hour = Math.floor(recvUs / hourUs);
    const key = hour * partitionsMax + partition;
    let known = this.#sinks.get(key);
    if (!known) {
      const slot = new Date(hour * hourUs / 1000).toISOString().slice(0, 13);
      known = { slot, partition, sink: newSink(slot, partition) };
      this.#sinks.set(key, known);
    }
    return new RowsOfBlock(recvUs, place.receiver, stream, known.sink, wallTime);
  }
}

interface BlockAt<Sink extends RowSink> extends SomeBlock {
  rows: RowsOfBlock<Sink>;
}

/** The rows of one block. */
class RowsOfBlock<Sink extends RowSink> implements RowContext {
  timeUs = 0;
  startedUs = 0;
  readonly #header: RowHeader;

  constructor(
    readonly recvUs: number,
    private readonly receiver: string,
    readonly stream: StreamEntry,
    readonly sink: Sink,
    private readonly wallTime: WallTimeOf,
  ) {
    this.#header = { device: stream.device, boot: stream.boot, recvUs };
  }

  /** ... of which the next was written then, by the kernel's clock. */
  at(usec: number): this {
    const startedUs = this.wallTime(this.#header, usec, this.receiver) - usec;
    const { stream } = this;
    // Nearly all of a boot then have the same start, which takes no room.
    if (!(Math.abs(startedUs - stream.startedUs) < startedStepUs)) stream.startedUs = startedUs;
    this.startedUs = stream.startedUs;
    this.timeUs = this.startedUs + usec;
    return this;
  }
}

function placeAt({ place, start }: BlockAt<RowSink>, at: number): LinePlace {
  return { ...place, line: place.line + at - start };
}

function isMetaAt(bytes: Uint8Array, { flagStart, flagEnd }: RecordBytes): boolean {
  // `g` and `s`
  return flagEnd - flagStart === 1 && (bytes[flagStart] === 0x67 || bytes[flagStart] === 0x73);
}
