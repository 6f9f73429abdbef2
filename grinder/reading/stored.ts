/**
 * Everything that is stored, wherever it is: a selection in, its blocks out, each record once. This is
 * what all read that look at history.
 */
import { type BlockHeader, readBlocks } from "../../shared/block.ts";
import { forEachRecord, type LogRecord } from "../../shared/record.ts";
import { forEachRawLine } from "../raw_lines.ts";
import { type FoundFrame, type FrameSource, inTime, type Selection } from "./frame_source.ts";
import { type Fresh, Once } from "./once.ts";

/** A block of which something is new. */
export interface FoundBlock {
  header: BlockHeader;
  /** A byte string: all of the block's records. */
  text: string;
  fresh: Exclude<Fresh, "none">;
  /** Of its frame; the text begins at `line` of the frame's text. */
  segment: string;
  offset: number;
  line: number;
}

/** What was read, and how far: nothing that follows was received before `fromUs`. */
export interface FoundBlocks {
  blocks: FoundBlock[];
  fromUs: number;
}

export class Stored {
  constructor(private readonly sources: readonly FrameSource[]) {}

  /**
   * The blocks of the selection's devices that were received in its range, frame by frame, as `once`
   * hasn't seen them. Throws `StorageError`.
   */
  async *blocks(selection: Selection, once = new Once()): AsyncGenerator<FoundBlocks> {
    for await (const frame of this.frames(selection)) {
      yield { blocks: [...blocksOf(frame, selection, once)], fromUs: frame.fromUs };
    }
  }

  /** Whole frames, with what else is in them, and records twice. Throws `StorageError`. */
  frames(selection: Selection): AsyncGenerator<FoundFrame> {
    const { sinceUs } = selection;
    return inTime(this.sources.map((source) => ({
      fromUs: sinceUs,
      open: () => source.frames(selection),
    })));
  }
}

/** The blocks of one frame that belong to a selection and hold something that `once` hasn't seen. */
export function* blocksOf(
  { text: frame, segment, offset }: FoundFrame,
  { sinceUs, untilUs, devices }: Selection,
  once: Once,
): Generator<FoundBlock> {
  for (const block of readBlocks(frame)) {
    const { header, text } = block;
    if (devices && !devices.has(header.device)) continue;
    if (header.recvUs < sinceUs || header.recvUs >= untilUs) continue;
    const fresh = once.take(block);
    if (fresh === "none") continue;
    yield { header, text, fresh, segment, offset, line: block.offset };
  }
}

/** Calls `visit` for each new record of a block, with its place in the frame's text. */
export function forEachFresh(
  { header, text, fresh, line }: FoundBlock,
  visit: (record: LogRecord, line: number) => void,
): void {
  if (header.source === "raw") forEachRawLine(text, (record, at) => visit(record, line + at));
  else {
    forEachRecord(text, (record, at) => {
      if (fresh === "all" || fresh.has(at)) visit(record, line + at);
    }, () => {});
  }
}
