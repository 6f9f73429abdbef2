import { Buffer } from "node:buffer";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { CommitQueue, type Texts } from "../shared/commit_queue.ts";
import { readNew } from "../shared/segment_reader.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { StorageError } from "../shared/storage/storage.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { openEpochAside } from "./storage_aside.ts";

const block = (seq: number, bytes = 0) =>
  Buffer.from(`#1 d b kmsg s 1 ${seq} ${seq} 1\n6,${seq},1,-;${"x".repeat(bytes)}\n`);

/** A text in memory that the thread sees. */
function textIn(epoch: { texts: Texts }, text: Uint8Array): Uint8Array {
  const shared = new Uint8Array(epoch.texts.memory(), 0, text.length);
  shared.set(text);
  return shared;
}

async function stored(data: string): Promise<string[]> {
  const texts: string[] = [];
  for await (const read of readNew(new FolderStorage(data), new Map())) {
    expect(read.damage).toBeUndefined();
    if (read.text !== undefined) texts.push(read.text);
  }
  return texts;
}

test("an epoch on a thread of its own stores what a queue gives it, in order, and closes", async () => {
  using folder = new TemporaryFolder();
  const epoch = await openEpochAside({ data: folder.path, options: {}, name: "r1" });
  expect([epoch.receiver, epoch.pace.parallel]).toEqual(["r1", 1]);
  const queue = new CommitQueue(epoch, { texts: epoch.texts });
  const blocks = Array.from({ length: 60 }, (_, seq) => block(seq, (seq % 7) * 60_000));
  // Several rounds: memory that was used before must not show in what comes after.
  for (let at = 0; at < blocks.length; at += 20) {
    await Promise.all(
      blocks.slice(at, at + 20).map((one) => queue.append(one.subarray(0, 20), one.subarray(20))),
    );
  }
  await queue.close();
  expect((await stored(folder.path)).join("")).toBe(blocks.map(String).join(""));
});

test("a storage that can't be opened is an error in the words of the storage", async () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, "file");
  writeFileSync(file, "");
  const opening = openEpochAside({ data: file, options: {}, name: "r1" });
  await expect(opening).rejects.toThrow(StorageError);
  await expect(opening).rejects.toThrow(/^Cannot /);
});

test("a commit that fails on the thread is a StorageError, and the next ones work again", async () => {
  using folder = new TemporaryFolder();
  const epoch = await openEpochAside({ data: folder.path, options: {}, name: "r1" });
  await epoch.commit([textIn(epoch, block(0))]);
  rmSync(join(folder.path, "segments"), { recursive: true });
  const outcome = (done: Promise<void>) => done.then(() => "done", (error: unknown) => error);
  const lost = await outcome(epoch.commit([textIn(epoch, block(1))]));
  expect(lost).toBeInstanceOf(StorageError);
  expect(String(await outcome(epoch.probe()))).toContain("segments must be there");
  mkdirSync(join(folder.path, "segments"));
  expect(await outcome(epoch.probe())).toBe("done");
  await epoch.commit([textIn(epoch, block(2))]);
  await epoch.close();
  expect(await stored(folder.path)).toEqual([block(2).toString()]);
});

test("a text that was full and then isn't committed leaves nothing in its memory's next", async () => {
  using folder = new TemporaryFolder();
  const epoch = await openEpochAside({ data: folder.path, options: {}, name: "r1" });
  const [dropped, kept] = [textIn(epoch, block(0)), textIn(epoch, block(1))];
  for (const text of [dropped, kept]) epoch.texts.full(text);
  await epoch.probe();
  const other = block(2, 500);
  const reused = new Uint8Array(dropped.buffer, 0, other.length);
  reused.set(other);
  await epoch.commit([reused, kept]);
  epoch.texts.full(reused);
  await epoch.commit([reused]);
  await epoch.close();
  expect(await stored(folder.path)).toEqual(
    [2, 1, 2].map((i) => String(i === 2 ? other : block(i))),
  );
});
