/**
 * The grinder's outputs: `events/YYYYMMDD.jsonl` and `aggregates/YYYYMMDD.jsonl`, by day of commit.
 * Lines are gathered, written and synced; their lengths are then recorded in the state, in one
 * transaction with what they were made from. At start each file is cut back to its recorded length, so
 * a line whose transaction never came is as if it had not been written. A file that somebody cut or took
 * away goes on from what is left of it.
 */
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { WallTime } from "./clock_fit.ts";
import { type EventParts, joinEvent } from "./event.ts";
import { eventRoom, writeEvent } from "./event_bytes.ts";

export const kinds = ["events", "aggregates"] as const;
export type Kind = typeof kinds[number];

export class DayFiles {
  readonly #pending: Record<Kind, Lines> = { events: new Lines(), aggregates: new Lines() };
  readonly #lengths: Map<string, number>;

  /** `lengths` are the recorded ones, by path below `root`: `events/20261122.jsonl`. */
  constructor(private readonly root: string, lengths: ReadonlyMap<string, number>) {
    this.#lengths = new Map(lengths);
    for (const kind of kinds) {
      mkdirSync(join(root, kind), { recursive: true });
      for (const file of readdirSync(join(root, kind))) {
        if (/^\d{8}\.jsonl$/.test(file)) this.#cutBack(`${kind}/${file}`);
      }
    }
    syncFolder(root);
  }

  add(kind: Kind, line: string): void {
    this.#pending[kind].add(line);
  }

  addEvent(event: EventParts, time: WallTime): void {
    const lines = this.#pending.events;
    const { bytes } = event;
    const room = bytes && eventRoom(event, time, bytes);
    if (room === undefined || room > roomBytes) return lines.add(joinEvent(event, time));
    const { to, at } = lines.room(room);
    lines.wrote(writeEvent(to, at, event, time, bytes!));
  }

  /** Writes and syncs what was added; returns the new lengths, to be recorded. */
  sync(nowMs: number): Array<[path: string, length: number]> {
    const day = new Date(nowMs).toISOString().slice(0, 10).replaceAll("-", "");
    const lengths: Array<[string, number]> = [];
    for (const kind of kinds) {
      const pieces = this.#pending[kind].take();
      if (pieces.length === 0) continue;
      const path = `${kind}/${day}.jsonl`;
      lengths.push([path, this.#append(path, pieces)]);
    }
    return lengths;
  }

  #append(path: string, pieces: readonly Uint8Array[]): number {
    const file = join(this.root, path);
    const size = sizeOf(file);
    let end = Math.min(size ?? 0, this.#lengths.get(path) ?? 0);
    const fd = openSync(file, size === undefined ? "w" : "r+");
    try {
      for (const bytes of pieces) {
        for (let done = 0; done < bytes.length;) {
          const written = writeSync(fd, bytes, done, bytes.length - done, end);
          done += written;
          end += written;
        }
      }
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (size === undefined) syncFolder(dirname(file));
    this.#lengths.set(path, end);
    return end;
  }

  #cutBack(path: string): void {
    const file = join(this.root, path);
    const recorded = this.#lengths.get(path) ?? 0;
    if (sizeOf(file)! > recorded) truncateSync(file, recorded);
  }
}

/**
 * Texts to their UTF-8, some of them at a time: a runtime only notes down what is to be joined, and does
 * it at less than half the cost where all of it is still in the processor's cache. The bytes are in
 * pieces of one size that are used again: memory that is new is dearer than what is written into it.
 */
class Lines {
  #text = "";
  readonly #rooms: Uint8Array[] = [];
  #pieces: Uint8Array[] = [];
  /** Of the room that is being filled, behind the full ones. */
  #length = 0;

  add(line: string): void {
    this.#text += line;
    if (this.#text.length >= textCharsMax) this.#encode();
  }

  /** Room behind what was added, for `wrote` to say how far it is used. */
  room(bytes: number): { to: Uint8Array; at: number } {
    this.#encode();
    if (this.#length + bytes > roomBytes) this.#endPiece();
    return { to: this.#rooms[this.#pieces.length] ??= new Uint8Array(roomBytes), at: this.#length };
  }

  wrote(end: number): void {
    this.#length = end;
  }

  /** All of it, until the next one is added; nothing if there is none. */
  take(): Uint8Array[] {
    this.#encode();
    this.#endPiece();
    const pieces = this.#pieces;
    this.#pieces = [];
    // A flood's room isn't kept.
    this.#rooms.length = Math.min(this.#rooms.length, roomsMax);
    return pieces;
  }

  #encode(): void {
    for (let rest = this.#text; rest !== "";) {
      const room = this.#rooms[this.#pieces.length] ??= new Uint8Array(roomBytes);
      const { read, written } = encoder.encodeInto(rest, room.subarray(this.#length));
      this.#length += written;
      rest = rest.slice(read);
      if (rest !== "") this.#endPiece();
    }
    this.#text = "";
  }

  #endPiece(): void {
    if (this.#length === 0) return;
    this.#pieces.push(this.#rooms[this.#pieces.length]!.subarray(0, this.#length));
    this.#length = 0;
  }
}

const encoder = new TextEncoder();
const textCharsMax = 16 * 1024;
const roomBytes = 256 * 1024;
const roomsMax = 64;

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  fsyncSync(fd);
  closeSync(fd);
}
