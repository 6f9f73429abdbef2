import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { segmentPath, type Storage, StorageError } from "../../shared/storage/storage.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { root } from "../../tests/programs.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { block, lines, Mill, rules, seqsOf } from "../fixtures.ts";
import { loadRules } from "../load_rules.ts";
import { takeFailures } from "../rule.ts";
import { Engine } from "./engine.ts";
import { grindBy, randomBlock } from "./fixtures.ts";

/** The rules of ../fixtures.ts as a file, which is where other threads find them. */
const rulesPath = join(root, "grinder/engine/test_rules.ts");

function newEngine(threads: number, warnings: string[] = []): Engine {
  return new Engine({ rules, rulesPath, threads, warn: (text) => warnings.push(text) });
}

/** A mill with a segment of that many frames, and what its outputs must be. */
async function filledMill(frames: number): Promise<Mill> {
  const mill = new Mill();
  const receiver = await mill.receiver();
  const random = seededRandom(frames);
  const below = (n: number) => Math.floor(random() * n);
  for (let frame = 0; frame < frames; frame++) {
    await receiver.store(randomBlock(below), randomBlock(below));
  }
  return mill;
}

const outcome = (mill: Mill) => [mill.events(), mill.aggregates(), mill.counters()];

/** Changes bytes of the only segment. */
async function damage(mill: Mill, change: (bytes: Buffer) => Buffer): Promise<void> {
  const [extent] = await mill.storage.list(new Map());
  const path = join(mill.folder.path, segmentPath(extent!));
  writeFileSync(path, change(readFileSync(path)));
}

describe("an engine", () => {
  test("gives the same with no, one and three other threads, frame by frame in order", async () => {
    await using mill = await filledMill(3 * limits.frameSlots);
    const all: unknown[] = [];
    for (const threads of [0, 1, 3]) {
      mill.beginAnew(`threads ${threads}`);
      await using engine = newEngine(threads);
      await grindBy(engine, mill, 7);
      all.push(outcome(mill));
    }
    expect(all[1]).toEqual(all[0]);
    expect(all[2]).toEqual(all[0]);
    expect(mill.events().length).toBeGreaterThan(500);
  });

  test("steps over damage as the reader does, wherever it is, and reads the rest once", async () => {
    await using mill = await filledMill(40);
    const random = seededRandom(7);
    const below = (n: number) => Math.floor(random() * n);
    await using engine = newEngine(2);
    for (let round = 0; round < 12; round++) {
      await damage(mill, (bytes) => {
        const at = below(bytes.length);
        if (round % 3 === 2) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 3)]);
        bytes[at]! ^= 0x55;
        return bytes;
      });
      const right: unknown[] = [];
      for await (const { text, ...read } of readNew(mill.storage, new Map())) {
        right.push({ ...read, hasText: text !== undefined });
      }
      const got: unknown[] = [];
      const cursors = new Map();
      for await (const { read, digest } of engine.digests(mill.storage, cursors)) {
        cursors.set(`${read.receiver}/${read.epoch}`, read.next);
        const { frame, text, ...rest } = read;
        const hasText = text !== undefined ||
          (frame !== undefined && [...digest.blocks].length + digest.badBlocks > 0);
        got.push({ ...rest, hasText });
      }
      expect([round, ...got]).toEqual([round, ...right]);
    }
  });

  test("can be left in the middle, and asked again from where the cursors are", async () => {
    await using mill = await filledMill(100);
    await using engine = newEngine(2);
    let left = 0;
    for (let more = true; more;) {
      more = false;
      let frames = 0;
      for await (
        const { read, digest, textOf } of engine.digests(mill.storage, mill.grind.cursors)
      ) {
        const text = { ...read, text: textOf() };
        const stored = digest.hasLastWords
          ? await mill.grind.tails.storedLines(text, mill.storage)
          : undefined;
        mill.grind.takeDigest(read, digest, textOf, stored);
        if (++frames < 9) continue;
        more = true;
        left++;
        break;
      }
    }
    mill.grind.commit(Date.UTC(2026, 10, 23), "end");
    const got = outcome(mill);
    expect(left).toBeGreaterThan(10);
    mill.beginAnew("at once");
    await grindBy(engine, mill, Infinity);
    expect(got).toEqual(outcome(mill));
  });

  test("gives what it has read before it fails because the storage does", async () => {
    await using mill = new Mill();
    const [bad, good] = [await mill.receiver("r1"), await mill.receiver("r2")];
    await bad.store(block(lines(0, 4)));
    await good.store(block(lines(5, 9)));
    const storage: Pick<Storage, "list" | "read"> = {
      list: (after) => mill.storage.list(after),
      read: (at, ...range) =>
        at.epoch === bad.epoch.epoch
          ? Promise.reject(new StorageError("EIO"))
          : mill.storage.read(at, ...range),
    };
    await using engine = newEngine(1);
    const all = engine.digests(storage as Storage, mill.grind.cursors);
    const taken = (async () => {
      for await (const { read, digest, textOf } of all) mill.grind.takeDigest(read, digest, textOf);
    })();
    await expect(taken).rejects.toThrow(StorageError);
    mill.grind.commit(Date.UTC(2026, 10, 23), "end");
    expect(seqsOf(mill.events())).toEqual([5, 6, 7, 8, 9]);
  });

  test("does by itself what digests don't fit the way from other threads", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    // 20,000 events of a frame are some megabytes.
    for (const first of [0, 20_000]) {
      await receiver.store(block(lines(first, first + 19_999, "link up on a")));
    }
    await using engine = newEngine(2);
    await grindBy(engine, mill, Infinity);
    expect(mill.events()).toHaveLength(40_000);
  });

  test("knows in the end how often rules have failed in all threads", async () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "rules.ts");
    const from = JSON.stringify(join(root, "grinder/rule.ts"));
    writeFileSync(
      path,
      `import { mapper } from ${from};
      const map = (text) => { if (text.endsWith("eth0")) throw new Error("no"); return {}; };
      export default [mapper("failing", ["link up"], map, { yes: ["link up"] })];`,
    );
    const rules = await loadRules(path);
    await using mill = new Mill();
    const receiver = await mill.receiver();
    for (let frame = 0; frame < 100; frame++) {
      await receiver.store(block(lines(10 * frame, 10 * frame + 9, "link up on eth0")));
    }
    const engine = new Engine({ rules, rulesPath: path, threads: 2, warn() {} });
    await grindBy(engine, mill, Infinity);
    await engine[Symbol.asyncDispose]();
    expect(takeFailures(rules)).toEqual([{ rule: "failing", count: 1_000, first: "Error: no" }]);
  });

  test("goes on alone, and says so, where a thread can't be had or has other rules", async () => {
    for (const path of ["/nowhere/rules.ts", join(root, "rules.ts")]) {
      await using mill = await filledMill(100);
      const warnings: string[] = [];
      const options = {
        rules,
        rulesPath: path,
        threads: 2,
        warn: (text: string) => warnings.push(text),
      };
      await using engine = new Engine(options);
      await grindBy(engine, mill, 7);
      const got = outcome(mill);
      while (warnings.length === 0) await new Promise((turn) => setTimeout(turn, 10));
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatch(/^a thread is lost, all is done in one from now on: .*rules\.ts/);
      mill.beginAnew("after");
      await grindBy(engine, mill, 7);
      expect(outcome(mill)).toEqual(got);
    }
  }, 60_000);
});
