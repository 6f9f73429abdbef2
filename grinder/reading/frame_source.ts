/**
 * The seam between who reads stored logs and where they are: hot segments (hot_frames.ts) and the
 * archive. What is chosen goes in, the frames in which it is come out.
 */
import type { TimeRange } from "../history/time_range.ts";

/** A range of *receive* time, and of which devices. */
export interface Selection extends TimeRange {
  /** Undefined: all. */
  devices?: ReadonlySet<string>;
  /**
   * Whether a stretch of a boot is of no use, whatever it is, though it was received in the range: asked
   * just before it would be read, and only where that is known without reading it.
   */
  skips?: (stretch: BootStretch) => boolean;
}

/** What is known of records without reading them. */
export interface BootStretch {
  device: string;
  /** `nameHash` of the boot's id. */
  boot: number;
  /** The kernel's clock at the first of them. */
  firstUsec: number;
}

/** A frame of whole blocks (shared/block.ts). */
export interface FoundFrame {
  /** What an event's line says of it: `RECEIVER/EPOCH/NNNNNNNN`, or an archive file; a place in it. */
  segment: string;
  offset: number;
  /** Nothing behind it in the same iteration was received before that: Unix microseconds. */
  fromUs: number;
  /** A byte string; empty: there is nothing here, but `fromUs` is news. */
  text: string;
}

/**
 * Gives every stored record of a selection, and maybe more: blocks of other devices and times, and records
 * twice. Which are whose and new is for `Stored` to say. A source is asked any number of times, also at
 * the same time. Whoever stops early ends the iteration, which closes what is open.
 */
export interface FrameSource {
  /** Throws `StorageError`. */
  frames(selection: Selection): AsyncIterable<FoundFrame>;
}

/** A part of a source that is opened when its time comes. */
export interface TimedFrames {
  /** Nothing in it was received before that. */
  fromUs: number;
  open: () => AsyncIterable<FoundFrame>;
}

/** One iteration of many, each going on where it is behind: what is open at a time is of one time. */
export async function* inTime(parts: readonly TimedFrames[]): AsyncGenerator<FoundFrame> {
  const all = parts.map((part) => ({
    ...part,
    frames: undefined as AsyncIterator<FoundFrame> | undefined,
  }));
  try {
    while (all.length > 0) {
      const behind = all.reduce((a, b) => b.fromUs < a.fromUs ? b : a);
      behind.frames ??= behind.open()[Symbol.asyncIterator]();
      const { value: frame, done } = await behind.frames.next();
      if (done) {
        all.splice(all.indexOf(behind), 1);
        continue;
      }
      behind.fromUs = frame.fromUs;
      yield {
        ...frame,
        fromUs: all.reduce((least, { fromUs }) => Math.min(least, fromUs), Infinity),
      };
    }
  } finally {
    for (const { frames } of all) await frames?.return?.();
  }
}
