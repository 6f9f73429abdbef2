import { describe, expect, test } from "bun:test";
import { type Gap, gapRecord } from "../../shared/record.ts";
import { builtInEvents } from "../built_in.ts";
import { block, gapLine, line, Mill, noonUs, rules, syncLine } from "../fixtures.ts";
import { HotFrames } from "../reading/hot_frames.ts";
import { Stored } from "../reading/stored.ts";
import type { Entry, RecordEntry } from "./entry.ts";
import { EntryText } from "./entry_text.ts";
import { entryJson } from "./entry_json.ts";
import { Margin } from "./margin.ts";
import { narrative } from "./narrative.ts";
import { styleOf } from "./style.ts";

const always = { sinceUs: 0, untilUs: 2 * noonUs };
const plain = styleOf(false, {});
const minuteUs = 60e6;

/** A block of d1's first boot, which began at noon, received a second after its last record. */
function sent(records: string, usec: number, more: Parameters<typeof block>[1] = {}): string {
  return block(records, { recvUs: noonUs + usec + 1e6, ...more });
}

async function entries(mill: Mill, devices = ["d1"], range = always): Promise<Entry[]> {
  const warn = (text: string) => {
    throw new Error(`warned: ${text}`);
  };
  const stored = new Stored([new HotFrames({ storage: mill.storage, warn })]);
  const margin = new Margin(rules, builtInEvents());
  const all: Entry[] = [];
  const options = { stored, devices, range, margin, stepUsMin: 10e6 };
  for await (const entry of narrative(options)) all.push(entry);
  return all;
}

function textOf(all: Entry[], devices = ["d1"]): string {
  const text = new EntryText({ style: plain, devices });
  return all.map((entry) => text.of(entry)).join("");
}

const texts = (all: Entry[]) =>
  all.filter((entry): entry is RecordEntry => entry.kind === "record").map(({ record }) =>
    record.text
  );

/** A boot with its clock: synced at its first record. */
const sync = (seq: number, usec: number, bootUs = noonUs) => syncLine(seq, usec, bootUs + usec);

describe("a narrative", () => {
  test("has records in the order of the kernel's clock, whatever source and receiver they came by", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const [r1, r2] = [await mill.receiver("r1"), await mill.receiver("r2")];
    await r1.store(sent(sync(0, 1e6) + line(0, "first", 1e6) + line(1, "third", 3e6), 3e6));
    await r2.store(sent(line(0, "second", 2e6), 4e6, { source: "app:x", stream: "s1" }));
    await r2.store(sent(line(2, "fifth", 9e6), 9e6));
    await r1.store(sent(line(1, "fourth", 8e6), 20e6, { source: "app:x", stream: "s1" }));
    expect(texts(await entries(mill))).toEqual(["first", "second", "third", "fourth", "fifth"]);
  });

  test("has each record once, however often it was sent", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const [r1, r2] = [await mill.receiver("r1"), await mill.receiver("r2")];
    await r1.store(sent(line(0, "a", 1e6) + line(1, "b", 2e6), 2e6));
    await r2.store(sent(line(1, "b", 2e6) + line(2, "c", 3e6), 3e6));
    await r2.store(sent(line(0, "a", 1e6) + line(1, "b", 2e6), 4e6));
    expect(texts(await entries(mill))).toEqual(["a", "b", "c"]);
  });

  test("has times by what the clock turned out to be later, and cuts the range by them", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const r1 = await mill.receiver();
    // The device was without a network until noon and 10 minutes: all of it is received then.
    const late = noonUs + 10 * minuteUs;
    let records = "";
    for (let i = 0; i < 10; i++) records += line(i, `minute ${i}`, i * minuteUs);
    await r1.store(sent(records, 0, { recvUs: late }));
    await r1.store(sent(sync(10, 10 * minuteUs + 1e6) + line(10, "now", 601e6), 601e6));
    const range = { sinceUs: noonUs + 3 * minuteUs, untilUs: noonUs + 6 * minuteUs };
    const all = await entries(mill, ["d1"], range);
    expect(texts(all)).toEqual(["minute 3", "minute 4", "minute 5"]);
    const first = all.find(({ kind }) => kind === "record")!;
    expect(Math.abs(first.time.wallUs - range.sinceUs)).toBeLessThan(1e5);
  });

  test("says of each reboot how the boot before ended and how long the device was away", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const r1 = await mill.receiver();
    const boots = [
      ["b1", "Kernel panic - not syncing: Fatal exception"],
      ["b2", "reboot: Restarting system"],
      ["b3", "nothing special"],
      ["b4", "the end"],
    ] as const;
    for (const [i, [boot, words]] of boots.entries()) {
      const bootUs = noonUs + i * 10 * minuteUs;
      const of = { boot, stream: boot };
      const hello = sync(0, 1e6, bootUs) + line(0, "hello", 1e6);
      await r1.store(block(hello, { ...of, recvUs: bootUs + 1.1e6 }));
      await r1.store(block(line(1, words, 100e6), { ...of, recvUs: bootUs + 101e6 }));
    }
    const all = (await entries(mill)).filter((entry) => entry.kind === "boot");
    expect(all.map(({ cause, again }) => [cause, again])).toEqual([
      [undefined, false],
      ["panic", false],
      ["clean", false],
      ["power", false],
    ]);
    expect(all.map(({ awayUs }) => Math.round((awayUs ?? 0) / 1e6))).toEqual([0, 500, 500, 500]);
    expect(textOf(all)).toContain("==== d1 boot b2: after a panic, away for at most 8.3 min ====");
  });

  test("has last words where they belong, once, and marked", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const r1 = await mill.receiver();
    await r1.store(sent(sync(0, 1e6) + line(0, "alive", 1e6) + line(1, "still", 2e6), 2e6));
    const bootUs = noonUs + minuteUs;
    const next = { boot: "b2", stream: "b2", recvUs: bootUs + 3e6 };
    await r1.store(block(sync(0, 2e6, bootUs) + line(0, "again", 2e6), next));
    const words = ["6,0,2000000,p;still\n", "0,1,2500000,p;Kernel panic - not syncing: oops\n"]
      .join("");
    const dump = { source: "pstore", stream: "pstore-1", recvUs: bootUs + 4e6 };
    await r1.store(block(words, dump), block(words, { ...dump, stream: "pstore-2" }));
    const all = await entries(mill);
    expect(texts(all)).toEqual(["alive", "still", "Kernel panic - not syncing: oops", "again"]);
    expect(textOf(all)).toMatch(/12:00:02\.500000 > +Kernel panic/);
    expect(all.find((entry) => entry.kind === "boot" && entry.boot === "b2")).toMatchObject({
      cause: "panic",
    });
  });

  test("tells of gaps as far as they weren't filled, and of holes that nothing explains", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const r1 = await mill.receiver();
    const gap = (first: number, last: number): Gap => ({
      first,
      last,
      count: last - first + 1,
      cause: "overrun",
    });
    await r1.store(sent(sync(0, 1e6) + line(0, "a"), 1e6));
    await r1.store(sent(gapLine(5, 5e6, gap(1, 4)) + line(5, "b"), 5e6));
    await r1.store(sent(line(9, "c"), 9e6));
    await r1.store(sent(gapLine(12, 12e6, gap(10, 11)) + line(12, "d"), 12e6));
    // Came after all.
    await r1.store(sent(line(2, "x") + line(10, "y") + line(11, "z"), 13e6));
    const all = (await entries(mill)).filter(({ kind }) => kind !== "record");
    expect(textOf(all).split("\n").slice(2).map((one) => one.slice(18).trim())).toEqual([
      "3 records of kmsg missing (seq 1 to 4): overrun",
      "3 records of kmsg missing (seq 6 to 8): nothing says why",
      "",
    ]);
    expect(gapRecord(5, 5e6, gap(1, 4)).flag).toBe("g");
  });

  test("tells when the clock was set", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const r1 = await mill.receiver();
    await r1.store(sent(sync(0, 1e6) + line(0, "a"), 1e6));
    await r1.store(sent(syncLine(1, 61e6, noonUs + 61e6 - 3600e6) + line(1, "b", 61e6), 61e6));
    expect(textOf(await entries(mill))).toContain("the device's clock was set back by 3600 s");
  });

  test("has the rules that match in the margin", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const r1 = await mill.receiver();
    await r1.store(
      sent(sync(0, 1e6) + line(0, "link up on eth0", 1e6) + line(1, "other", 2e6), 2e6),
    );
    const [, , linked, other] = textOf(await entries(mill)).split("\n");
    expect(linked).toBe("12:00:01.000000   link               link up on eth0");
    expect(other).toBe("12:00:02.000000                      other");
  });

  test("interleaves devices by time, one's outage notwithstanding", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const r1 = await mill.receiver();
    const of = (device: string, recvUs: number) => ({
      device,
      boot: device,
      stream: device,
      recvUs,
    });
    const record = (seq: number, device: string) =>
      line(seq, `${device} ${seq}`, 2 * seq * minuteUs);
    for (let i = 0; i < 20; i++) {
      const recvUs = noonUs + 2 * i * minuteUs + 1e5;
      await r1.store(block(sync(i, 2 * i * minuteUs) + record(i, "d2"), of("d2", recvUs)));
    }
    let records = "";
    for (let i = 0; i < 20; i++) records += record(i, "d1");
    const late = noonUs + 40 * minuteUs;
    await r1.store(block(records, of("d1", late)), block(sync(20, 40 * minuteUs), of("d1", late)));
    const told = texts(await entries(mill, ["d1", "d2"]));
    const minutes = told.map((text) => Number(text.split(" ")[1]));
    expect(minutes).toEqual(minutes.toSorted((a, b) => a - b));
    expect(told).toHaveLength(40);
  });

  test("holds what was received within minutes, and not all there is", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const r1 = await mill.receiver();
    for (let i = 0; i < 30; i++) {
      await r1.store(sent(sync(i, i * minuteUs) + line(i, "x", i * minuteUs), i * minuteUs));
    }
    let reads = 0;
    const { storage } = mill;
    const stored = new Stored([new HotFrames({ storage, warn: () => {} })]);
    const counted = {
      blocks: (...args: Parameters<Stored["blocks"]>) => count(stored.blocks(...args)),
    };
    async function* count<T>(all: AsyncGenerator<T>): AsyncGenerator<T> {
      for await (const one of all) {
        reads++;
        yield one;
      }
    }
    const margin = new Margin([], builtInEvents());
    const options = {
      stored: counted as Stored,
      devices: ["d1"],
      range: always,
      margin,
      stepUsMin: 1e6,
    };
    for await (const entry of narrative(options)) {
      expect(entry.kind).toBe("boot");
      break;
    }
    expect(reads).toBeLessThan(8);
  });

  test("shows what a terminal would obey, and obeys NO_COLOR", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const r1 = await mill.receiver();
    await r1.store(sent(sync(0, 1e6) + "3,0,1000000,-;\\x1b[2Jgone\\x0asecond line\n", 1e6));
    const all = await entries(mill);
    const text = textOf(all);
    expect(text).toContain("\\x1b[2Jgone\n");
    expect(text).toMatch(/\n {37}second line\n$/);
    const red = new EntryText({ style: styleOf(true, {}), devices: ["d1"] });
    expect(all.map((entry) => red.of(entry)).join("")).toContain("\x1b[31m\\x1b[2Jgone\x1b[0m");
    for (const style of [styleOf(true, { NO_COLOR: "1" }), styleOf(false, {})]) {
      const none = new EntryText({ style, devices: ["d1"] });
      expect(all.map((entry) => none.of(entry)).join("")).not.toContain("\x1b");
    }
  });

  test("as JSON has the place of each record, as an event says it", async () => {
    await using mill = new Mill({ nowMs: () => noonUs / 1000 });
    const r1 = await mill.receiver();
    await r1.store(sent(sync(0, 1e6) + line(0, "link up on eth0", 1e6), 1e6));
    await mill.grindAll();
    const [event] = mill.events();
    const record = (await entries(mill)).find(({ kind }) => kind === "record")!;
    const { segment, offset, line: at, time } = event!;
    expect(JSON.parse(entryJson(record))).toMatchObject({
      ...{ kind: "record", device: "d1", source: "kmsg", seq: 0, rules: ["link"] },
      ...{ segment, offset, line: at, time, text: "link up on eth0" },
    });
  });
});
