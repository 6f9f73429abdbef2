/** Reads all of an archive as frames, and says how much that is. */
import process from "node:process";
import { limits } from "../../shared/limits.ts";
import { ManifestStore } from "../../grinder/archive/manifest_store.ts";
import { FolderPlace } from "../../grinder/archive/place_folder.ts";
import { ArchiveReader } from "../../grinder/archive/reader.ts";

const place = new FolderPlace(process.argv[2]!);
const manifest = await new ManifestStore(place).newest(limits.archivePartitions);
const startMs = performance.now();
let [frames, bytes] = [0, 0];
for await (const { length } of new ArchiveReader(place, manifest).frames()) {
  frames++;
  bytes += length;
}
const seconds = (performance.now() - startMs) / 1000;
console.log(
  `archive: ${frames} frames, ${bytes} bytes, ${(bytes / 1e6 / seconds).toFixed(0)} MB/s`,
);
