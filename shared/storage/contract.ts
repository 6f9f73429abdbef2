/**
 * What every storage must do, as tests: the folder and S3 run the same suite. It takes a way to open
 * an empty storage, and asks nothing about how or in how many segments it keeps things.
 */
import { Buffer } from "node:buffer";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { endText } from "../block.ts";
import { limits } from "../limits.ts";
import { decodeSegment, readNew } from "../segment_reader.ts";
import { compressFrame } from "../zstd.ts";
import {
  type Cursor,
  epochKey,
  type EpochName,
  type EpochWriter,
  type Extent,
  type Storage,
} from "./storage.ts";

export interface Opened {
  storage: Storage;
  /** The same place, as another process sees it. */
  reopen(): Promise<Storage>;
  cleanup(): Promise<void>;
  /** Moves the storage's clock, where it has one of its own: segments grow old. */
  advanceMs?(ms: number): void;
  /** Deletes a segment, as retention does. */
  deleteSegment(at: EpochName & { segment: number }): Promise<void>;
}

/** Reads on from where it stands, as a grinder does. */
export class Reader {
  readonly cursors = new Map<string, Cursor>();
  /** What was read of each epoch, in order. */
  readonly texts = new Map<string, string[]>();
  readonly damage: string[] = [];

  constructor(private readonly storage: Storage) {}

  /** Reads what is new; gives only that, of all epochs. */
  async readOn(): Promise<string[]> {
    const fresh: string[] = [];
    for await (const read of readNew(this.storage, this.cursors)) {
      const key = epochKey(read);
      this.cursors.set(key, read.next);
      if (read.damage !== undefined) this.damage.push(read.damage);
      if (read.text === undefined) continue;
      fresh.push(read.text);
      this.texts.set(key, [...this.texts.get(key) ?? [], read.text]);
    }
    return fresh;
  }

  of(name: EpochName): string[] {
    return this.texts.get(epochKey(name)) ?? [];
  }
}

/** The text of a frame with one block of one record, and some padding. */
export function blockText(name: string, seq: number, padding = 0): string {
  return `#1 ${name} boot kmsg - 1795378894123456 ${seq} ${seq} 1\n` +
    `6,${seq},${seq * 1000},-;${name} ${"x".repeat(padding)}\n`;
}

export function frameOf(text: string): Buffer {
  return compressFrame(Buffer.from(text, "latin1"));
}

/** mulberry32: numbers from 0 to 1, always the same. */
export function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const created: EpochWriter[] = [];

/** A new epoch that `closeEpochs` closes at the test's end: an open file must not be left behind. */
export async function newEpochOf(storage: Storage, receiver = "r1"): Promise<EpochWriter> {
  const epoch = await storage.createEpoch(receiver);
  created.push(epoch);
  return epoch;
}

/** Closes what is still open; whether that works isn't this test's matter. */
export async function closeEpochs(): Promise<void> {
  for (const epoch of created.splice(0)) await epoch.close().catch(() => {});
}

async function readAll(storage: Storage): Promise<Reader> {
  const reader = new Reader(storage);
  await reader.readOn();
  expect(reader.damage).toEqual([]);
  return reader;
}

function place({ receiver, epoch, segment }: Extent): string {
  return `${epoch} ${receiver} ${String(segment).padStart(8, "0")}`;
}

export function storageContract(name: string, open: () => Promise<Opened>): void {
  describe(`${name} as a storage`, () => {
    let opened: Opened;
    let storage: Storage;

    beforeEach(async () => {
      opened = await open();
      storage = opened.storage;
    });
    afterEach(async () => {
      await closeEpochs();
      await opened.cleanup();
    });

    /** Extents as another process lists them. */
    async function listAgain(): Promise<Extent[]> {
      return (await opened.reopen()).list(new Map());
    }

    test("that is empty lists nothing", async () => {
      expect(await storage.list(new Map())).toEqual([]);
      expect(await listAgain()).toEqual([]);
    });

    test("reads back exactly what was committed, in order, here and in another process", async () => {
      const epoch = await newEpochOf(storage);
      const texts = [0, 1, 2, 3, 4, 5].map((seq) => blockText("d1", seq, seq * 5_000));
      texts[2] = "#1 d b s t 1 0 0 0\n\xff\xfe\x00 no UTF-8\n";
      await epoch.commit([frameOf(texts[0]!)]);
      await epoch.commit(texts.slice(1, 4).map(frameOf));
      await epoch.commit(texts.slice(4).map(frameOf));
      expect((await readAll(storage)).of(epoch)).toEqual(texts);
      expect((await readAll(await opened.reopen())).of(epoch)).toEqual(texts);
      await epoch.close();
      expect((await readAll(storage)).of(epoch)).toEqual(texts);
      expect((await readAll(await opened.reopen())).of(epoch)).toEqual(texts);
    });

    test("shows each commit to a reader as soon as it is acknowledged, and once", async () => {
      const epoch = await newEpochOf(storage);
      const reader = new Reader(await opened.reopen());
      for (let seq = 0; seq < 10; seq++) {
        const text = blockText("d1", seq);
        await epoch.commit([frameOf(text)]);
        expect(await reader.readOn()).toEqual([text]);
        expect(await reader.readOn()).toEqual([]);
      }
      await epoch.close();
      expect(await reader.readOn()).toEqual([]);
      expect(reader.damage).toEqual([]);
    });

    test("reads any range of a segment, and fewer bytes behind its end", async () => {
      const epoch = await newEpochOf(storage);
      const frames = [1, 2, 3].map((seq) => frameOf(blockText("d1", seq, 20_000)));
      await epoch.commit(frames);
      await epoch.close();
      const [extent] = await storage.list(new Map());
      const whole = Buffer.from(await storage.read(extent!, 0, extent!.length));
      expect(whole.length).toBe(extent!.length);
      expect(whole.subarray(0, frames[0]!.length).equals(frames[0]!)).toBe(true);
      const random = seeded(3);
      for (let round = 0; round < 20; round++) {
        const from = Math.floor(random() * whole.length);
        const length = Math.floor(random() * (whole.length + 50));
        const got = Buffer.from(await storage.read(extent!, from, length));
        expect(got.equals(whole.subarray(from, from + length))).toBe(true);
      }
      expect((await storage.read(extent!, whole.length, 10)).length).toBe(0);
      expect((await storage.read(extent!, whole.length + 5, 10)).length).toBe(0);
    });

    test("rejects to read what isn't there", async () => {
      const nothing = { receiver: "r1", epoch: "20261122T202134.123Z-00000000", segment: 0 };
      await expect(storage.read(nothing, 0, 10)).rejects.toMatchObject({ code: "storage" });
    });

    test("numbers an epoch's segments from 0 without holes; only its newest may not be final", async () => {
      const epoch = await newEpochOf(storage);
      for (let seq = 0; seq < 8; seq++) {
        await epoch.commit([frameOf(blockText("d1", seq))]);
        if (seq % 3 === 2) opened.advanceMs?.(limits.segmentAgeMsMax + 1);
        const extents = await listAgain();
        expect(extents.map((e) => e.segment)).toEqual(extents.map((_, i) => i));
        expect(extents.slice(0, -1).every((e) => e.final)).toBe(true);
        expect(extents.map((e) => epochKey(e))).toEqual(extents.map(() => epochKey(epoch)));
      }
    });

    test("makes everything final at the close, and ends with `#end`", async () => {
      const epoch = await newEpochOf(storage);
      await epoch.commit([frameOf(blockText("d1", 1))]);
      await epoch.commit([frameOf(blockText("d1", 2))]);
      await epoch.close();
      for (const seen of [storage, await opened.reopen()]) {
        const extents = await seen.list(new Map());
        expect(extents.length).toBeGreaterThan(0);
        expect(extents.every((e) => e.final)).toBe(true);
        const last = extents.at(-1)!;
        const parts = decodeSegment(await seen.read(last, 0, last.length));
        expect(parts.at(-1)).toEqual({ text: endText });
        expect(parts.filter((p) => p.text === endText).length).toBe(1);
      }
    });

    test("lists nothing of an epoch in which nothing was committed", async () => {
      const idle = await newEpochOf(storage);
      await idle.commit([]);
      expect(await (await readAll(storage)).readOn()).toEqual([]);
      await idle.close();
      const reader = await readAll(await opened.reopen());
      expect(reader.of(idle)).toEqual([]);
    });

    test("reads an epoch that has ended once: then nothing of it is read again", async () => {
      const epoch = await newEpochOf(storage);
      const texts = [1, 2, 3].map((seq) => blockText("d1", seq));
      for (const text of texts) await epoch.commit([frameOf(text)]);
      await epoch.close();
      const inner = await opened.reopen();
      let reads = 0;
      const reader = new Reader({
        createEpoch: (receiver) => inner.createEpoch(receiver),
        list: (after) => inner.list(after),
        watch: (news) => inner.watch(news),
        read: (at, offset, length) => {
          reads++;
          return inner.read(at, offset, length);
        },
      });
      expect(await reader.readOn()).toEqual(texts);
      reads = 0;
      expect(await reader.readOn()).toEqual([]);
      expect(reads).toBe(0);
      expect(await inner.list(reader.cursors)).toEqual([]);
    });

    test("goes on behind a cursor in the middle, also in another process", async () => {
      const epoch = await newEpochOf(storage);
      const texts = Array.from({ length: 9 }, (_, seq) => blockText("d1", seq, 100));
      const stops = new Map<number, Map<string, Cursor>>();
      const reader = new Reader(storage);
      for (const [i, text] of texts.entries()) {
        await epoch.commit([frameOf(text)]);
        if (i === 4) opened.advanceMs?.(limits.segmentAgeMsMax + 1);
        await reader.readOn();
        stops.set(i, new Map(reader.cursors));
      }
      await epoch.close();
      for (const [i, cursors] of stops) {
        const later = new Reader(await opened.reopen());
        for (const [key, cursor] of cursors) later.cursors.set(key, cursor);
        expect(await later.readOn()).toEqual(texts.slice(i + 1));
      }
    });

    test("loses nothing for a reader that stands at a segment's end when the next one opens", async () => {
      const epoch = await newEpochOf(storage);
      const reader = new Reader(await opened.reopen());
      const texts: string[] = [];
      for (let seq = 0; seq < 6; seq++) {
        texts.push(blockText("d1", seq));
        await epoch.commit([frameOf(texts.at(-1)!)]);
        await reader.readOn();
        opened.advanceMs?.(limits.segmentAgeMsMax + 1);
        // Every second time the old segment is closed before there is anything for a new one.
        if (seq % 2 === 0) {
          await epoch.commit([]);
          await reader.readOn();
        }
      }
      await epoch.close();
      await reader.readOn();
      expect(reader.of(epoch)).toEqual(texts);
      expect(reader.damage).toEqual([]);
    });

    test("lists by epoch, then by segment, whatever the receivers are called", async () => {
      const epochs = [];
      for (const receiver of ["zz", "aa", "mm", "aa"]) {
        epochs.push(await newEpochOf(storage, receiver));
        opened.advanceMs?.(1_000);
      }
      for (let round = 0; round < 3; round++) {
        for (const epoch of epochs) {
          await epoch.commit([frameOf(blockText(epoch.receiver, round))]);
        }
        opened.advanceMs?.(limits.segmentAgeMsMax + 1);
      }
      const places = (await listAgain()).map(place);
      expect(places).toEqual([...places].sort());
      expect(new Set(places).size).toBe(places.length);
      for (const epoch of epochs) await epoch.close();
    });

    test("keeps two receivers apart", async () => {
      const one = await newEpochOf(storage);
      const two = await newEpochOf(await opened.reopen(), "r2");
      await one.commit([frameOf(blockText("d1", 1))]);
      await two.commit([frameOf(blockText("d2", 1))]);
      await one.commit([frameOf(blockText("d1", 2))]);
      await two.commit([frameOf(blockText("d2", 2))]);
      const reader = await readAll(storage);
      expect(reader.of(one)).toEqual([blockText("d1", 1), blockText("d1", 2)]);
      expect(reader.of(two)).toEqual([blockText("d2", 1), blockText("d2", 2)]);
      await one.close();
      await two.commit([frameOf(blockText("d2", 3))]);
      expect(await reader.readOn()).toEqual([blockText("d2", 3)]);
      await two.close();
    });

    test("reads both epochs of a receiver that was started again while the old process still commits", async () => {
      const old = await newEpochOf(storage);
      const reader = new Reader(await opened.reopen());
      await old.commit([frameOf(blockText("old", 1))]);
      await reader.readOn();
      const young = await newEpochOf(await opened.reopen());
      expect(young.epoch === old.epoch).toBe(false);
      await young.commit([frameOf(blockText("young", 1))]);
      await reader.readOn();
      await old.commit([frameOf(blockText("old", 2))]);
      await young.commit([frameOf(blockText("young", 2))]);
      await reader.readOn();
      await young.close();
      await reader.readOn();
      await old.commit([frameOf(blockText("old", 3))]);
      await reader.readOn();
      await old.close();
      await reader.readOn();
      expect(reader.of(old)).toEqual([1, 2, 3].map((seq) => blockText("old", seq)));
      expect(reader.of(young)).toEqual([1, 2].map((seq) => blockText("young", seq)));
      expect(reader.damage).toEqual([]);
    });

    test(
      "keeps all and shows it once, whoever commits, rolls, ends and reads in whatever order",
      async () => {
        const random = seeded(20261122);
        const written = new Map<string, string[]>();
        const reader = new Reader(await opened.reopen());
        const live = [await newEpochOf(storage, "r0")];
        for (let step = 0; step < 80; step++) {
          const epoch = live[Math.floor(random() * live.length)]!;
          const dice = random();
          if (dice < 0.5) {
            const count = 1 + Math.floor(random() * 3);
            const texts = Array.from(
              { length: count },
              (_, i) => blockText(epoch.receiver, step * 10 + i, Math.floor(random() * 3_000)),
            );
            await epoch.commit(texts.map(frameOf));
            written.set(epochKey(epoch), [...written.get(epochKey(epoch)) ?? [], ...texts]);
          } else if (dice < 0.6) {
            opened.advanceMs?.(limits.segmentAgeMsMax + 1);
            await epoch.commit([]);
          } else if (dice < 0.7) {
            live.push(await newEpochOf(await opened.reopen(), `r${step % 3}`));
          } else if (dice < 0.75 && live.length > 1) {
            await epoch.close();
            live.splice(live.indexOf(epoch), 1);
          } else await reader.readOn();
        }
        for (const epoch of live) await epoch.close();
        await reader.readOn();
        expect(reader.texts).toEqual(written);
        expect((await readAll(await opened.reopen())).texts).toEqual(written);
        expect(reader.damage).toEqual([]);
      },
      60_000,
    );

    test("begins an epoch with the first segment that isn't deleted, wherever a reader stands", async () => {
      const epoch = await newEpochOf(storage);
      const texts = Array.from({ length: 7 }, (_, seq) => blockText("d1", seq));
      const stops: Array<Map<string, Cursor>> = [new Map()];
      const reader = new Reader(await opened.reopen());
      for (const text of texts) {
        await epoch.commit([frameOf(text)]);
        await reader.readOn();
        stops.push(new Map(reader.cursors));
        opened.advanceMs?.(limits.segmentAgeMsMax + 1);
      }
      const before = await listAgain();
      // Segments may hold one text or several: what is deleted is read before.
      const gone = before.slice(0, Math.floor(before.length / 2));
      let deleted = 0;
      for (const extent of gone) {
        deleted += decodeSegment(await storage.read(extent, 0, extent.length))
          .filter(({ text }) => text !== undefined && text !== endText).length;
        await opened.deleteSegment(extent);
      }
      expect(deleted).toBeGreaterThan(0);
      for (let more = 0; more < 2; more++) {
        for (const seen of [storage, await opened.reopen()]) {
          const first = gone.length;
          const extents = await seen.list(new Map());
          expect(extents.map((e) => e.segment)).toEqual(extents.map((_, i) => first + i));
          for (const [read, cursors] of stops.entries()) {
            const later = new Reader(seen);
            for (const [key, cursor] of cursors) later.cursors.set(key, cursor);
            expect(await later.readOn()).toEqual(texts.slice(Math.max(read, deleted)));
            expect(await later.readOn()).toEqual([]);
            expect(later.damage).toEqual([]);
          }
        }
        // It goes on as if nothing had happened.
        texts.push(blockText("d1", texts.length));
        await epoch.commit([frameOf(texts.at(-1)!)]);
        expect(await reader.readOn()).toEqual([texts.at(-1)!]);
      }
      await epoch.close();
      expect(await reader.readOn()).toEqual([]);
    });

    test("lists nothing of an epoch of which all was deleted, and shows what comes later", async () => {
      const epoch = await newEpochOf(storage);
      const reader = new Reader(await opened.reopen());
      for (let seq = 0; seq < 3; seq++) {
        await epoch.commit([frameOf(blockText("d1", seq))]);
        opened.advanceMs?.(limits.segmentAgeMsMax + 1);
      }
      await epoch.commit([]);
      await reader.readOn();
      for (const extent of await listAgain()) await opened.deleteSegment(extent);
      expect(await listAgain()).toEqual([]);
      expect(await reader.readOn()).toEqual([]);
      await epoch.commit([frameOf(blockText("d1", 3))]);
      expect(await reader.readOn()).toEqual([blockText("d1", 3)]);
      expect((await readAll(await opened.reopen())).of(epoch)).toEqual([blockText("d1", 3)]);
      await epoch.close();
      expect(await reader.readOn()).toEqual([]);
    });

    test("gives news of a commit to who watches", async () => {
      const epoch = await newEpochOf(storage);
      const heard = Promise.withResolvers<boolean>();
      const watcher = (await opened.reopen()).watch(() => heard.resolve(true));
      try {
        // It may miss some, so there are several.
        for (let seq = 0, news = false; seq < 100 && !news; seq++) {
          await epoch.commit([frameOf(blockText("d1", seq))]);
          const soon = new Promise<boolean>((r) => setTimeout(() => r(false), 100));
          news = await Promise.race([heard.promise, soon]);
          if (seq === 99) expect(news).toBe(true);
        }
      } finally {
        watcher[Symbol.dispose]();
      }
      await epoch.close();
    }, 60_000);
  });
}
