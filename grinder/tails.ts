/**
 * Where the newest kmsg records of each boot stand in the storage, and what they are: asked for when
 * that boot's last words come. Kept for each batch, not for each record; the text stays where it is.
 */
import { Buffer } from "node:buffer";
import { type Block, type BlockHeader, readBlocks } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import { forEachRecord, isMeta } from "../shared/record.ts";
import { type Read, splitFrames } from "../shared/segment_reader.ts";
import { epochKey, type Storage, StorageError } from "../shared/storage/storage.ts";
import { clockKey } from "./clock.ts";
import { countLines, mayRecover, type StoredLines } from "./recovered.ts";

/** A frame with records of a boot. */
export interface Place {
  receiver: string;
  epoch: string;
  segment: number;
  offset: number;
  length: number;
  firstUsec: number;
  lastUsec: number;
}

/** The places that one batch added for a boot, oldest first. */
export interface Stretch {
  boot: string;
  places: Place[];
  recvUs: number;
}

export class Tails {
  readonly #added = new Map<string, Stretch>();

  /** `load` gives a boot's places that are saved, oldest first. */
  constructor(private readonly load: (boot: string) => Place[]) {}

  /** Takes note of a block in which a record was new. */
  note(read: Read, { recvUs, ...header }: BlockHeader, firstUsec: number, lastUsec: number): void {
    const boot = clockKey({ recvUs, ...header });
    const { receiver, epoch, segment, offset, length } = read;
    const place = { receiver, epoch, segment, offset, length, firstUsec, lastUsec };
    const known = this.#added.get(boot);
    if (!known) return void this.#added.set(boot, { boot, places: [place], recvUs });
    known.places.push(place);
    known.recvUs = Math.max(known.recvUs, recvUs);
    if (known.places.length > limits.tailFramesMax) known.places.shift();
  }

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
      const places = [...this.load(boot), ...(this.#added.get(boot)?.places ?? [])]
        .filter(({ firstUsec, lastUsec }) => firstUsec <= most && lastUsec >= least)
        .slice(-limits.tailFramesMax);
      stored.set(boot, await readLines(boot, places, storage));
    }
    return stored;
  }

  /** What is to be saved. */
  added(): Iterable<Stretch> {
    return this.#added.values();
  }

  saved(): void {
    this.#added.clear();
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
