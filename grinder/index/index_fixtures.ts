/** What tests of the index share: a store that is indexed as the grinder does it while it reads. */
import { join } from "node:path";
import { readBlocks } from "../../shared/block.ts";
import { readNew } from "../../shared/segment_reader.ts";
import type { Storage } from "../../shared/storage/storage.ts";
import { IndexWriter } from "./index_writer.ts";
import type { BootName } from "./part_builder.ts";

export interface IndexAllOptions {
  /** So many frames of it. */
  most?: number;
  /** Frames at which the grinder was killed and began again later: a part ends, and one frame is left out. */
  skips?: () => boolean;
  /** What the index is told in the place of what is so. */
  lie?: (block: { device: string; recvUs: number }) => { device: string; recvUs: number };
}

/** Into the folder `out` of the store. */
export async function indexAll(
  store: { storage: Storage; path: string },
  { most = Infinity, skips = () => false, lie = (block) => block }: IndexAllOptions = {},
): Promise<void> {
  const report = (text: string) => {
    throw new Error(`reported: ${text}`);
  };
  using writer = IndexWriter.open(join(store.path, "out"), { nowMs: () => 0, report });
  const names = new Map<string, BootName>();
  let taken = 0;
  for await (const read of readNew(store.storage, new Map())) {
    if (taken++ >= most) break;
    if (skips()) {
      writer.flush();
      continue;
    }
    writer.take(read);
    for (const { header } of readBlocks(read.text ?? "")) {
      const { device, recvUs } = lie(header);
      const clockKey = `${device} ${header.boot}`;
      const name = names.get(clockKey) ?? { device, boot: header.boot, clockKey };
      names.set(clockKey, name);
      writer.block(name, recvUs, 0);
    }
  }
  writer.flush();
}
