/**
 * A row group of the archive to the digests of its records (../engine/digest.ts), without making their
 * text: rules see the column of texts as it stands (text_matcher.ts), and of most records nothing else is
 * looked at. Blocks are those of the archive (../archive/reader.ts): rows of a stream that stand together
 * and were received at once.
 *
 * Rows stand by stream, but grinding goes by time. So the blocks of each device come in the order of
 * receiving, device by device, in parts:
 *
 * | part | what |
 * |------|------|
 * | of columns | blocks of devices whose rows are all usual; lines are places in `groupText` |
 * | of text | of a device with lines that aren't as the kernel prints them, or last words: frames, digested as such |
 * | raw | lines without identity, in the order in which they stand, with the place in the storage that they have |
 */
import { Buffer } from "node:buffer";
import { limits } from "../../shared/limits.ts";
import { type LogRecord, parseSync } from "../../shared/record.ts";
import { ArrayPool } from "../archive/parquet/arrays.ts";
import type { ChunkBytes } from "../archive/parquet/parquet_file.ts";
import { RowGroup } from "../archive/row_group.ts";
import { FrameDigester } from "../engine/frame_digester.ts";
import { DigestWriter } from "../engine/packed_digest.ts";
import type { Rule } from "../rule.ts";
import { type Text, textOf } from "../sieve/words.ts";
import {
  headerBytes,
  type Run,
  type StreamNames,
  type Unit,
  unitsOf,
  writeRun,
} from "./group_units.ts";
import { TextMatcher } from "./text_matcher.ts";

/** A row group as it is stored, and from which of its rows on it is wanted. */
export interface GroupSource {
  rows: number;
  chunks: ReadonlyMap<string, ChunkBytes>;
  fromRow: number;
}

/** What goes from one thread to another. */
export interface GroupPart {
  /** The device; empty if there are several. */
  device: string;
  /** Rows of the group: where it begins, and from where on reading goes on behind it. */
  startRow: number;
  nextRow: number;
  textBytes: number;
  /** `unpackDigest` takes them. */
  numbers: Float64Array;
  bytes: Uint8Array;
  /** Of a part that isn't of columns: its frame. */
  text?: string;
  raw?: RawPlace;
}

/** Where the frame of raw lines stood; in its text they stood so far behind where they stand now. */
export interface RawPlace {
  receiver: string;
  epoch: string;
  segment: number;
  offset: number;
  shift: number;
}

export class GroupDigester {
  readonly #out = new DigestWriter();
  readonly #frames: FrameDigester;
  #matcher: TextMatcher | undefined;
  #rowBytes: Int32Array = new Int32Array(0);
  readonly #arrays = new ArrayPool();
  #room = Buffer.alloc(limits.frameTextBytesMax);

  /** The blocks of a stream come together: of the last one. */
  #namesOf: StreamNames | undefined;
  #namesText: Text = textOf(new Uint8Array(0));
  #namesEnd = 0;

  constructor(private readonly rules: readonly Rule[]) {
    this.#frames = new FrameDigester(rules);
  }

  /** Parts in order; without rows before `fromRow`, which is 0 or where a part's `nextRow` was. */
  digest({ rows, chunks, fromRow }: GroupSource): GroupPart[] {
    this.#arrays.reset();
    const group = new RowGroup({ rows }, chunks, this.#arrays);
    const { text } = group;
    this.#matcher ??= new TextMatcher(this.rules, text.bytes.subarray(0, limits.frameTextBytesMax));
    this.#matcher.match(text);
    this.#rowBytes = group.rowBytes(this.#arrays);
    const units = unitsOf(group, this.#rowBytes).filter(({ end }) => end > fromRow);
    // Only raw lines are told by the row: of others all that a unit has comes again.
    for (const unit of units) unit.runs = unit.runs.filter(({ start }) => start >= fromRow);
    const parts: GroupPart[] = [];
    for (let i = 0; i < units.length;) {
      const { kind } = units[i]!;
      const end = kind === "usual" ? usualEnd(units, i) : i + 1;
      const taken = units.slice(i, end);
      if (kind === "usual") parts.push(this.#ofColumns(group, taken));
      else {parts.push(
          ...kind === "raw" ? this.#raw(group, taken[0]!) : this.#ofText(group, taken[0]!),
        );}
      i = end;
    }
    return parts;
  }

  #ofColumns(group: RowGroup, units: readonly Unit[]): GroupPart {
    const out = this.#out;
    out.begin();
    let textBytes = 0;
    for (const unit of units) {
      let at = unit.at;
      for (const run of unit.runs) {
        this.#block(group, run, at + headerBytes(run.header));
        at += headerBytes(run.header) + run.bytes;
      }
      textBytes += unit.textBytes;
    }
    out.end();
    const device = units.length === 1 ? units[0]!.device : "";
    const [startRow, nextRow] = [units[0]!.start, units.at(-1)!.end];
    return { device, startRow, nextRow, textBytes, ...packed(out) };
  }

  #block(group: RowGroup, run: Run, offset: number): void {
    const { start, end, header, isMeta } = run;
    const out = this.#out;
    const isPlain = header.count > 0 && header.last - header.first + 1 === header.count &&
      !(isMeta && hasGap(group, run));
    const ends = isPlain
      ? { firstUsec: group.usec(start), lastUsec: group.usec(end - 1) }
      : { firstUsec: 0, lastUsec: 0 };
    out.block(isPlain ? "plain" : "exact", header, offset, ends);
    this.#names(run.names);
    if (!isPlain) this.#text(group, run);
    else if (isMeta) this.#syncs(group, run, offset);
    this.#finds(group, run, offset);
  }

  #names(names: StreamNames): void {
    if (this.#namesOf !== names) {
      const { device, boot, source, stream } = names;
      const text = `${device} ${boot} ${source} ${stream}`;
      const bytes = new Uint8Array((text.length + 7) & ~3);
      this.#namesEnd = Buffer.from(bytes.buffer).write(text, "latin1");
      this.#namesText = textOf(bytes);
      this.#namesOf = names;
    }
    this.#out.names(this.#namesText, 0, this.#namesEnd);
  }

  #text(group: RowGroup, run: Run): void {
    const header = headerBytes(run.header);
    const end = writeRun(group, run, this.#roomFor(run), 0);
    this.#out.text(this.#room, header, end);
  }

  #syncs(group: RowGroup, { start, end }: Run, offset: number): void {
    let line = offset;
    for (let row = start; row < end; row++) {
      if (group.isFlag(row, "s")) {
        const [seq, usec, fields] = [group.seq[row]!, group.usec(row), group.fields(row)];
        const sync = parseSync({ fields } as LogRecord);
        if (sync) this.#out.sync(line, { seq, usec }, sync);
      }
      line += this.#rowBytes[row]!;
    }
  }

  #finds(group: RowGroup, { start, end }: Run, offset: number): void {
    const { index } = group.text;
    const { matchesAt } = this.#matcher!;
    // The line of a record is only reckoned where one is found.
    let [line, lineRow] = [offset, start];
    for (let row = start; row < end; row++) {
      if (matchesAt[index[row]!] === 0 || !group.isOrdinary(row)) continue;
      for (; lineRow < row; lineRow++) line += this.#rowBytes[lineRow]!;
      const record = { seq: group.seq[row]!, usec: group.usec(row), prio: group.prio(row) };
      for (const match of this.#matcher!.of(index[row]!)) {
        this.#out.find(match.rule, line, record, match);
      }
    }
  }

  /** Frames, with no rest: if it isn't ground to the end, all of it is read again. */
  #ofText(group: RowGroup, unit: Unit): GroupPart[] {
    const { device, start, end } = unit;
    const parts: GroupPart[] = [];
    let at = 0;
    const flush = () => {
      if (at > 0) parts.push({ ...this.#frame(at), device, startRow: start, nextRow: start });
      at = 0;
    };
    for (const run of unit.runs) {
      const need = headerBytes(run.header) + run.bytes;
      if (at + need > limits.frameTextBytesMax) flush();
      at = writeRun(group, run, this.#room, at);
    }
    flush();
    parts.at(-1)!.nextRow = end;
    return parts;
  }

  /** Each stretch of lines for itself. A block that two row groups share begins anew in the second. */
  #raw(group: RowGroup, unit: Unit): GroupPart[] {
    return unit.runs.map((run) => {
      const { receiver, epoch, segment, frame, line } = group.place(run.start)!;
      const end = writeRun(group, run, this.#room, 0);
      const shift = line - headerBytes(run.header);
      const raw = { receiver, epoch, segment, offset: frame, shift };
      const rows = { startRow: run.start, nextRow: run.end };
      return { ...this.#frame(end), device: unit.device, ...rows, raw };
    });
  }

  /** What stands in the room. */
  #frame(textBytes: number): Pick<GroupPart, "text" | "textBytes" | "numbers" | "bytes"> {
    const text = this.#room.toString("latin1", 0, textBytes);
    this.#frames.digestText(text);
    return { text, textBytes, ...packed(this.#frames.out) };
  }

  #roomFor({ header, bytes }: Run): Buffer {
    const need = headerBytes(header) + bytes;
    if (need > this.#room.length) this.#room = Buffer.alloc(need);
    return this.#room;
  }
}

/** The first and the last device of a group may go on in another one, and one has raw lines, too. */
function usualEnd(units: readonly Unit[], from: number): number {
  if (from === 0 || units[from - 1]!.device === units[from]!.device) return from + 1;
  let end = from + 1;
  while (end < units.length - 1 && units[end]!.kind === "usual") end++;
  return end;
}

function hasGap(group: RowGroup, { start, end }: Run): boolean {
  for (let row = start; row < end; row++) if (group.isFlag(row, "g")) return true;
  return false;
}

function packed({ numbers, length, bytes, byteLength }: DigestWriter) {
  return {
    numbers: numbers.slice(0, length),
    bytes: new Uint8Array(bytes.subarray(0, byteLength)),
  };
}
