/** Frames to what is found in them, in order, on all cores. */
import { type Found, unpackFound } from "./found_frame.ts";
import { FramePipe } from "./frame_pipe.ts";
import { FrameSearcher, type Wanted } from "./frame_searcher.ts";
import type { Skippable } from "./gram_filter.ts";
import type { Task } from "./tasks.ts";

export interface SearchOptions {
  wanted: Wanted;
  /** Other threads; 0: all is done in this one. */
  threads: number;
  /** Most frames needn't be read: threads are worth their start only where many must. */
  isFiltered?: boolean;
  /** Told of a thread that ended. */
  warn: (text: string) => void;
}

/** A thread takes as long to start as so many frames take to search. Measured. */
const framesAlone = 128;

export interface Searched {
  task: Task;
  found: Found;
}

export class Search extends FramePipe<Found> {
  constructor({ wanted, threads, isFiltered = false, warn }: SearchOptions) {
    super({
      work: new FrameSearcher(wanted),
      module: new URL("./thread.ts", import.meta.url),
      data: { wanted },
      unpack: unpackFound,
      nothing: { recvUs: NaN, syncs: [], blocks: [] },
      threads,
      framesAlone: isFiltered ? framesAlone : 0,
      warn,
    });
  }
}

/** Of frames in which nothing can be. */
export function skippedFound({ recvUs, clocks }: Skippable): Found {
  return { recvUs, syncs: clocks, blocks: [] };
}
