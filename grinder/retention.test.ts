import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { TemporaryFolder } from "../tests/fixtures.ts";
import type { Extent } from "../shared/storage/storage.ts";
import { IndexFile, indexPath } from "./index/index_file.ts";
import { deleteOldOutputs, forgetGoneIndex, Retention } from "./retention.ts";

const dayMs = 86_400_000;
const midnightMs = Date.UTC(2026, 10, 23);

function outputs(): TemporaryFolder {
  const folder = new TemporaryFolder();
  for (const kind of ["events", "aggregates"]) {
    mkdirSync(join(folder.path, kind));
    for (const name of ["20261120.jsonl", "20261121.jsonl", "20261122.jsonl", "mine.jsonl"]) {
      writeFileSync(join(folder.path, kind, name), "{}\n");
    }
  }
  return folder;
}

test("old outputs go when their day is over for so long, and nothing that is no day's file", () => {
  using folder = outputs();
  expect(deleteOldOutputs(folder.path, 2 * dayMs, midnightMs)).toEqual([]);
  expect(deleteOldOutputs(folder.path, 2 * dayMs, midnightMs + 1))
    .toEqual(["events/20261120.jsonl", "aggregates/20261120.jsonl"]);
  expect(existsSync(join(folder.path, "events/20261120.jsonl"))).toBe(false);
  expect(existsSync(join(folder.path, "events/20261121.jsonl"))).toBe(true);
  expect(existsSync(join(folder.path, "events/mine.jsonl"))).toBe(true);
});

test("old outputs of a folder that has none are none", () => {
  using folder = new TemporaryFolder();
  expect(deleteOldOutputs(folder.path, dayMs, midnightMs)).toEqual([]);
});

test("the index forgets segments that are gone, and only those, whatever comes meanwhile", async () => {
  using folder = new TemporaryFolder();
  {
    using index = IndexFile.write(indexPath(folder.path), midnightMs, () => {});
    for (const [epoch, segment] of [["r1/e1", 0], ["r1/e1", 1], ["r1/e2", 0]] as const) {
      const from = { segment, offset: 0 };
      const to = { segment: segment + 1, offset: 0 };
      index.add({ epoch, from, to, minRecvUs: 1, maxRecvUs: 2, buckets: 0 }, [], []);
    }
  }
  const extent = { receiver: "r1", epoch: "e1", segment: 1, length: 10, final: true } as Extent;
  const storage = {
    list: () => {
      // Of an epoch that begins behind the list's back.
      using index = IndexFile.write(indexPath(folder.path), midnightMs, () => {});
      const [from, to] = [{ segment: 0, offset: 0 }, { segment: 0, offset: 9 }];
      index.add({ epoch: "r1/e3", from, to, minRecvUs: 1, maxRecvUs: 2, buckets: 0 }, [], []);
      return Promise.resolve([extent]);
    },
  };
  expect(await forgetGoneIndex(storage, folder.path, midnightMs, () => {})).toBe(2);
  using index = IndexFile.write(indexPath(folder.path), midnightMs, () => {});
  expect(index.parts().map(({ epoch, from }) => [epoch, from.segment])).toEqual([["r1/e1", 1], [
    "r1/e3",
    0,
  ]]);
});

test("retention runs once in a while, and says what it can't delete", async () => {
  using folder = outputs();
  let nowMs = midnightMs + 1;
  const said: string[] = [];
  let lists = 0;
  const retention = new Retention({
    storage: {
      list: () => {
        lists++;
        return Promise.reject(new Error("told so"));
      },
    },
    out: folder.path,
    keepMs: 2 * dayMs,
    everyMs: 1000,
    nowMs: () => nowMs,
    report: (text) => said.push(text),
  });
  await retention.run();
  nowMs += 999;
  await retention.run();
  expect([lists, said]).toEqual([1, [
    "deleted events/20261120.jsonl, aggregates/20261120.jsonl: older than they are kept",
    "Cannot delete what is old: told so",
  ]]);
  nowMs++;
  await retention.run();
  expect(lists).toBe(2);
});
