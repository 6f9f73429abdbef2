import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { TemporaryFolder } from "../fixtures.ts";
import { Mirror } from "./mirror.ts";

test("a mirror keeps what is deleted, and what was appended after it was seen", async () => {
  using folder = new TemporaryFolder();
  const epoch = "20261122T120000.000Z-00000000";
  const data = join(folder.path, "data");
  const segments = join(data, "segments/r1", epoch);
  mkdirSync(segments, { recursive: true });
  writeFileSync(join(segments, "00000000.zst"), "one");
  const mirror = new Mirror(data, join(folder.path, "mirror"));
  while (mirror.segments < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  appendFileSync(join(segments, "00000000.zst"), ", two");
  rmSync(segments, { recursive: true });
  mkdirSync(segments);
  writeFileSync(join(segments, "00000001.zst"), "three");
  const storage = new FolderStorage(mirror.end());
  const extents = await storage.list(new Map());
  expect(extents.map(({ segment, length, final }) => [segment, length, final])).toEqual([
    [0, "one, two".length, true],
    [1, "three".length, true],
  ]);
});
