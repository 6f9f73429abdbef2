/**
 * How far a followed file has been acknowledged, and which file that was: one small JSON file for each
 * path.
 *
 * | field | meaning |
 * |-------|---------|
 * | path | the followed path |
 * | stream | minted when the file was first seen |
 * | inode | decimal |
 * | nextSeq | the number of the first line that isn't acknowledged |
 * | offset | where that line begins |
 * | head | `{bytes, hash}` of the file's first bytes, 1 KiB at most, of lines that were read |
 * | tail | the same of the bytes right before `offset` |
 * | mtimeMs | when it was last written to, as far as was seen: what was rotated away later is newer |
 * | ended | the file was rotated away, and all of it is acknowledged |
 *
 * It is saved before the first line is sent, and again while the head still grows: so a file that
 * comes later with the same inode number is never taken for this one.
 */
import { DurableJson } from "../../shared/durable_json.ts";

export interface Print {
  bytes: number;
  hash: string;
}

export interface FilePosition {
  path: string;
  stream: string;
  inode: string;
  nextSeq: number;
  offset: number;
  head: Print;
  tail: Print;
  mtimeMs: number;
  ended: boolean;
}

export class FileCheckpoint extends DurableJson<FilePosition> {
  constructor(path: string, warn: (text: string) => void = () => {}) {
    const unreadable = "The file is sent again, as a new one.";
    super(path, { check, unreadable, unsaved: "Lines may be sent twice.", warn });
  }
}

function check(value: unknown): FilePosition {
  const position = value as FilePosition;
  const { path, stream, inode, nextSeq, offset, head, tail, mtimeMs, ended } = position;
  const strings = [path, stream, inode, head.hash, tail.hash];
  const counts = [nextSeq, offset, head.bytes, tail.bytes];
  const isTime = Number.isFinite(mtimeMs);
  const good = strings.every((field) => typeof field === "string") && typeof ended === "boolean" &&
    isTime && counts.every((count) => Number.isSafeInteger(count) && count >= 0);
  if (!good || tail.bytes > offset) throw new Error("it isn't a position");
  return { path, stream, inode, nextSeq, offset, head, tail, mtimeMs, ended };
}
