import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { StorageError } from "../../shared/storage/storage.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { blockText, lines, noonUs, Store } from "../archive/fixtures.ts";
import { archiveFiles, type ArchiveFilesOptions } from "./archive_files.ts";

/** An archive of two hours, and what goes with it; `data` is where it is, as long as it is a folder. */
async function archived(store: Store, folder: string): Promise<ArchiveFilesOptions> {
  for (const hour of [0, 1]) {
    await store.receive([blockText(lines(hour * 10, hour * 10 + 9), {
      recvUs: noonUs + hour * 3600e6,
    })]);
  }
  await store.archiver().run();
  const range = { sinceUs: 0, untilUs: Number.MAX_SAFE_INTEGER };
  const manifest = await store.manifest();
  return {
    manifest,
    place: store.place,
    root: store.data,
    range,
    folder,
    warn: expect.unreachable,
  };
}

describe("archiveFiles", () => {
  test("are a folder's own files, as far as they have something of the range", async () => {
    using store = new Store();
    const options = await archived(store, store.folder);
    const paths = options.manifest.files.map(({ path }) => join(store.data, path));
    expect(paths.length).toBe(2);
    expect(await archiveFiles(options)).toEqual(paths);
    const [, late] = options.manifest.files;
    const from = { sinceUs: late!.minRecvUs, untilUs: late!.minRecvUs + 1 };
    expect(await archiveFiles({ ...options, range: from })).toEqual([paths[1]!]);
    const before = { sinceUs: 0, untilUs: late!.minRecvUs };
    expect(await archiveFiles({ ...options, range: before })).toEqual([paths[0]!]);
  });

  /** A bucket whose answers are `changed` once a file is copied: such a small one is looked at in one read. */
  function bucket(store: Store, changed: (bytes: Uint8Array) => Uint8Array) {
    const lookedAt = new Set<string>();
    const read = async (path: string, offset: number, length: number) => {
      const bytes = await store.place.read(path, offset, length);
      if (lookedAt.has(path)) return changed(bytes);
      lookedAt.add(path);
      return bytes;
    };
    return { read };
  }

  test("are copies of a bucket's files, whose answers may be shorter than was asked for", async () => {
    using store = new Store();
    using folder = new TemporaryFolder();
    const options = await archived(store, folder.path);
    const place = bucket(store, (bytes) => bytes.subarray(0, 1_000));
    const copies = await archiveFiles({ ...options, root: undefined, place });
    expect(copies.length).toBe(2);
    for (const [i, { path }] of options.manifest.files.entries()) {
      expect(readFileSync(copies[i]!)).toEqual(readFileSync(join(store.data, path)));
    }
  });

  test("end with an error where a file is gone when it is copied", async () => {
    using store = new Store();
    using folder = new TemporaryFolder();
    const options = await archived(store, folder.path);
    const place = bucket(store, () => new Uint8Array());
    const files = archiveFiles({ ...options, root: undefined, place });
    await expect(files).rejects.toThrow(StorageError);
  });
});
