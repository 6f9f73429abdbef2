import { join } from "node:path";
import { expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { TemporaryFolder } from "../fixtures.ts";
import { makeScaledTree, scaledLimits } from "./scaled_tree.ts";

test("a scaled tree has other times, whose relations hold, and all other limits as they are", async () => {
  using folder = new TemporaryFolder();
  const tree = makeScaledTree(join(folder.path, "tree"), { archiveGraceMs: 99 });
  const scaled: typeof limits = (await import(join(tree, "shared/limits.ts"))).limits;
  expect(scaled).toEqual(
    { ...limits, ...scaledLimits, archiveGraceMs: 99 } as object as typeof limits,
  );
  expect(() => makeScaledTree(join(folder.path, "other"), { noSuchMs: 1 } as object))
    .toThrow("Cannot scale noSuchMs because limits/ must have it once");
});
