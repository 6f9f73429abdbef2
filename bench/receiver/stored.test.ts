import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { formatBlockHeader } from "../../shared/block.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { LogFrames } from "./frames.ts";
import { checkStored, type Verdict } from "./stored.ts";

const frames = new LogFrames(8_000, 1_000);

/** Stores these ranges of one device's records; `alter` may spoil a text. */
async function check(
  ranges: Array<[first: number, last: number]>,
  acked: [number, number],
  alter = (text: string) => text,
): Promise<Verdict> {
  using folder = new TemporaryFolder();
  const epoch = await new FolderStorage(folder.path).createEpoch("r");
  const names = { device: "d7", boot: "b", source: "kmsg", stream: "s", recvUs: 1 };
  for (const [first, last] of ranges) {
    const header = formatBlockHeader({ ...names, first, last, count: last - first + 1 });
    await epoch.commit([compressFrame(Buffer.from(header + alter(frames.text(first, last))))]);
  }
  await epoch.close();
  return await checkStored(folder.path, new LogFrames(8_000, 1_000), [{
    first: 7,
    acked: [acked],
  }]);
}

test("checkStored finds all that was acknowledged, in whatever order it is stored", async () => {
  const verdict = await check([[30, 49], [0, 29]], [0, 50]);
  expect(verdict).toMatchObject({
    ackedRecords: 50,
    storedRecords: 50,
    lost: 0,
    doubled: 0,
    wrong: 0,
    damaged: 0,
  });
});

test("checkStored counts what was acknowledged and isn't stored", async () => {
  expect((await check([[0, 9], [20, 49]], [0, 60])).lost).toBe(20);
});

test("checkStored counts what is stored twice", async () => {
  expect(await check([[0, 29], [20, 49]], [0, 50])).toMatchObject({ lost: 0, doubled: 10 });
});

test("checkStored takes a block with another text for none", async () => {
  const spoil = (text: string) => text.replace(/[a-z](?=\n)/, "~");
  expect(await check([[0, 9]], [0, 10], spoil)).toMatchObject({ wrong: 1, lost: 10 });
});
