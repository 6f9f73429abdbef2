/**
 * What there is to search, as tasks, one frame each: hot segments as they are stored; and texts, from the
 * archive or by the index, where few devices are asked for.
 */
import { Buffer } from "node:buffer";
import type { Read, StoredFrame } from "../../shared/segment_reader.ts";
import { epochKey, segmentPath } from "../../shared/storage/storage.ts";
import type { FoundFrame } from "../reading/frame_source.ts";
import type { Found } from "./found_frame.ts";
import type { Skippable } from "./gram_filter.ts";
import type { HotReads } from "./hot_reads.ts";

export interface Task<Out = Found> {
  /** As an event's line says it (../event.ts). */
  segment: string;
  offset: number;
  /** Bytes of segments that it takes. */
  storedBytes: number;
  /** Undefined where there is none: at a segment's end, for damage. */
  frame?: StoredFrame;
  /** In place of a frame, or beside it. */
  text?: string;
  /** What comes of it is known without looking. */
  found?: Out;
  read?: Read;
}

/** Tasks in their order. Whoever takes them says what became of them. */
export interface TaskSource<Out = Found> {
  /** Undefined at the end. Throws `StorageError`. */
  next(): Promise<Task<Out> | undefined>;
  /** A task's frame was received then. */
  heard(task: Task<Out>, recvUs: number): void;
  /** A task's frame doesn't decode: all of its epoch comes again from there on. */
  again(task: Task<Out>): Promise<void>;
  close(): Promise<void>;
}

export class HotTasks<Out = Found> implements TaskSource<Out> {
  constructor(
    private readonly reads: HotReads,
    private readonly warn: (text: string) => void,
    /** What comes of frames that needn't be read; undefined: there are none. */
    private readonly ofSkipped?: (skipped: Skippable) => Out,
  ) {}

  async next(): Promise<Task<Out> | undefined> {
    const read = await this.reads.next();
    if (!read) return undefined;
    const { segment: number, offset, length, frame, text, damage, skipped } = read;
    const segment = `${epochKey(read)}/${String(number).padStart(8, "0")}`;
    if (damage !== undefined) {
      this.warn(`${segmentPath(read)} at ${offset}: ${length} bytes can't be read: ${damage}`);
    }
    const task: Task<Out> = { segment, offset, storedBytes: length, read };
    if (frame) task.frame = frame;
    if (text !== undefined) task.text = text;
    if (skipped) task.found = this.ofSkipped!(skipped);
    return task;
  }

  heard({ read }: Task<Out>, recvUs: number): void {
    this.reads.heard(read!, recvUs);
  }

  again({ read }: Task<Out>): Promise<void> {
    return this.reads.again(read!);
  }

  close(): Promise<void> {
    return this.reads.close();
  }
}

/** Frames that are decoded already. */
export class TextTasks implements TaskSource {
  readonly #frames: AsyncIterator<FoundFrame>;

  constructor(frames: AsyncIterable<FoundFrame>) {
    this.#frames = frames[Symbol.asyncIterator]();
  }

  async next(): Promise<Task | undefined> {
    const { value, done } = await this.#frames.next();
    if (done) return undefined;
    const { segment, offset, text } = value as FoundFrame;
    const bytes = Buffer.from(text, "latin1");
    return { segment, offset, storedBytes: 0, text, frame: { bytes, textBytes: bytes.length } };
  }

  heard(): void {}

  again(): Promise<void> {
    return Promise.resolve();
  }

  async close(): Promise<void> {
    await this.#frames.return?.();
  }
}
