/**
 * What every source must do, as tests: all of them run the same suite. It takes a way to open a source
 * that has some lines to give, and asks nothing about where they come from.
 */
import { Buffer } from "node:buffer";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { isName } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import {
  forEachRecord,
  formatRecord,
  isMeta,
  type LogRecord,
  parseGap,
  unescapeText,
} from "../shared/record.ts";
import { readUploadFrame } from "../shared/upload.ts";
import { type FakeClock, settle } from "../tests/fixtures.ts";
import { Encoder, frameOf } from "./encoder.ts";
import type { Source } from "./source.ts";

export interface OpenedSource {
  source: Source;
  clock: FakeClock;
  /** The seq of the first line. */
  firstSeq: number;
  /** More lines come. Absent where a source ends by itself. */
  give?(lines: Buffer[]): void | Promise<void>;
  /** What is not read when it is closed stays where it is, for the next start. Else it is still read. */
  keepsUnread: boolean;
  cleanup?(): void | Promise<void>;
}

export interface SourceKind {
  /** A source that has these lines, without their ends. */
  open(lines: Buffer[]): OpenedSource | Promise<OpenedSource>;
  /** One that lost some of what it had. Absent where nothing can get lost. */
  openWithHoles?(): OpenedSource | Promise<OpenedSource>;
}

const latin1 = (text: string) => Buffer.from(text, "latin1");
const people = (bytes: Buffer) => bytes.toString("utf8");

/** What looks like another part of the format, and what isn't text. */
const oddLines = [
  "plain",
  " leading space",
  "# leading hash",
  "#0 0 0 0",
  "#end",
  "6,7,8,g,first=0,last=9,count=10,cause=lost;x",
  "tab\there, back\\slash, \\x41 and \\x0a",
  "a NUL \0 and a DEL \x7f and an ESC \x1b[31m",
  "trailing space ",
].map(latin1).concat([
  Buffer.from("café \u{1f600}"),
  latin1("no UTF-8: \xff \xc3( \xed\xa0\x80 ."),
]);

const hostileLines = [
  Buffer.alloc(10_000_000, latin1(` #${"x".repeat(50)}\0\xff\\`)),
  ...["\\", "\xff", "\0", " #", "\xc3\xa9"].map((bytes) => Buffer.alloc(200_000, latin1(bytes))),
  Buffer.alloc(limits.rawLineBytesMax, "#"),
  Buffer.alloc(0),
  Buffer.alloc(1),
  ...oddLines,
];
const lastLine = "the last line";

/** Of real time: the test's clock has none of it, but disks do. */
const untilMsMax = 20_000;

const hasLastLine = ({ records }: Reading) => records.at(-1)?.text === lastLine;

const numbered = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => latin1(`line ${first + i}`));

/** Reads as a pipeline does: the next as soon as the last came. */
class Reading {
  readonly records: LogRecord[] = [];
  emptyReads = 0;
  ended = false;
  #failure: { error: unknown } | undefined;

  constructor(private readonly opened: OpenedSource) {
    void this.#run().catch((error) => this.#failure = { error });
  }

  get ordinary(): LogRecord[] {
    return this.records.filter(({ flag }) => !isMeta(flag));
  }

  get texts(): string[] {
    return this.ordinary.map(({ text }) => unescapeText(text));
  }

  /** Time passes, and files are read, until something holds. */
  async until(holds: () => boolean): Promise<void> {
    const startMs = performance.now();
    while (!holds()) {
      if (this.#failure) throw this.#failure.error;
      if (performance.now() - startMs > untilMsMax) throw new Error("it didn't come true");
      await this.opened.clock.advance(50);
    }
  }

  async toEnd(): Promise<void> {
    await this.until(() => this.ended);
    expect(await this.opened.source.read()).toBeUndefined();
    expect(await this.opened.source.read()).toBeUndefined();
  }

  async #run(): Promise<void> {
    const { source } = this.opened;
    for (let some = await source.read(); some; some = await source.read()) {
      if (some.length === 0) this.emptyReads++;
      this.records.push(...some);
    }
    this.ended = true;
  }
}

export function sourceContract(name: string, { open, openWithHoles }: SourceKind): void {
  describe(`${name} as a source`, () => {
    const all: OpenedSource[] = [];

    async function begin(opening: OpenedSource | Promise<OpenedSource>) {
      const opened = await opening;
      all.push(opened);
      return { ...opened, read: () => new Reading(opened) };
    }
    afterEach(async () => {
      for (const { source, cleanup } of all.splice(0)) {
        source.close();
        await cleanup?.();
      }
    });

    /** Opened, read until its lines have come, and closed. */
    async function readThrough(lines: Buffer[], has: (reading: Reading) => boolean) {
      const { source, read } = await begin(open(lines));
      const reading = read();
      await reading.until(() => has(reading) || reading.ended);
      source.close();
      await reading.toEnd();
      return reading;
    }

    test("has names that a receiver takes, and they never change", async () => {
      const { source, read } = await begin(open(numbered(0, 2)));
      const names = () => [source.boot, source.source, source.stream, source.over ?? false];
      const before = names();
      expect(before.slice(0, 3).map((part) => isName(part as string))).toEqual([true, true, true]);
      const reading = read();
      await reading.until(() => reading.records.length >= 3);
      expect(names()).toEqual(before);
      source.close();
      await reading.toEnd();
      expect(names()).toEqual(before);
    });

    test("gives each line once, in order, numbered without a hole from its first on", async () => {
      const lines = [...oddLines, ...numbered(0, 1_500)];
      const { firstSeq, ...opened } = await begin(open(lines));
      const reading = opened.read();
      await reading.until(() => reading.records.length >= lines.length);
      opened.source.close();
      await reading.toEnd();
      expect(reading.texts).toEqual(lines.map(people));
      expect(reading.ordinary.map(({ seq }) => seq)).toEqual(lines.map((_, i) => firstSeq + i));
      expect(reading.records.length).toBe(lines.length);
      expect(reading.emptyReads).toBe(0);
    });

    test("gives records that are stored as they are: escaped, with a flag and times that exist", async () => {
      const { records } = await readThrough(oddLines, (r) => r.records.length >= oddLines.length);
      for (const record of records) {
        expect(record.flag).toMatch(/^[-c+pgs]$/);
        expect([record.prio, record.seq, record.usec].every(Number.isSafeInteger)).toBe(true);
        expect(Math.min(record.prio, record.seq, record.usec)).toBeGreaterThanOrEqual(0);
        for (const text of [record.text, ...record.more]) expect(text).toMatch(/^[ -~]*$/);
        expect(record.fields).toMatch(/^(?:[a-z_]+=[^,; ]+(?:,|$))*$/);
        expect(formatRecord(record)).toMatch(/^\d/);
      }
      const again: LogRecord[] = [];
      forEachRecord(
        records.map(formatRecord).join(""),
        (record) => again.push(record),
        (lines) => expect(lines).toBe("never"),
      );
      expect(again).toEqual(records);
    });

    test("gives no line that breaks an upload's frame, by itself or with others", async () => {
      const lines = [...hostileLines, latin1(lastLine)];
      const { records, ordinary } = await readThrough(lines, hasLastLine);
      expect(ordinary.at(-1)!.text).toBe(lastLine);
      let count = 0;
      const check = ({ bytes }: { bytes: Uint8Array }) => {
        const { header, decodedBytes } = readUploadFrame(bytes);
        expect(decodedBytes).toBeLessThanOrEqual(limits.uploadFrameTextBytesMax);
        count += header.count;
      };
      const encoder = new Encoder();
      for (const record of records) {
        encoder.add(record);
        if (encoder.full) check(encoder.take());
      }
      if (!encoder.empty) check(encoder.take());
      expect(count).toBe(ordinary.length);
      for (const record of records) check(frameOf(record));
    });

    test("ends when it is closed, in the middle of a wait, and stays at its end", async () => {
      const { source, give, firstSeq, read } = await begin(open(numbered(0, 2)));
      const reading = read();
      await reading.until(() => reading.records.length === 3);
      if (give) {
        await settle();
        expect(reading.ended).toBe(false);
        await give(numbered(3, 4));
        await reading.until(() => reading.records.length === 5);
        expect(reading.texts.slice(3)).toEqual(["line 3", "line 4"]);
        expect(reading.ordinary.at(-1)!.seq).toBe(firstSeq + 4);
      }
      source.close();
      await reading.toEnd();
      expect(reading.records.length).toBe(give ? 5 : 3);
    });

    test("that is closed gives what it had, or leaves it for the next start", async () => {
      const { source, keepsUnread, read } = await begin(open(numbered(0, 9)));
      source.close();
      const reading = read();
      await reading.toEnd();
      expect(reading.texts).toEqual(keepsUnread ? [] : numbered(0, 9).map(people));
    });

    test("can be closed again, and says whether what isn't read is safe, whenever asked", async () => {
      const { source, read } = await begin(open(numbered(0, 9)));
      const ask = () => {
        for (const offlineMs of [0, 1, 1e12, Infinity]) {
          expect(typeof (source.safe?.(offlineMs) ?? true)).toBe("boolean");
        }
      };
      ask();
      const reading = read();
      await reading.until(() => reading.records.length === 10);
      ask();
      source.close();
      source.close();
      ask();
      await reading.toEnd();
      source.close();
      ask();
    });

    if (openWithHoles) {
      describe("that lost some", () => {
        let reading: Reading;
        let firstSeq: number;

        beforeEach(async () => {
          const opened = await begin(openWithHoles());
          firstSeq = opened.firstSeq;
          reading = opened.read();
          await opened.clock.advance(60_000);
          opened.source.close();
          await reading.toEnd();
        });

        test("says so before the record behind the hole, once, and exactly", () => {
          let next = firstSeq;
          let gaps = 0;
          for (const record of reading.records) {
            if (record.flag === "s") continue;
            const gap = record.flag === "g" ? parseGap(record) : undefined;
            if (record.flag === "g") expect(gap).toBeDefined();
            if (!gap) expect(record.seq).toBe(next);
            if (gap) gaps++;
            // Never numbered, or nobody knows how many: there is no hole to be seen.
            if (gap && (gap.first === undefined || gap.last === "?")) continue;
            if (gap) {
              expect(gap.first).toBe(next);
              expect(gap.count).toBe(Number(gap.last) - gap.first! + 1);
            }
            next = gap ? Number(gap.last) + 1 : record.seq + 1;
            if (gap) expect(record.seq).toBe(next);
          }
          expect(gaps).toBeGreaterThan(0);
        });
      });
    }
  });
}
