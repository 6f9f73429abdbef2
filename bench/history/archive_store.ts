/** A corpus to a storage folder on disk, as receivers leave it, and its text beside it in order of arrival. */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { corpusFrames, type CorpusOptions } from "./archive_corpus.ts";

export interface MadeStore {
  data: string;
  /** A file of all text, headers and all, as it arrived. */
  text: string;
  textBytes: number;
  hotBytes: number;
}

/** In a folder that may be there; what is in its `data` goes. */
export async function makeStore(folder: string, options: CorpusOptions): Promise<MadeStore> {
  const [data, text] = [join(folder, "data"), join(folder, "arrived.txt")];
  rmSync(data, { recursive: true, force: true });
  const epoch = await new FolderStorage(data).createEpoch("r1");
  const fd = openSync(text, "w");
  let [textBytes, hotBytes] = [0, 0];
  for (const frame of corpusFrames(options)) {
    const stored = compressFrame(frame.text);
    await epoch.commit([stored]);
    writeSync(fd, frame.text);
    textBytes += frame.text.length;
    hotBytes += stored.length;
  }
  await epoch.close();
  closeSync(fd);
  return { data, text, textBytes, hotBytes };
}
