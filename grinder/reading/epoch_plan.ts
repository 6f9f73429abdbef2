/**
 * What is indexed of an epoch in, how to read it out: the parts of the index, and between and behind them
 * stretches that nobody knows. Where a part's times show it, what has nothing of a range is left out.
 */
import { limits } from "../../shared/limits.ts";
import type { Cursor } from "../../shared/storage/storage.ts";
import type { TimeRange } from "../history/time_range.ts";
import type { StoredPart } from "../index/index_file.ts";

export type Piece =
  | { kind: "indexed"; part: StoredPart; from: Cursor; to: Cursor; fromUs: number }
  /** Without `to` up to the end. */
  | { kind: "unknown"; from: Cursor; to?: Cursor; fromUs: number };

const disorderUs = limits.recvDisorderMs * 1000;

/** @param parts in order; they may overlap */
export function planEpoch(parts: readonly StoredPart[], from: Cursor, range: TimeRange): Piece[] {
  const pieces: Piece[] = [];
  /** The newest time before, as far as it is known. */
  let beforeUs = -Infinity;
  let at = from;
  const unknown = (to: Cursor | undefined, afterUs: number) => {
    const fromUs = beforeUs - disorderUs;
    if (fromUs >= range.untilUs || afterUs + disorderUs < range.sinceUs) return;
    pieces.push({ kind: "unknown", from: at, ...(to ? { to } : {}), fromUs });
  };
  for (const part of parts) {
    const { minRecvUs, maxRecvUs, to } = part;
    if (compare(to, at) <= 0) continue;
    if (compare(part.from, at) > 0) {
      // A part of damage or of a segment's end has no time.
      unknown(part.from, maxRecvUs === 0 ? Infinity : minRecvUs);
      at = part.from;
    }
    const isIn = maxRecvUs + disorderUs >= range.sinceUs && minRecvUs - disorderUs < range.untilUs;
    if (isIn) pieces.push({ kind: "indexed", part, from: at, to, fromUs: minRecvUs - disorderUs });
    beforeUs = Math.max(beforeUs, maxRecvUs);
    at = to;
  }
  unknown(undefined, Infinity);
  return pieces;
}

export function compare(a: Cursor, b: Cursor): number {
  return a.segment - b.segment || a.offset - b.offset;
}
