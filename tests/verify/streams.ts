/**
 * What the storage holds, by stream, kept the straightforward way: the independent check of the
 * grinder's own record keeping, of which it shares the formats only.
 */
import { type Block, type BlockHeader, readBlocks } from "../../shared/block.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { forEachRecord, type LogRecord, parseGap } from "../../shared/record.ts";
import { type Read, readNew } from "../../shared/segment_reader.ts";
import { epochKey, type Storage } from "../../shared/storage/storage.ts";
import { forEachRawLine } from "../../grinder/raw_lines.ts";

export interface StoredStream {
  device: string;
  /** Of its first block: a followed file goes on over a reboot. */
  boot: string;
  source: string;
  stream: string;
  stored: IntervalSet;
  /** The highest seq stored; -1 while there is none. */
  highest: number;
  /** Seqs that gap records speak of. */
  explained: IntervalSet;
  /** Records that no seq was ever given to, by gap records. */
  unnumbered: number;
  /** Records stored more than once: normal. */
  resent: number;
  /** Records that came for the first time after one with a higher seq. */
  reordered: number;
}

export interface Totals {
  frames: number;
  damagedFrames: number;
  /** Text that is no record or stands under no header. */
  badLines: number;
}

/** One record, the first time that it is seen. */
export interface Distinct {
  header: BlockHeader;
  record: LogRecord;
  /** What events name it by: its stream, or in a raw stream its block; and its number in there. */
  key: string;
  number: number;
}

export class StoredStreams {
  readonly streams = new Map<string, StoredStream>();
  readonly totals: Totals = { frames: 0, damagedFrames: 0, badLines: 0 };
  readonly #openGaps: Array<{ stream: StoredStream; first: number }> = [];

  /** `visit` is told of each distinct ordinary record. */
  constructor(private readonly visit: (record: Distinct) => void) {}

  /** Reads all that is committed now, each epoch from its beginning. */
  async read(storage: Storage): Promise<void> {
    for await (const read of readNew(storage, new Map())) this.#take(read);
    for (const { stream, first } of this.#openGaps) {
      stream.explained.add(first, Math.max(first, stream.highest));
    }
  }

  #take(read: Read): void {
    if (read.damage !== undefined) this.totals.damagedFrames++;
    if (read.text === undefined) return;
    this.totals.frames++;
    for (const block of readBlocks(read.text, () => this.totals.badLines++)) {
      if (block.header.source === "raw") this.#raw(read, block);
      else this.#block(block);
    }
  }

  #block({ header, text }: Block): void {
    const key = streamKey(header);
    const stream = this.#stream(key, header);
    forEachRecord(text, (record) => {
      if (record.flag === "g") this.#gap(stream, record);
      else if (record.flag !== "s") this.#ordinary(stream, { header, record, key });
    }, () => this.totals.badLines++);
  }

  #ordinary(stream: StoredStream, found: Omit<Distinct, "number">): void {
    const { seq } = found.record;
    if (stream.stored.add(seq, seq).length === 0) return void stream.resent++;
    if (seq < stream.highest) stream.reordered++;
    stream.highest = Math.max(stream.highest, seq);
    this.visit({ ...found, number: seq });
  }

  #gap(stream: StoredStream, record: LogRecord): void {
    const gap = parseGap(record);
    if (!gap) return void this.totals.badLines++;
    if (gap.first === undefined) stream.unnumbered += gap.count;
    else if (typeof gap.last === "number") stream.explained.add(gap.first, gap.last);
    else this.#openGaps.push({ stream, first: gap.first });
  }

  /** Each line is a record of its own, known by its place. */
  #raw(read: Read, { header, text, offset }: Block): void {
    const key = rawKey(`${epochKey(read)}/${String(read.segment).padStart(8, "0")}`, read.offset);
    const stream = this.#stream(streamKey(header), header);
    forEachRawLine(text, (record, at) => {
      stream.highest++;
      stream.stored.add(stream.highest, stream.highest);
      this.visit({ header, record, key, number: offset + at });
    });
  }

  #stream(key: string, { device, boot, source, stream }: BlockHeader): StoredStream {
    const known = this.streams.get(key);
    if (known) return known;
    const fresh = {
      ...{ device, boot, source, stream },
      stored: new IntervalSet(),
      highest: -1,
      explained: new IntervalSet(),
      ...{ unnumbered: 0, resent: 0, reordered: 0 },
    };
    this.streams.set(key, fresh);
    return fresh;
  }
}

/** A record is (device, source, stream, seq); its boot is no part of that. */
export function streamKey(
  { device, source, stream }: Pick<BlockHeader, "device" | "source" | "stream">,
): string {
  return `${device} ${source} ${stream}`;
}

export function rawKey(segment: string, offset: number): string {
  return `raw ${segment} ${offset}`;
}
