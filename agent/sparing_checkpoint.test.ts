import { expect, test } from "bun:test";
import { join } from "node:path";
import { rmSync } from "node:fs";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { Checkpoint, type Position } from "./checkpoint.ts";
import { SparingCheckpoint } from "./sparing_checkpoint.ts";

const position = (seq: number, boot = "b1"): Position => ({ boot, stream: boot, seq, hash: "h" });

function setUp() {
  const folder = new TemporaryFolder();
  const paths = {
    volatile: join(folder.path, "run.json"),
    lasting: join(folder.path, "state.json"),
  };
  const clock = { ms: 0 };
  const lasting = new Checkpoint(paths.lasting);
  const open = () => new SparingCheckpoint(new Checkpoint(paths.volatile), lasting, () => clock.ms);
  return { folder, paths, clock, lasting, open };
}

test("a sparing checkpoint writes each position to the volatile folder, and one a minute to the lasting", async () => {
  const { folder, clock, lasting, open } = setUp();
  using _ = folder;
  const checkpoint = open();
  for (let second = 0; second < 130; second++) {
    clock.ms = second * 1000;
    await checkpoint.save(position(second));
    expect((await open().load())!.seq).toBe(second);
    expect((await lasting.load())!.seq).toBe(second - second % 60);
  }
  await checkpoint.flush();
  expect((await lasting.load())!.seq).toBe(129);
});

test("a sparing checkpoint goes on from the lasting one after a reboot", async () => {
  const { folder, paths, clock, open } = setUp();
  using _ = folder;
  const checkpoint = open();
  await checkpoint.save(position(5));
  clock.ms = 30_000;
  await checkpoint.save(position(9));
  rmSync(paths.volatile);
  expect((await open().load())!.seq).toBe(5);
});

test("a sparing checkpoint takes the further of one boot, and the newer boot of two", async () => {
  const { folder, paths, lasting, open } = setUp();
  using _ = folder;
  expect(await open().load()).toBeUndefined();
  const volatile = new Checkpoint(paths.volatile);
  await lasting.save(position(9));
  await volatile.save(position(3));
  expect((await open().load())!.seq).toBe(9);
  await volatile.save(position(3, "b2"));
  expect(await open().load()).toEqual(position(3, "b2"));
});
