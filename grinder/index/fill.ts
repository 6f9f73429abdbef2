/** What is stored and not indexed yet in, the index of it out; and what isn't stored any more taken away. */
import { type Cursors, epochKey, type Extent, type Storage } from "../../shared/storage/storage.ts";
import type { Digested } from "../engine/engine.ts";
import { planEpoch } from "../reading/epoch_plan.ts";
import type { IndexFile } from "./index_file.ts";
import type { IndexWriter } from "./index_writer.ts";
import type { BootName } from "./part_builder.ts";

export interface FillOptions {
  storage: Storage;
  file: IndexFile;
  writer: IndexWriter;
  /** Reads what is beyond the cursors: engine/engine.ts. */
  digests: (storage: Storage, cursors: Cursors) => AsyncIterable<Digested>;
  /** Told of the bytes of segments that were read, after each frame. */
  progress?: (storedBytes: number) => void;
}

const always = { sinceUs: -Infinity, untilUs: Infinity };

/** Throws `StorageError`. */
export async function fillIndex(options: FillOptions): Promise<void> {
  const { storage, file } = options;
  const epochs = Map.groupBy(await storage.list(new Map()), epochKey);
  removeGone(file, epochs);
  const parts = Map.groupBy(file.parts(), ({ epoch }) => epoch);
  for (const [epoch, extents] of epochs) {
    const from = { segment: extents[0]!.segment, offset: 0 };
    for (const piece of planEpoch(parts.get(epoch) ?? [], from, always)) {
      if (piece.kind === "unknown") await fillStretch(epoch, extents, piece, options);
    }
  }
}

/** Parts of segments that were deleted; `epochs` has all that are there. */
function removeGone(file: IndexFile, epochs: ReadonlyMap<string, readonly Extent[]>): void {
  file.remove(({ epoch, to: { segment, offset } }) => {
    const first = epochs.get(epoch)?.[0];
    return !first || segment < first.segment || (segment === first.segment && offset === 0);
  });
}

interface Stretch {
  from: { segment: number; offset: number };
  to?: { segment: number; offset: number };
}

async function fillStretch(
  epoch: string,
  all: readonly Extent[],
  { from, to }: Stretch,
  { storage, writer, digests, progress }: FillOptions,
): Promise<void> {
  const extents = all.flatMap((extent) => {
    if (!to || extent.segment < to.segment) return [extent];
    const length = extent.segment === to.segment ? Math.min(extent.length, to.offset) : 0;
    return length > 0 ? [{ ...extent, length, final: false }] : [];
  });
  const stretch = { ...readable(storage), list: () => Promise.resolve(extents) };
  const names = new Map<string, BootName>();
  const cursors = new Map([[epoch, from]]);
  for await (const { read, digest } of digests(stretch, cursors)) {
    cursors.set(epoch, read.next);
    writer.take(read);
    for (const block of digest.blocks) {
      const name = nameOf(block.names, names);
      if (name) writer.block(name, block.recvUs, block.kind === "plain" ? block.firstUsec : 0);
    }
    writer.commit();
    progress?.(read.length);
  }
  writer.flush();
}

function readable(storage: Storage): Storage {
  return {
    list: (after) => storage.list(after),
    read: (...place) => storage.read(...place),
    watch: (news) => storage.watch(news),
    createEpoch: (receiver) => storage.createEpoch(receiver),
  };
}

function nameOf(text: string, known: Map<string, BootName>): BootName | undefined {
  const name = known.get(text);
  if (name) return name;
  const [device, boot, ...rest] = text.split(" ");
  if (device === undefined || boot === undefined || rest.length !== 2) return undefined;
  const made = { device, boot, clockKey: `${device} ${boot}` };
  known.set(text, made);
  return made;
}
