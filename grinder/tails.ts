/**
 * The newest kmsg records of a boot, read back from where they stand: asked for when that boot's last
 * words come.
 */
import { Buffer } from "node:buffer";
import { type Block, readBlocks } from "../shared/block.ts";
import { forEachRecord, isMeta } from "../shared/record.ts";
import { type Read, splitFrames } from "../shared/segment_reader.ts";
import { epochKey, type Storage, StorageError } from "../shared/storage/storage.ts";
import { clockKey } from "./boot_clocks.ts";
import type { Place, PlaceList } from "./place_list.ts";
import { countLines, mayRecover, type StoredLines } from "./recovered.ts";

export class Tails {
  /** `placesOf` says of a boot (by `clockKey`) where its newest records stand. */
  constructor(private readonly placesOf: (boot: string) => PlaceList | undefined) {}

  /**
   * The lines that are stored of each boot whose last words are in this frame, as far as they are of
   * the same time; undefined if there are none. Throws `StorageError`, and has changed nothing then.
   */
  async storedLines(
    read: Read,
    storage: Pick<Storage, "read" | "list">,
  ): Promise<Map<string, StoredLines> | undefined> {
    if (!read.text || !hasLastWords(read.text)) return undefined;
    const boots = new Map<string, [least: number, most: number]>();
    for (const block of readBlocks(read.text)) {
      if (!mayRecover(block.header)) continue;
      const boot = clockKey(block.header);
      const [least, most] = boots.get(boot) ?? [Infinity, -Infinity];
      const [first, last] = usecsOf(block);
      boots.set(boot, [Math.min(least, first), Math.max(most, last)]);
    }
    const stored = new Map<string, StoredLines>();
    for (const [boot, [least, most]] of boots) {
      const places = this.placesOf(boot)?.within(least, most) ?? [];
      stored.set(boot, await readLines(boot, places, storage));
    }
    return stored;
  }
}

const lastWords = /#1 \S+ \S+ (?:pstore |\S+ ring-)/y;

/** Most frames have none: they must cost nothing. */
function hasLastWords(text: string): boolean {
  for (let at = 0;; at++) {
    lastWords.lastIndex = at;
    if (lastWords.test(text)) return true;
    at = text.indexOf("\n#", at);
    if (at < 0) return false;
  }
}

function usecsOf(block: Block): [least: number, most: number] {
  let [least, most] = [Infinity, -Infinity];
  forEachRecord(block.text, ({ usec }) => {
    least = Math.min(least, usec);
    most = Math.max(most, usec);
  }, () => {});
  return [least, most];
}

async function readLines(
  boot: string,
  places: Place[],
  storage: Pick<Storage, "read" | "list">,
): Promise<StoredLines> {
  const lines: StoredLines = new Map();
  const counted = new Set<string>();
  for (const place of places) {
    for (const { header, text } of await blocksAt(place, storage)) {
      if (header.source !== "kmsg" || clockKey(header) !== boot || mayRecover(header)) continue;
      forEachRecord(text, (record) => {
        const id = `${header.stream} ${record.seq}`;
        if (isMeta(record.flag) || counted.has(id)) return;
        counted.add(id);
        countLines(lines, record);
      }, () => {});
    }
  }
  return lines;
}

/** The blocks of a frame; none if it is gone or damaged by now. */
async function blocksAt(
  place: Place,
  storage: Pick<Storage, "read" | "list">,
): Promise<Block[]> {
  let bytes;
  try {
    bytes = await storage.read(place, place.offset, place.length);
  } catch (error) {
    if (!(error instanceof StorageError) || await isThere(place, storage)) throw error;
    return [];
  }
  const frames = [...splitFrames(Buffer.from(bytes), true)];
  return frames.flatMap(({ text }) => text === undefined ? [] : [...readBlocks(text)]);
}

/** Old segments are deleted: what was in them can't be read however often it is tried. */
async function isThere(place: Place, storage: Pick<Storage, "list">): Promise<boolean> {
  const cursor = { segment: place.segment, offset: 0 };
  const extents = await storage.list(new Map([[epochKey(place), cursor]]));
  return extents.some((extent) =>
    epochKey(extent) === epochKey(place) && extent.segment === place.segment
  );
}
