import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../shared/limits.ts";
import { readBlocks } from "../shared/block.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { compressFrame } from "../shared/zstd.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { noManifest } from "./archive/manifest.ts";
import type { ArchivePlace } from "./archive/place.ts";
import { ArchiveReader } from "./archive/reader.ts";
import type { TimeRange } from "./history/time_range.ts";
import { block, line, linkRule, tookRule } from "./fixtures.ts";
import { forEachRawLine } from "./raw_lines.ts";
import { FrameEvents } from "./rules_events.ts";
import { fileFrames, madeUpFrames, sampleStored } from "./rules_source.ts";

/** The texts of the records that a file is read as. */
async function textsOf(content: string | Buffer): Promise<string[]> {
  using folder = new TemporaryFolder();
  const path = join(folder.path, "file");
  writeFileSync(path, content);
  const texts: string[] = [];
  for await (const frame of fileFrames(path)) {
    expect(frame.length).toBeLessThanOrEqual(limits.frameTextBytesMax);
    const blocks = [...readBlocks(frame)];
    expect(blocks).toHaveLength(1);
    forEachRawLine(blocks[0]!.text, (record) => texts.push(record.text));
  }
  return texts;
}

describe("fileFrames", () => {
  test("takes plain lines, dmesg's, and records, with or without their blocks' headers", async () => {
    expect(await textsOf("a line\n<6>[    1.000000] usb 1\n6,1,2,-;a record\n")).toEqual(
      ["a line", "usb 1", "a record"],
    );
    expect(await textsOf(`${block(line(1, "one"))}${block(line(2, "two"))}#end\n`)).toEqual(
      ["one", "two"],
    );
    expect(await textsOf("# a comment\nno newline")).toEqual(["# a comment", "no newline"]);
    expect(await textsOf("")).toEqual([]);
  });

  test("gives every line of a long file once, and cuts only what fits no frame", async () => {
    const lines = Array.from({ length: 40_000 }, (_, i) => `${i} ${"x".repeat(i % 100)}`);
    expect(await textsOf(lines.join("\n"))).toEqual(lines);
    const long = "y".repeat(3 * limits.frameTextBytesMax);
    const read = await textsOf(`a\n${long}\nb\n`);
    expect([read[0], read.at(-1)]).toEqual(["a", "b"]);
    expect(read.slice(1, -1).join("")).toBe(long);
    expect(await textsOf(Buffer.from("gr\xc3\xb6n\n", "latin1"))).toEqual(["gr\xc3\xb6n"]);
  });
});

describe("sampleStored", () => {
  /** Frames of some 20 KB that zstd can't make smaller, numbered. */
  async function stored(folder: string, frames: number): Promise<FolderStorage> {
    const storage = new FolderStorage(folder, { nowMs: () => Date.UTC(2026, 10, 22, 12) });
    const epoch = await storage.createEpoch("r1");
    const random = seededRandom(1);
    const noise = () =>
      Array.from({ length: 1_000 }, () => random().toString(36).slice(2)).join(" ");
    for (let i = 0; i < frames; i++) {
      const text = block(line(i, noise()), { recvUs: Date.UTC(2026, 10, 22, 12) * 1000 + i * 1e6 });
      await epoch.commit([compressFrame(Buffer.from(text))]);
    }
    await epoch.close();
    return storage;
  }
  const always = { sinceUs: 0, untilUs: Date.UTC(2027, 0) * 1000 };
  /** Nothing is archived. */
  const sampleOf = (storage: FolderStorage, range: TimeRange, bytesMax: number) => {
    const place = { read: () => Promise.resolve(new Uint8Array()) } as unknown as ArchivePlace;
    const manifest = noManifest(2);
    const reader = new ArchiveReader(place, manifest);
    return sampleStored({ storage, place, manifest, reader }, range, bytesMax, (text) => {
      throw new Error(text);
    });
  };
  const seqOf = (text: string) => Number(/^6,(\d+),/m.exec(text)![1]);

  test("takes all that there is, where that is little", async () => {
    using folder = new TemporaryFolder();
    const storage = await stored(folder.path, 5);
    const sample = await sampleOf(storage, always, 2 ** 20);
    expect(sample.whole).toBe(true);
    expect(sample.texts.map(seqOf)).toEqual([0, 1, 2, 3, 4]);
    expect(sample.textBytes).toBe(sample.texts.join("").length);
  });

  test("takes some from everywhere, where it is much, and no more than is asked for", async () => {
    using folder = new TemporaryFolder();
    const storage = await stored(folder.path, 150);
    const sample = await sampleOf(storage, always, 2 ** 18);
    expect(sample.whole).toBe(false);
    expect(sample.textBytes).toBeLessThanOrEqual(2 ** 18 + 40_000);
    expect(sample.textBytes).toBeGreaterThan(2 ** 17);
    const seqs = sample.texts.map(seqOf);
    for (const third of [0, 50, 100]) {
      expect(seqs.some((seq) => seq >= third && seq < third + 50)).toBe(true);
    }
  });

  test("gives nothing of a time in which nothing came", async () => {
    using folder = new TemporaryFolder();
    const storage = await stored(folder.path, 3);
    const sample = await sampleOf(storage, { sinceUs: 0, untilUs: 1e15 }, 2 ** 20);
    expect(sample).toEqual({ texts: [], textBytes: 0, whole: true });
  });
});

test("made-up frames hold every yes line of the rules, in one of a hundred lines", () => {
  const rules = [linkRule, tookRule];
  const texts = madeUpFrames(rules, 2 ** 20);
  const events = new FrameEvents(rules, "");
  const found = texts.flatMap((text) => events.in(text));
  const lines = texts.join("").split("\n").length;
  expect(new Set(found.map(({ rule }) => rule.name))).toEqual(new Set(["link", "took"]));
  expect(found.length / lines).toBeCloseTo(0.01, 3);
  expect(texts.join("").length).toBeGreaterThanOrEqual(2 ** 20);
});
