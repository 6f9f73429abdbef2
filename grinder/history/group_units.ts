/**
 * A row group's rows to units that are ground one after the other, each of one device, with its blocks in
 * the order of receiving. Where a block stands is a place in the text that could be made of the group:
 * all units one after the other, each block with its header line.
 */
import { Buffer } from "node:buffer";
import { type BlockHeader, formatBlockHeader } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import type { RowGroup } from "../archive/row_group.ts";
import { mayRecover } from "../recovered.ts";

export type StreamNames = ReturnType<RowGroup["names"]>;

/** A block: rows of one stream that stand together and were received at once. */
export interface Run {
  start: number;
  end: number;
  /** The same object for all of a stream. */
  names: StreamNames;
  header: BlockHeader;
  /** Of the records. */
  bytes: number;
  /** Whether there are records about records. */
  isMeta: boolean;
}

export interface Unit {
  /** See group_digester.ts. */
  kind: "usual" | "text" | "raw";
  device: string;
  start: number;
  end: number;
  runs: Run[];
  /** Where it begins in the group's text. */
  at: number;
  /** Headers and all. */
  textBytes: number;
}

export function unitsOf(group: RowGroup, rowBytes = group.rowBytes()): Unit[] {
  const units: Unit[] = [];
  let unit: Unit | undefined;
  for (let row = 0; row < group.rows;) {
    const names = group.names(row);
    const end = group.streamEnd(row);
    const isRaw = names.source === "raw";
    if (!unit || unit.device !== names.device || (unit.kind === "raw") !== isRaw) {
      const kind = isRaw ? "raw" : "usual";
      unit = { kind, device: names.device, start: row, end, runs: [], at: 0, textBytes: 0 };
      units.push(unit);
    }
    if (mayRecover(names) || group.hasOdd(row, end)) unit.kind = isRaw ? "raw" : "text";
    unit.end = end;
    for (; row < end; row = unit.runs.at(-1)!.end) {
      unit.runs.push(runAt(group, rowBytes, row, end, names));
    }
  }
  for (const [i, unit] of units.entries()) {
    // Raw lines are known by their place: how far that is read is told by rows.
    if (unit.kind !== "raw") unit.runs.sort(byReceiving);
    const before = units[i - 1];
    unit.at = before ? before.at + before.textBytes : 0;
    for (const { header, bytes } of unit.runs) unit.textBytes += headerBytes(header) + bytes;
  }
  return units;
}

/** Of what was received at once the kernel's log comes first: the clock records are in it. */
function byReceiving(a: Run, b: Run): number {
  const before = Number(b.names.source === "kmsg") - Number(a.names.source === "kmsg");
  return a.header.recvUs - b.header.recvUs || before;
}

/** The longest run that begins there. */
function runAt(
  group: RowGroup,
  rowBytes: Int32Array,
  start: number,
  streamEnd: number,
  names: StreamNames,
): Run {
  const { recv, seq, ordinary, flag: { index: flags } } = group;
  const recvUs = recv[start]!;
  const isPlaced = group.isPlaced(start);
  const end = isPlaced || group.hasPlaces ? placedEnd(group, start, streamEnd) : streamEnd;
  let [row, first, last, count, bytes] = [start, -1, -1, 0, 0];
  for (; row < end && recv[row] === recvUs; row++) {
    bytes += rowBytes[row]!;
    if (ordinary[flags[row]!] === 0) continue;
    if (first < 0) first = row;
    last = row;
    count++;
  }
  // As much as comes in one frame; two of them may have come at once.
  if (bytes > limits.uploadFrameTextBytesMax && row > start + 1) {
    return runAt(group, rowBytes, start, start + ((row - start) >> 1), names);
  }
  const isMeta = count < row - start;
  const numbers = isPlaced || count === 0
    ? { first: 0, last: 0, count: 0 }
    : { first: seq[first]!, last: seq[last]!, count };
  return { start, end: row, names, header: { ...names, recvUs, ...numbers }, bytes, isMeta };
}

/** A line with a place stands with those that stood right behind it, and none without one. */
function placedEnd(group: RowGroup, start: number, end: number): number {
  let row = start + 1;
  if (group.isPlaced(start)) { while (row < end && followsOn(group, row)) row++; }
  else while (row < end && !group.isPlaced(row)) row++;
  return row;
}

function followsOn(group: RowGroup, row: number): boolean {
  const [before, now] = [group.place(row - 1), group.place(row)];
  if (!before || !now) return false;
  return before.receiver === now.receiver && before.epoch === now.epoch &&
    before.segment === now.segment && before.frame === now.frame &&
    before.line + group.bytes(row - 1) === now.line;
}

/** How long the header's line is. */
export function headerBytes(header: BlockHeader): number {
  const { device, boot, source, stream, recvUs, first, last, count } = header;
  const names = device.length + boot.length + source.length + stream.length;
  return 3 + 8 + names + digits(recvUs) + digits(first) + digits(last) + digits(count);
}

function digits(value: number): number {
  let count = 1;
  for (let limit = 10; value >= limit; limit *= 10) count++;
  return count;
}

/** Writes a block, header and all; gives where it ends. There is room for `headerBytes` and `bytes`. */
export function writeRun(group: RowGroup, run: Run, out: Buffer, at: number): number {
  let end = at + out.write(formatBlockHeader(run.header), at, "latin1");
  for (let row = run.start; row < run.end; row++) end = group.write(row, out, end);
  return end;
}

/** The text in which blocks of columns have their places, as a byte string. */
export function groupText(group: RowGroup): string {
  const units = unitsOf(group);
  const last = units.at(-1);
  const text = Buffer.alloc(last ? last.at + last.textBytes : 0, "#");
  for (const unit of units) {
    let at = unit.at;
    for (const run of unit.runs) at = writeRun(group, run, text, at);
  }
  return text.toString("latin1");
}
