/** Reads all segments as frames, and says how much that is. */
import process from "node:process";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";

const startMs = performance.now();
let [frames, bytes] = [0, 0];
for await (const { text } of readNew(new FolderStorage(process.argv[2]!), new Map())) {
  if (text === undefined) continue;
  frames++;
  bytes += text.length;
}
const seconds = (performance.now() - startMs) / 1000;
console.log(`hot: ${frames} frames, ${bytes} bytes, ${(bytes / 1e6 / seconds).toFixed(0)} MB/s`);
