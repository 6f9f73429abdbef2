/**
 * A part of the index and the devices that are wanted in, the frames in which they are out. What the index
 * says of a frame is held against it; at the first that is otherwise `LyingIndexError` says from where on
 * all must be read.
 */
import { limits } from "../../shared/limits.ts";
import type { Cursor, Storage } from "../../shared/storage/storage.ts";
import { decompressFrame, walkFrame } from "../../shared/zstd.ts";
import { IndexError, type IndexFile, type StoredPart } from "../index/index_file.ts";
import type { BootFrames, IndexedFrame } from "../index/part.ts";
import { ahead } from "./ahead.ts";
import { compare } from "./epoch_plan.ts";
import type { FoundFrame, Selection } from "./frame_source.ts";
import { devicesIn, firstRecvUs } from "./frame_text.ts";

/** All before `from` was read; from there on the index isn't to be believed. */
export class LyingIndexError extends Error {
  override name = "LyingIndexError";

  constructor(readonly from: Cursor, why: string) {
    super(why);
  }
}

interface Wanted extends IndexedFrame {
  devices: Set<string>;
}

/** Frames that stand close together. */
interface Stretch {
  segment: number;
  offset: number;
  end: number;
  frames: Wanted[];
}

const disorderUs = limits.recvDisorderMs * 1000;

/** Throws `LyingIndexError`, and whatever the storage throws. */
export async function* indexedFrames(
  storage: Pick<Storage, "read">,
  index: IndexFile,
  { part, from }: { part: StoredPart; from: Cursor },
  selection: Selection,
): AsyncGenerator<FoundFrame> {
  const name = nameOf(part);
  const stretches = together(wantedFrames(index, part, from, selection));
  const read = async (stretch: Stretch) => {
    const { segment, offset, end } = stretch;
    const bytes = await storage.read({ ...name, segment }, offset, end - offset).catch((error) => {
      throw new LyingIndexError({ segment, offset }, (error as Error).message);
    });
    return { stretch, bytes };
  };
  let newestUs = 0;
  for await (const { stretch, bytes } of ahead(stretches, limits.indexReads, read)) {
    for (const frame of stretch.frames) {
      newestUs = Math.max(newestUs, frame.recvUs);
      const text = textOf(frame, bytes.subarray(frame.offset - stretch.offset));
      const segment = `${part.epoch}/${String(frame.segment).padStart(8, "0")}`;
      yield { segment, offset: frame.offset, fromUs: newestUs - disorderUs, text };
    }
  }
}

function wantedFrames(
  index: IndexFile,
  part: StoredPart,
  from: Cursor,
  selection: Selection,
): Wanted[] {
  try {
    const boots = index.boots(part, selection.devices!)
      .filter((boot) => !selection.skips?.(boot));
    if (boots.length === 0) return [];
    return chosen(index, part, boots).filter((frame) =>
      compare(frame, from) >= 0 && frame.recvUs + disorderUs >= selection.sinceUs &&
      frame.recvUs - disorderUs < selection.untilUs
    );
  } catch (error) {
    if (!(error instanceof IndexError)) throw error;
    throw new LyingIndexError(from, error.message);
  }
}

function chosen(index: IndexFile, part: StoredPart, boots: readonly BootFrames[]): Wanted[] {
  const devices = new Map<number, Set<string>>();
  for (const { device, frames } of boots) {
    for (const frame of frames) devices.set(frame, (devices.get(frame) ?? new Set()).add(device));
  }
  const frames = index.frames(part, new Set(devices.keys()));
  return [...devices].sort(([a], [b]) => a - b).map(([place, devices]) => {
    const frame = frames.get(place);
    if (!frame) throw new IndexError(`it has no frame ${place}`);
    return { ...frame, devices };
  });
}

function together(frames: readonly Wanted[]): Stretch[] {
  const stretches: Stretch[] = [];
  for (const frame of frames) {
    const { segment, offset, length } = frame;
    const end = offset + length;
    const last = stretches.at(-1);
    const isNear = last?.segment === segment && offset - last.end <= limits.indexGapBytes &&
      end - last.offset <= limits.readBytes;
    if (!isNear) stretches.push({ segment, offset, end, frames: [frame] });
    else {
      last.frames.push(frame);
      last.end = end;
    }
  }
  return stretches;
}

/** A frame's text, if it is what the index says. */
function textOf(frame: Wanted, bytes: Uint8Array): string {
  const { length, recvUs, devices } = frame;
  const lie = (why: string) => new LyingIndexError(frame, why);
  const walk = walkFrame(bytes);
  const isFrame = walk.kind === "frame" && walk.length === length;
  if (!isFrame || !walk.checksum || (walk.contentSize ?? Infinity) > limits.frameTextBytesMax) {
    throw lie(`there is no frame of ${length} bytes`);
  }
  let text: string;
  try {
    text = decompressFrame(bytes.subarray(0, length), walk.contentSize!).toString("latin1");
  } catch (error) {
    throw lie((error as Error).message);
  }
  if (firstRecvUs(text) !== recvUs) throw lie("its frame was received at another time");
  if (!devices.isSubsetOf(devicesIn(text))) throw lie("a device isn't in its frame");
  return text;
}

function nameOf({ epoch }: StoredPart): { receiver: string; epoch: string } {
  const [receiver, name] = epoch.split("/") as [string, string];
  return { receiver, epoch: name };
}
