import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { TemporaryFolder } from "../tests/fixtures.ts";
import type { Position } from "./checkpoint.ts";
import { diedBoot } from "./died_boot.ts";

const at = (boot: string): Position => ({ boot, stream: boot, seq: 7, hash: "h" });

describe("the boot that died", () => {
  test("is the checkpoint's, unless that is of this boot or lost", async () => {
    for (
      const [position, died] of [
        [at("b1"), { boot: "b1", position: at("b1") }],
        [at("b2"), undefined],
        [undefined, undefined],
      ] as const
    ) {
      using folder = new TemporaryFolder();
      expect(await diedBoot(folder.path, "b2", position, () => {})).toEqual(died!);
    }
  });

  test("stays known after the checkpoint went on to this boot", async () => {
    using folder = new TemporaryFolder();
    const first = await diedBoot(folder.path, "b2", at("b1"), () => {});
    expect(await diedBoot(folder.path, "b2", at("b2"), () => {})).toEqual(first!);
    expect(await diedBoot(folder.path, "b3", at("b2"), () => {}))
      .toEqual({ boot: "b2", position: at("b2") });
  });

  test("is the one in which the agent ran last, though nothing of it was acknowledged", async () => {
    using folder = new TemporaryFolder();
    await diedBoot(folder.path, "b2", at("b1"), () => {});
    expect(await diedBoot(folder.path, "b3", at("b1"), () => {})).toEqual({ boot: "b2" });
  });

  test("is the checkpoint's where the memory of it is torn, which is said", async () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "boots.json");
    for (const torn of ["", "{", "null", '{"boot":3}', '{"boot":"b2","died":7}']) {
      writeFileSync(path, torn);
      const said: string[] = [];
      const died = await diedBoot(folder.path, "b2", at("b1"), (text) => said.push(text));
      expect([torn, died]).toEqual([torn, { boot: "b1", position: at("b1") }]);
      expect([torn, said.length]).toEqual([torn, 1]);
    }
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ boot: "b2" });
  });
});
