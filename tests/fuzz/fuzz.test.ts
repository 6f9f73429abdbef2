import { afterAll, describe, expect, test } from "bun:test";
import { TemporaryFolder } from "../fixtures.ts";
import { drawCase, mutationNames } from "./cases.ts";
import { fuzz, type FuzzReport } from "./fuzz.ts";
import { theWorld } from "./senders.ts";

const MiB = 2 ** 20;
/** `bun run fuzz --seed 4750` runs the same. */
const seed = 4750;
const folder = new TemporaryFolder();
afterAll(() => folder[Symbol.dispose]());

function complaints(report: FuzzReport): string[] {
  return report.failures.slice(0, 10).map(({ number, complaint }) =>
    `${complaint}: see bun run fuzz --seed ${seed} --only ${number}`
  );
}

describe("the receiver", () => {
  test("stands 20,000 mutated uploads: refuses what is wrong, stores what is right, keeps nothing", async () => {
    const report = await fuzz({ seed, from: 0, to: 20_000, folder: folder.path });
    expect(complaints(report)).toEqual([]);
    expect(report.cases).toBe(20_000);
    // Some of everything: valid ones are stored, each kind of refusal comes up.
    const outcomes = new Set([...report.outcomes.values()].flatMap((counts) => [...counts.keys()]));
    for (const one of ["200 ok", "400 bad_frame", "401 bad_token", "408 cut_off", "503 busy"]) {
      expect(outcomes).toContain(one);
    }
    expect(report.storedBytes).toBeGreaterThan(5 * MiB);
    // Memory is watched by the engine, once it is warm.
    expect(report.rssWarmBytes).toBeGreaterThan(0);
  });

  /** What it once did with them. */
  const regressions: Record<string, string> = {
    "header: an odd name": "repeated a name of 100 KB in its answer",
    "encoding: one that nobody knows": "repeated an encoding of 50 KB in its answer",
    "gzip: several members": "answered 500 to all gzip while its streams were rebuilt",
    "frame: a bomb without an end": "walked all of its blocks again for each chunk",
    "gzip: a bomb beyond the limit": "held it all while it came faster than it was stored",
  };
  for (const [mutation, what] of Object.entries(regressions)) {
    test(`stands uploads of the kind "${mutation}" (it ${what})`, async () => {
      expect(mutationNames).toContain(mutation);
      const to = mutation.includes("beyond") ? 8 : 200;
      const report = await fuzz({ seed, from: 0, to, folder: folder.path, changes: { mutation } });
      expect(complaints(report)).toEqual([]);
      expect(report.outcomes.get(mutation)?.size).toBeGreaterThan(0);
    });
  }
});

describe("a case", () => {
  test("follows from seed and number alone", async () => {
    const bytesOf = async (number: number) => {
      const { upload, chunks } = drawCase(seed, number, await theWorld());
      return [upload.mutations, upload.headers, chunks.map((chunk) => Array.from(chunk))];
    };
    for (const number of [0, 1, 19, 1_000_000]) {
      expect(await bytesOf(number)).toEqual(await bytesOf(number));
    }
    expect(await bytesOf(0)).not.toEqual(await bytesOf(1));
  });
});
