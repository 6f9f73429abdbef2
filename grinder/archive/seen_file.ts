/**
 * Which seqs are archived, for one partition: streams and their seqs in, a file out, and back. It is what
 * a resent record is told by, however late it comes. zstd frames of lines, sorted:
 *
 *     DEVICE SOURCE STREAM NEWEST_RECV_US INTERVALS         (intervals.ts; more lines if there are many)
 */
import { Buffer } from "node:buffer";
import { IntervalSet } from "../../shared/intervals.ts";
import { limits } from "../../shared/limits.ts";
import { decodeSegment } from "../../shared/segment_reader.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { ArchiveError } from "./place.ts";

export interface SeenStream {
  newestRecvUs: number;
  seqs: IntervalSet;
}

/** By `seenKey`. */
export type SeenStreams = Map<string, SeenStream>;

/** So a line is far shorter than a frame. */
const intervalsPerLine = 1_000;

/** Streams of which nothing has been received since `beforeUs` are left out. */
export function encodeSeen(streams: SeenStreams, beforeUs: number): Buffer {
  const frames: Buffer[] = [];
  let lines = "";
  const flush = () => {
    if (lines !== "") frames.push(compressFrame(Buffer.from(lines, "latin1")));
    lines = "";
  };
  for (const [key, { newestRecvUs, seqs }] of [...streams].sort(([a], [b]) => a < b ? -1 : 1)) {
    if (newestRecvUs < beforeUs) continue;
    const intervals = seqs.encode().split(",");
    for (let i = 0; i < intervals.length; i += intervalsPerLine) {
      const part = intervals.slice(i, i + intervalsPerLine).join(",");
      const line = `${key} ${newestRecvUs} ${part}\n`;
      if (lines.length + line.length > limits.frameTextBytesMax) flush();
      lines += line;
    }
  }
  flush();
  return Buffer.concat(frames);
}

/** Throws `ArchiveError` if anything of it is damaged: what isn't known would be archived twice. */
export function decodeSeen(bytes: Uint8Array, path: string): SeenStreams {
  const streams: SeenStreams = new Map();
  for (const { text, damage } of decodeSegment(bytes)) {
    if (text === undefined) throw new ArchiveError(`Cannot read ${path}: ${damage}`);
    for (const line of text.split("\n").slice(0, -1)) {
      const [device, source, stream, recvUs, intervals] = line.split(" ");
      const key = `${device} ${source} ${stream}`;
      const seqs = IntervalSet.decode(intervals ?? "");
      const known = streams.get(key);
      if (!known) streams.set(key, { newestRecvUs: Number(recvUs), seqs });
      else for (const [first, last] of seqs.intervals()) known.seqs.add(first, last);
    }
  }
  return streams;
}
