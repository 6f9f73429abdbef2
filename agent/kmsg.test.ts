import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "bun:test";
import { formatRecord, type LogRecord, parseGap } from "../shared/record.ts";
import { FakeClock, settle } from "../tests/fixtures.ts";
import type { Position } from "./checkpoint.ts";
import { KmsgSource } from "./kmsg.ts";
import { openRing, type Ring, type RingRead } from "./ring.ts";

/** A ring whose reads the test has written. */
class FakeRing implements Ring {
  constructor(public reads: Array<RingRead | string>) {}

  next(): RingRead {
    const read = this.reads.shift();
    if (read === undefined) return { kind: "empty" };
    return typeof read === "string" ? { kind: "record", text: read } : read;
  }

  /** What a test says the ring has lost by now; the records are at hand all the same. */
  oldest: number | undefined;
  oldestSeq(): number | undefined {
    return this.oldest;
  }

  close(): void {}
}

const overrun: RingRead = { kind: "overrun" };
const skipped: RingRead = { kind: "skipped" };
const line = (seq: number, text = `line ${seq}`) => `6,${seq},${seq * 1_000},-;${text}\n`;

function setUp(reads: Array<RingRead | string>, position?: Partial<Position>) {
  const ring = new FakeRing(reads);
  const clock = new FakeClock();
  const observed: number[] = [];
  const source = new KmsgSource({
    ring,
    boot: "boot-1",
    clock: { observe: (usec) => void observed.push(usec) },
    position: position && { boot: "boot-1", stream: "boot-1", seq: 0, hash: "h", ...position },
    sleep: clock.sleep,
  });
  return { ring, clock, source, observed };
}

/** What a source gives of a ring, in short: a seq, or a gap as `first-last cause`. */
async function readAll(reads: Array<RingRead | string>, position?: Partial<Position>) {
  return brief(await setUp(reads, position).source.read() ?? []);
}

function brief(records: LogRecord[]) {
  return records.map((record) => {
    if (record.flag !== "g") return record.seq;
    const gap = parseGap(record)!;
    expect([record.seq, gap.count]).toEqual([
      Number(gap.last) + 1,
      Number(gap.last) - gap.first! + 1,
    ]);
    return `${gap.first}-${gap.last} ${gap.cause}`;
  });
}

test("a source that is closed still reads what is new behind what was acknowledged", async () => {
  // It once ended within the old records: 105 new ones stayed unsent at a stop right after a start.
  const reads = Array.from({ length: 1_200 }, (_, seq) => line(seq));
  const { clock, source } = setUp(reads, { seq: 1_100 });
  source.close();
  const first = source.read();
  await clock.advance(10);
  expect((await first)!.map(({ seq }) => seq)[0]).toBe(1_101);
  expect(await source.read()).toBeUndefined();
});

test("what the ring still has is safe there, until a quarter of it is left", async () => {
  const { ring, source } = setUp(Array.from({ length: 100 }, (_, seq) => line(seq)));
  await source.read();
  expect(source.safe()).toBe(true); // An empty ring loses nothing.
  const answers = [0, 50, 74, 75, 99].map((oldest) => {
    ring.oldest = oldest;
    return source.safe();
  });
  expect(answers).toEqual([true, true, true, false, false]);
});

test("what can't be known to be in the ring isn't taken for safe, and nothing breaks", () => {
  // Each look opens the device: where too many files are open, that once ended the agent.
  const { ring, source } = setUp([line(0)]);
  ring.oldestSeq = () => {
    throw new Error("EMFILE");
  };
  expect(source.safe()).toBe(false);
});

describe("the kernel's ring as a source", () => {
  test("gives its records as they are, under the boot id", async () => {
    const { source, observed } = setUp([line(0), line(1)]);
    const records = await source.read();
    expect(records!.map(formatRecord)).toEqual([line(0), line(1)]);
    expect([source.boot, source.source, source.stream]).toEqual(["boot-1", "kmsg", "boot-1"]);
    expect(observed).toEqual([0, 1_000]);
  });

  test("keeps continuation lines, unknown fields and fragments", async () => {
    const text = "6,0,5,c,caller=T12,x=y;usb 1-1: a\\x0ab\n SUBSYSTEM=usb\n DEVICE=c189:1\n";
    const { source } = setUp([text]);
    expect((await source.read())!.map(formatRecord).join("")).toBe(text);
  });

  test("goes on behind the checkpoint of the same boot", async () => {
    expect(await readAll([line(0), line(1), line(2), line(3)], { seq: 1 })).toEqual([2, 3]);
  });

  test("begins anew where the checkpoint is of another boot", async () => {
    expect(await readAll([line(0), line(1)], { boot: "boot-0", seq: 77 })).toEqual([0, 1]);
  });

  test("shows the gap of a boot whose oldest records were overwritten before any agent ran", async () => {
    expect(await readAll([line(5), line(6)])).toEqual(["0-4 overrun", 5, 6]);
    expect(await readAll([line(5), line(6)], { boot: "boot-0", seq: 77 }))
      .toEqual(["0-4 overrun", 5, 6]);
  });

  test("shows what was overwritten between the checkpoint and the ring's oldest", async () => {
    expect(await readAll([line(500), line(501)], { seq: 99 })).toEqual([
      "100-499 overrun",
      500,
      501,
    ]);
  });

  test("shows an overrun with the exact range that is missing", async () => {
    expect(await readAll([line(0), line(1), overrun, line(40), line(41)]))
      .toEqual([0, 1, "2-39 overrun", 40, 41]);
  });

  test("shows no gap for an overrun in which nothing was missed", async () => {
    expect(await readAll([line(0), overrun, line(1), line(5)])).toEqual([0, 1, "2-4 lost", 5]);
  });

  test("shows an overrun among what is acknowledged already only as far as it isn't", async () => {
    expect(await readAll([line(3), overrun, line(8), line(9)], { seq: 5 }))
      .toEqual(["6-7 overrun", 8, 9]);
  });

  test("shows a jump without a word from the kernel as lost", async () => {
    expect(await readAll([line(0), line(3)])).toEqual([0, "1-2 lost", 3]);
    expect(await readAll([line(0), line(1), line(3)], { seq: 0 })).toEqual([1, "2-2 lost", 3]);
  });

  test("shows a record that the kernel stepped over as lost", async () => {
    expect(await readAll([line(0), skipped, line(2)])).toEqual([0, "1-1 lost", 2]);
  });

  test("shows a record that can't be parsed as lost", async () => {
    const reads = [line(0), "not a record;\n", line(2), "6,3,-;no usec\n", line(4)];
    expect(await readAll(reads)).toEqual([0, "1-1 lost", 2, "3-3 lost", 4]);
  });

  test("gives a full ring in parts, so that others get their turn", async () => {
    const { source } = setUp(Array.from({ length: 1_200 }, (_, seq) => line(seq)));
    const parts = [await source.read(), await source.read(), await source.read()];
    expect(parts.map((part) => part!.length)).toEqual([500, 500, 200]);
  });

  test("waits for the next record, and looks some twenty times a second", async () => {
    const { ring, clock, source } = setUp([]);
    let got: LogRecord[] | undefined;
    const read = source.read().then((records) => got = records);
    await clock.advance(10_000);
    expect(got).toBeUndefined();
    expect(clock.sleeps.length).toBeLessThanOrEqual(10_000 / 50 + 1);
    ring.reads = [line(0)];
    await clock.advance(50);
    expect(brief((await read)!)).toEqual([0]);
  });

  test("that is closed ends a read that waits, within one look", async () => {
    const { clock, source } = setUp([]);
    const read = source.read();
    await settle();
    source.close();
    await clock.advance(50);
    expect(await read).toBeUndefined();
    expect(await source.read()).toBeUndefined();
  });

  test("that is closed gives what it holds, and then ends", async () => {
    const { source } = setUp([line(0), line(1)]);
    source.close();
    expect(brief((await source.read())!)).toEqual([0, 1]);
    expect(await source.read()).toBeUndefined();
  });
});

const sysctl = "/proc/sys/kernel/printk_devkmsg";

/** Why the kernel's own log can't be used here; undefined if it can. */
function whyNot(): string | undefined {
  try {
    openRing().close();
    // Of 10 lines in 5 seconds the kernel may drop ours, and says nothing.
    const old = readFileSync(sysctl, "utf8");
    writeFileSync(sysctl, "on\n");
    afterAll(() => writeFileSync(sysctl, old));
    writeFileSync("/dev/kmsg", "<14>logmill-test: begins\n");
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const reason = whyNot();
if (reason) console.error(`agent/kmsg.test.ts: /dev/kmsg is left out: ${reason}`);

test.skipIf(reason !== undefined)("a line written to the real /dev/kmsg comes back", async () => {
  const ring = openRing();
  const source = new KmsgSource({
    ring,
    boot: "boot-1",
    clock: { observe: () => {} },
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  });
  const mark = `logmill-test: ${crypto.randomUUID()}`;
  spawnSync("sh", ["-c", `echo '<12>${mark} caf\\303\\251' > /dev/kmsg`]);
  let last = -1;
  for (;;) {
    const records = (await source.read())!;
    for (const { seq, flag } of records) {
      if (flag === "g") continue;
      expect(seq).toBeGreaterThan(last);
      last = seq;
    }
    const ours = records.find(({ text }) => text.startsWith(mark));
    if (!ours) continue;
    expect([ours.prio, ours.flag]).toEqual([12, "-"]);
    break;
  }
  ring.close();
});
