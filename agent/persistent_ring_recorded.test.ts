/**
 * Rings that a real kernel kept across a panic and across the reset button, as the next boot read them
 * from /dev/kmsg (deploy/kernel/record.sh): the agent goes on in them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { forEachRecord, formatRecord, isMeta, type LogRecord, parseGap } from "../shared/record.ts";
import { type Position, recordHash } from "./checkpoint.ts";
import { openKmsgSources } from "./persistent_ring.ts";
import type { Ring, RingRead } from "./ring.ts";
import type { Source } from "./source.ts";

const folder = join(import.meta.dirname!, "golden", "linux-6.12");

function recorded(name: string): LogRecord[] {
  const records: LogRecord[] = [];
  const text = readFileSync(join(folder, name), "latin1");
  forEachRecord(text, (record) => records.push(record), (bad) => expect.unreachable(bad));
  return records;
}

/** What the boot that panicked had in its own ring, some lines before. */
const beforePanic = recorded("before_panic.kmsg");
const afterPanic = recorded("after_panic.kmsg");
const afterReset = recorded("after_reset.kmsg");

/** Each boot's records, as the ring of the third numbers them. */
const starts = afterReset.flatMap(({ text }, at) => text.startsWith("Linux version ") ? [at] : []);
const boots = starts.map((start, index) => afterReset.slice(start, starts[index + 1]));
const names = ["boot-1", "boot-2", "boot-3"];

class RecordedRing implements Ring {
  #next = 0;
  constructor(private readonly records: LogRecord[]) {}

  next(): RingRead {
    const record = this.records[this.#next++];
    return record ? { kind: "record", text: formatRecord(record) } : { kind: "empty" };
  }

  oldestSeq(): number | undefined {
    return this.records[0]?.seq;
  }

  close(): void {}
}

function positionAt(records: LogRecord[], at: number, boot: string, stream = boot): Position {
  const record = records[at]!;
  return { boot, stream, seq: record.seq, hash: recordHash(record) };
}

function open(ring: LogRecord[], boot: string, position?: Position, lastBoot?: string) {
  const clock = { observe() {} };
  const sleep = () => Promise.resolve();
  const openRing = () => new RecordedRing(ring);
  return openKmsgSources({ openRing, boot, clock, position, lastBoot, sleep });
}

async function readAll(source: Source): Promise<LogRecord[]> {
  const all: LogRecord[] = [];
  if (!source.over) source.close();
  for (let some = await source.read(); some; some = await source.read()) all.push(...some);
  return all;
}

const formatted = (records: LogRecord[]) => records.map(formatRecord);
/** As a ring that has lost its first records and numbers the others anew. */
const withoutFirst = (records: LogRecord[], lost: number) =>
  records.slice(lost).map((record, seq) => ({ ...record, seq }));

describe("a kernel's ring", () => {
  test("after a panic holds what it held before, and what came until the end", () => {
    const [died, next] = boots;
    expect(formatted(afterPanic.slice(0, beforePanic.length))).toEqual(formatted(beforePanic));
    const last = died!.slice(beforePanic.length).map(({ text }) => text);
    const lines = Array.from({ length: 20 }, (_, i) => `app: line ${101 + i}`);
    expect(last.slice(0, 21)).toEqual([...lines, "sysrq: Trigger a crash"]);
    expect(last).toContain("Kernel panic - not syncing: sysrq triggered crash");
    expect(next![0]!.text).toStartWith("Linux version 6.12");
  });

  test("after the reset button holds both boots, with each line until the reset", () => {
    expect(formatted(afterReset.slice(0, afterPanic.length))).toEqual(formatted(afterPanic));
    const lines = boots[1]!.map(({ text }) => /^app: line (\d+)$/.exec(text)?.[1]).filter(Boolean);
    expect(lines.length).toBeGreaterThan(200);
    expect(lines.map(Number)).toEqual(lines.map((_, i) => i + 1));
    expect(boots.length).toBe(3);
  });
});

describe("an agent in a recorded ring", () => {
  test("goes on after the panic behind the record that was acknowledged, in its boot's stream", async () => {
    const died = boots[0]!;
    for (let at = 0; at < died.length; at += 3) {
      const position = positionAt(died, at, "boot-1");
      const { old, current, ringSurvived } = open(afterPanic, "boot-2", position);
      const rest = (await Promise.all(old.map(readAll))).flat();
      expect(old.map(({ boot, stream }) => `${boot} ${stream}`))
        .toEqual(at < died.length - 1 ? ["boot-1 boot-1"] : []);
      expect(formatted(rest)).toEqual(formatted(died.slice(at + 1)));
      expect([ringSurvived, current.boot, current.stream]).toEqual([true, "boot-2", "boot-2"]);
    }
  });

  test("goes on with the same seqs where the ring lost its beginning and is numbered anew", async () => {
    const died = boots[0]!;
    for (const lost of [1, 50, 200]) {
      const ring = withoutFirst(afterPanic, lost);
      const clockRuns = died.findIndex(({ usec }) => usec > 0);
      for (let at = Math.max(lost, clockRuns); at < died.length - 1; at += 7) {
        const { old, current } = open(ring, "boot-2", positionAt(died, at, "boot-1"));
        expect(formatted(await readAll(old[0]!))).toEqual(formatted(died.slice(at + 1)));
        expect((await readAll(current))[0]!.seq).toBe(died.length - lost);
      }
    }
  });

  test("that lost its checkpoint's record says so, and ships what is left in a stream of its own", async () => {
    const ring = withoutFirst(afterPanic, 100);
    const { old } = open(ring, "boot-2", positionAt(boots[0]!, 99, "boot-1"), "boot-1");
    const [gap, rest] = await Promise.all(old.map(readAll));
    expect(gap!.map((record) => parseGap(record))).toMatchObject([{ first: 100, last: "?" }]);
    expect(old[1]!.stream).toStartWith("ring-");
    expect(rest!.map(({ text, flag }) => flag + text))
      .toEqual(boots[0]!.slice(100).map(({ text }) => `p${text}`));
  });

  test("doesn't take a line that each boot says for the one that was acknowledged", () => {
    const ring = withoutFirst(afterPanic, 3);
    const { old } = open(ring, "boot-2", positionAt(boots[0]!, 7, "boot-1"), "boot-1");
    expect(boots[1]![7]!.text).toBe(boots[0]![7]!.text);
    expect(old.map(({ boot, stream }) => `${boot} ${stream.replace(/[^-]+$/, "")}`))
      .toEqual(["boot-1 boot-", "boot-1 ring-"]);
  });

  test("ships a boot in which it never ran as an unknown one, between the two that it knows", async () => {
    const { old, current } = open(afterReset, "boot-3", positionAt(boots[0]!, 7, "boot-1"));
    expect(old.map(({ boot }) => boot.slice(0, 8))).toEqual(["boot-1", "unknown-"]);
    const [first, second] = await Promise.all(old.map(readAll));
    expect(formatted(first!)).toEqual(formatted(boots[0]!.slice(8)));
    expect(second!.map(({ text }) => text)).toEqual(boots[1]!.map(({ text }) => text));
    expect(formatted(await readAll(current))).toEqual(formatted(boots[2]!));
  });
});

/** What the receivers have: a record that comes twice is known by its names and its seq. */
class Stored {
  readonly #records = new Map<string, string>();
  sent = 0;

  add({ boot, stream }: Source, records: LogRecord[]): void {
    for (const record of records.filter(({ flag }) => !isMeta(flag))) {
      const key = `${boot} ${stream} ${record.seq}`;
      const text = formatRecord(record);
      expect(this.#records.get(key) ?? text).toBe(text);
      this.#records.set(key, text);
      this.sent++;
    }
  }

  of(boot: string): string[] {
    const ofBoot = [...this.#records].filter(([key]) => key.startsWith(`${boot} ${boot} `));
    return ofBoot.map(([, text]) => text);
  }

  get size(): number {
    return this.#records.size;
  }
}

/**
 * A life: in each boot the agent starts some times, reads a part of what the ring holds and dies with
 * some of it acknowledged, and some sent without an answer.
 */
async function live(
  random: (below: number) => number,
): Promise<{ stored: Stored; repeats: number }> {
  const stored = new Stored();
  let position: Position | undefined;
  let repeats = 0;
  const rings = [beforePanic, afterPanic, afterReset];
  for (const [index, ring] of rings.entries()) {
    const last = index === rings.length - 1;
    for (let starts = last ? 1 : 1 + random(3); starts > 0; starts--) {
      const { old, current } = open(ring, names[index]!, position, names[index - 1]);
      const end = last ? Infinity : random(3) === 0 ? Infinity : random(ring.length);
      let read = 0;
      for (const source of [...old, current]) {
        const records = await readAll(source);
        const sent = records.slice(0, Math.max(end - read, 0));
        read += sent.length;
        stored.add(source, sent);
        // The first record of a boot is always acknowledged: else the boot would have another stream.
        const acked = last ? sent.length : Math.min(sent.length, 1 + random(sent.length + 1));
        if (acked > 0) position = positionAt(sent, acked - 1, source.boot, source.stream);
        repeats += sent.length - acked;
        if (acked < records.length) break;
      }
    }
  }
  return { stored, repeats };
}

test("whatever the agent had sent and heard when each boot ended, all is stored, once, in its boot", async () => {
  let seed = 11;
  const random = (below: number) => (seed = (seed * 48_271) % 0x7fff_ffff) % below;
  let repeats = 0;
  for (let life = 0; life < 60; life++) {
    const lived = await live(random);
    for (const [index, name] of names.entries()) {
      const records = lived.stored.of(name);
      if (records.length === 0) continue;
      expect(records.toSorted(bySeq)).toEqual(formatted(boots[index]!));
    }
    expect(lived.stored.size).toBe(afterReset.length);
    // What was sent again is what was sent without an answer, and no record more.
    expect(lived.stored.sent).toBeLessThanOrEqual(lived.stored.size + lived.repeats);
    repeats += lived.repeats;
  }
  expect(repeats).toBeGreaterThan(1_000);
});

const bySeq = (a: string, b: string) => Number(a.split(",")[1]) - Number(b.split(",")[1]);
