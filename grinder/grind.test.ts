import { readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import type { BlockHeader } from "../shared/block.ts";
import { limits } from "../shared/limits.ts";
import { readNew, splitFrames } from "../shared/segment_reader.ts";
import { segmentPath } from "../shared/storage/storage.ts";
import { settle } from "../tests/fixtures.ts";
import { builtInEvents } from "./built_in.ts";
import {
  block,
  type EventLine,
  finalAggregates,
  gapLine,
  line,
  lines,
  midnightMs,
  Mill,
  noonUs,
  seqsOf,
  syncLine,
} from "./fixtures.ts";

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** What stands in the storage where an event says that its record is. */
function textAt(mill: Mill, event: Pick<EventLine, "segment" | "offset" | "line">): string {
  const bytes = readFileSync(join(mill.folder.path, "segments", `${event.segment}.zst`));
  const [frame] = splitFrames(bytes.subarray(event.offset), true);
  return frame!.text!.slice(event.line).split("\n")[0]!;
}

describe("an event", () => {
  test("has its record's identity, place, time and labels", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(line(0, "an earlier frame"), { device: "d9" }));
    await receiver.store(
      block(line(7, "nothing"), { device: "d2" }),
      block(syncLine(40, 9e6, noonUs - 1e6) + line(40, "x") + line(41, "link up on eth0", 10e6)),
    );
    await mill.grindAll();
    const [event, ...others] = mill.events();
    expect(others).toEqual([]);
    const { segment, offset, line: at, ...rest } = event!;
    expect(rest as unknown).toEqual({
      rule: "link",
      time: "2026-11-22T12:00:00.000000Z",
      time_error_us: 40_200,
      device: "d1",
      boot: "b1",
      source: "kmsg",
      stream: "b1",
      seq: 41,
      usec: 10e6,
      prio: 6,
      labels: { way: "up" },
      text: "link up on eth0",
      recv_us: noonUs,
    });
    expect([segment.split("/")[0], offset > 0, at > 0]).toEqual(["r1", true, true]);
    expect(textAt(mill, event!)).toBe("6,41,10000000,-;link up on eth0");
  });

  test("has the time that the batch says of its boot where its block came before any sync", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(line(0, "link up on a", 50e6), { recvUs: noonUs }));
    await receiver.store(block(syncLine(1, 60e6, noonUs + 5e6), { recvUs: noonUs + 6e6 }));
    await mill.grindAll();
    expect(mill.events()[0]!.time).toBe("2026-11-22T11:59:55.000000Z");
  });

  test("has the time of the sync before it, not that of one after a suspend", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const laterUs = noonUs + 3600e6;
    const before = syncLine(0, 1e6, noonUs) + line(0, "link down on a", 2e6);
    const after = syncLine(1, 3e6, laterUs) + line(1, "link up on a", 4e6);
    await receiver.store(block(before, { recvUs: noonUs + 1e6 }));
    await receiver.store(block(after, { recvUs: laterUs + 1e6 }));
    await mill.grindAll();
    expect(mill.events().map(({ time }) => time)).toEqual(
      ["2026-11-22T12:00:01.000000Z", "2026-11-22T13:00:01.000000Z"],
    );
  });

  test("waits for its boot's first good clock, over a kill too, but not for ever", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const times = () =>
      mill.events().map(({ seq, time, time_error_us }) => [seq, time, time_error_us]);
    const commitAt = async (us: number) => {
      await mill.take();
      mill.grind.commit(us / 1000, "all");
    };
    await receiver.store(block(line(0, "link up on a", 50e6), { recvUs: noonUs }));
    await receiver.store(block(line(0, "link up on a", 50e6), { recvUs: noonUs, device: "d2" }));
    await commitAt(noonUs + 1e6);
    mill.reopen();
    expect(times()).toEqual([]);
    await receiver.store(block(syncLine(1, 60e6, noonUs + 5e6), { recvUs: noonUs + 6e6 }));
    await commitAt(noonUs + 7e6);
    const first = [0, "2026-11-22T11:59:55.000000Z", 42_000];
    expect(times()).toEqual([first]);
    await commitAt(noonUs + 1e6 * 179);
    expect(times()).toEqual([first]);
    await commitAt(noonUs + 1e6 * 181);
    expect(times()).toEqual([first, [0, "2026-11-22T12:00:00.000000Z", 60_000_000]]);
  });

  test("says in the place of a sync record that the clock was set, and is counted", async () => {
    await using mill = new Mill({}, builtInEvents({ device: ["city"] }));
    const receiver = await mill.receiver();
    const wrongUs = noonUs - 3600e6;
    const first = line(0, "x", 1e6) + syncLine(1, 2e6, wrongUs, false);
    await receiver.store(block(first, { recvUs: noonUs }));
    const second = line(1, "y", 11e6) + syncLine(2, 12e6, noonUs + 10e6) + line(2, "z", 13e6);
    await receiver.store(block(second, { recvUs: noonUs + 11e6 }));
    await mill.grindAll("all");
    const [{ segment, offset, line: at, ...event }, ...others] = mill.events() as [EventLine];
    expect([others, textAt(mill, { segment, offset, line: at }).slice(0, 12)]).toEqual(
      [[], "6,2,12000000"],
    );
    expect(event).toMatchObject({
      rule: "clock_step",
      time: "2026-11-22T12:00:10.000000Z",
      device: "d1",
      seq: 2,
      usec: 12e6,
      labels: { kind: "step", city: "bern" },
      value: 3600,
      text: "clock set forward by 3600 s",
    });
    expect(mill.aggregates()).toMatchObject([{ rule: "clock_step", count: 1, sum: 3600 }]);
  });

  test("is counted with the labels that the rule takes from the device", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const recvUs = noonUs + 30e6;
    await receiver.store(...["d1", "d2"].map((device) => block(lines(0, 2), { device, recvUs })));
    await mill.grindAll();
    const counted = mill.aggregates().map(({ labels, count, devices }) => [labels, count, devices]);
    expect(counted).toEqual([
      [{ way: "up", city: "" }, 3, 1],
      [{ way: "up", city: "bern" }, 3, 1],
    ]);
  });
});

describe("a block", () => {
  test("that was sent again is dropped, over restarts too", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const sent = block(lines(0, 9), { recvUs: noonUs + 30e6 });
    await receiver.store(sent, sent);
    await mill.grindAll();
    await receiver.store(sent);
    mill.reopen();
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual(range(0, 9));
    expect(mill.counters()).toEqual({ records: 10, resent_records: 20 });
    expect([...finalAggregates(mill.aggregates()).values()].map((a) => a.count)).toEqual([10]);
  });

  test("that overlaps what is stored gives what is new in it", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    for (const [first, last] of [[10, 19], [5, 12], [15, 24], [0, 30], [3, 29]] as const) {
      await receiver.store(block(lines(first, last)));
    }
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual(range(0, 30));
    expect(mill.counters()).toMatchObject({ records: 31 });
  });

  test("with holes, or with a seq twice, gives each record once", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(lines(0, 3) + lines(2, 5) + lines(9, 9)));
    await receiver.store(block(lines(0, 9)));
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual(range(0, 9));
  });

  test("that is raw gives each line, with its place as its identity", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const raw = block("", { source: "raw", stream: "-", boot: "-" }) +
      "<6>[   12.5] link up on a\nlink down on b\n[   12.500000] link up on c\n";
    await receiver.store(raw);
    await receiver.store(raw);
    await mill.grindAll();
    const events = mill.events();
    const seen = events.map(({ seq, labels, usec, time }) =>
      `${seq} ${labels["way"]} ${usec} ${time}`
    );
    const once = [
      "0 up 0 2026-11-22T12:00:00.000000Z",
      "1 down 0 2026-11-22T12:00:00.000000Z",
      "2 up 12500000 2026-11-22T12:00:00.000000Z",
    ];
    expect(seen).toEqual([...once, ...once]);
    expect(events.map((event) => textAt(mill, event))[4]).toBe("link down on b");
  });

  test("with lines that are no records is counted, and gives those that are", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const bad = "what is this\n7,1\n6,5,1,s,wall_us=x;clock\n6,5,1,g,first=9,last=2,count=1;gap\n";
    await receiver.store(block(lines(0, 1) + bad + lines(2, 3)));
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual(range(0, 3));
    expect(mill.counters()).toEqual({ records: 4, bad_records: 4 });
  });

  test("without a readable header is counted, and what stands beside it is read", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const huge = `#1 d1 b1 kmsg b1 ${noonUs} 0 9223372036854775808 9223372036854775808\n`;
    await receiver.store(huge + lines(0, 3), block(lines(0, 3), { device: "d2" }), "#2 new\nx\n");
    await mill.grindAll();
    expect(mill.events().map(({ device }) => device)).toEqual(["d2", "d2", "d2", "d2"]);
    expect(mill.counters()).toEqual({ records: 4, bad_blocks: 2 });
  });
});

/** Records 10 to 19 under these headers, where 0 to 9 are stored. */
const lies: Record<string, Partial<BlockHeader>> = {
  "from 0 to 2^63": { first: 0, last: 2 ** 63, count: 2 ** 63 },
  "from 0 to 2^53": { first: 0, last: 2 ** 53 - 2, count: 2 ** 53 - 1 },
  "overlapping what is stored": { first: 5, last: 14, count: 10 },
  "of what is stored, with too few": { first: 0, last: 9, count: 3 },
  "of what is stored, with too many": { first: 0, last: 9, count: 1000 },
  "of nothing": { first: 0, last: 0, count: 0 },
  "backwards": { first: 9, last: 0, count: 10 },
};

for (const [how, lie] of Object.entries(lies)) {
  test(`a header that lies, ${how}, has no effect on its own device or on others`, async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(lines(0, 9)));
    const other = { device: "d2" };
    await receiver.store(
      block(lines(0, 9), other),
      block(lines(10, 19), lie),
      block(lines(10, 19), other),
    );
    await receiver.store(block(lines(0, 25)), block(lines(0, 25), other));
    await mill.grindAll();
    for (const device of ["d1", "d2"]) {
      const own = mill.events().filter((event) => event.device === device);
      expect([device, ...seqsOf(own)]).toEqual([device, ...range(0, 25)]);
    }
  });
}

test("a header that says of one record that it is ten hurts nobody: the text is too short", async () => {
  await using mill = new Mill();
  const receiver = await mill.receiver();
  await receiver.store(block(lines(0, 9)), block(lines(10, 10), { first: 0, last: 9, count: 10 }));
  await mill.grindAll();
  expect(seqsOf(mill.events())).toEqual(range(0, 10));
});

test("a header that lies and can't be told from a resend hurts only its own device", async () => {
  await using mill = new Mill();
  const receiver = await mill.receiver();
  await receiver.store(block(lines(0, 9)));
  const lie = block(lines(10, 19), { first: 0, last: 9, count: 10 });
  await receiver.store(lie, block(lines(10, 19), { device: "d2" }));
  await mill.grindAll();
  expect(mill.events().map(({ device, seq }) => `${device} ${seq}`)).toEqual(
    [...range(0, 9).map((seq) => `d1 ${seq}`), ...range(10, 19).map((seq) => `d2 ${seq}`)],
  );
  await receiver.store(block(lines(10, 19)));
  await mill.grindAll();
  expect(seqsOf(mill.events().filter(({ device }) => device === "d1"))).toEqual(range(0, 19));
});

test("a damaged frame is set aside and counted once, and what stands around it is ground", async () => {
  await using mill = new Mill();
  const receiver = await mill.receiver();
  for (const first of [0, 10, 20]) await receiver.store(block(lines(first, first + 9)));
  const { epoch } = receiver;
  const path = join(mill.folder.path, segmentPath({ ...epoch, segment: 0 }));
  const bytes = readFileSync(path);
  bytes[Math.floor(bytes.length / 2)]! ^= 0x55;
  writeFileSync(path, bytes);
  await mill.grindAll();
  expect(seqsOf(mill.events())).toEqual([...range(0, 9), ...range(20, 29)]);
  expect(mill.counters()).toMatchObject({ records: 20, damaged_frames: 1 });
  expect(mill.warnings).toHaveLength(1);
  expect(mill.warnings[0]).toMatch(/00000000\.zst at \d+: \d+ bytes set aside: /);
  mill.reopen();
  await receiver.store(block(lines(10, 19)));
  await mill.grindAll();
  expect(seqsOf(mill.events())).toEqual(range(0, 29));
  expect(mill.counters()).toMatchObject({ damaged_frames: 1 });
});

test("a flood of events is written in parts that fit memory", async () => {
  await using mill = new Mill();
  const receiver = await mill.receiver();
  for (let first = 0; first < 100_000; first += 20_000) {
    await receiver.store(block(lines(first, first + 19_999, "link up on a")));
  }
  let commits = 0;
  for await (const read of readNew(mill.storage, mill.grind.cursors)) {
    mill.grind.take(read);
    if (mill.grind.pendingBytes < limits.batchTextBytesMax / 2) continue;
    mill.grind.commit(midnightMs);
    commits++;
  }
  expect(commits).toBe(1);
  await mill.grindAll();
  expect(mill.events()).toHaveLength(100_000);
});

test("a receiver whose clock is ahead doesn't close everybody's windows", async () => {
  await using mill = new Mill();
  const nowUs = midnightMs * 1000;
  const [ahead, right] = [await mill.receiver("ahead"), await mill.receiver("right")];
  await ahead.store(block(lines(0, 0), { device: "d2", recvUs: nowUs + 86400e6 }));
  await right.store(block(lines(0, 0), { recvUs: nowUs - 1e6 }));
  for (const done of ["batch", "all"] as const) {
    await mill.grindAll(done);
    expect(mill.aggregates()).toEqual([]);
  }
});

test("a receiver's backlog is counted whole, however far another one's segments reach", async () => {
  await using mill = new Mill();
  const ago = (days: number) => ({
    boot: `b${days}`,
    stream: `b${days}`,
    recvUs: midnightMs * 1000 - days * 86400e6,
  });
  const [ahead, behind] = [await mill.receiver("r1"), await mill.receiver("r2")];
  await ahead.store(block(lines(0, 4), { device: "d2", ...ago(0.1) }));
  await behind.store(block(lines(0, 4), ago(30)));
  await behind.store(block(lines(5, 9), ago(20)));
  while (await mill.take(1) > 0) mill.grind.commit(midnightMs);
  mill.grind.commit(midnightMs, "all");
  const counted = () =>
    [...finalAggregates(mill.aggregates()).values()].reduce((sum, { count }) => sum + count, 0);
  expect([counted(), mill.counters()["too_late_events"]]).toEqual([15, undefined]);
  // All has been read once: what comes now is late.
  await behind.store(block(lines(10, 11), ago(9)), block(lines(12, 13), ago(6)));
  await mill.grindAll();
  expect([counted(), mill.counters()["too_late_events"]]).toEqual([17, 2]);
  expect(seqsOf(mill.events())).toHaveLength(19);
});

describe("a gap record", () => {
  const gap = { first: 10, last: 19, count: 10, cause: "overrun" } as const;
  const sent = block(lines(0, 9) + gapLine(20, 20e6, gap) + lines(20, 24), {
    recvUs: noonUs + 30e6,
  });

  test("gives an event, and explains what is missing", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(sent);
    await mill.grindAll();
    const [event] = mill.events().filter(({ rule }) => rule === "gap");
    expect(event).toMatchObject({ seq: 20, labels: { cause: "overrun" }, value: 10 });
    expect(mill.missing()).toBe("10-19");
    expect(mill.aggregates().map(({ rule }) => rule)).toEqual(["link"]);
  });

  test("counts once, however often it is sent, in one batch and over restarts", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const other = await mill.receiver("r2");
    await receiver.store(sent, sent);
    await receiver.store(block(gapLine(20, 20e6, gap)));
    await mill.grindAll();
    await receiver.store(sent);
    await other.store(sent);
    mill.reopen();
    await mill.grindAll();
    expect(seqsOf(mill.events(), "gap")).toEqual([20]);
    expect(mill.missing()).toBe("10-19");
  });

  test("isn't dropped with records that are stored already", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(lines(0, 9)));
    await receiver.store(block(lines(0, 9) + gapLine(20, 20e6, gap)));
    await mill.grindAll();
    expect(seqsOf(mill.events(), "gap")).toEqual([20]);
  });

  test("without seqs gives an event for each one, and explains none", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const limited = (usec: number, count: number) =>
      gapLine(5, usec, { count, cause: "ratelimit" });
    await receiver.store(block(lines(0, 4) + limited(5e6, 7) + limited(6e6, 7) + limited(6e6, 8)));
    await receiver.store(block(limited(5e6, 7)));
    await mill.grindAll();
    const gaps = mill.events().filter(({ rule }) => rule === "gap");
    expect(gaps.map(({ value }) => value)).toEqual([7, 7, 8]);
    expect(mill.missing()).toBe("");
  });

  test("whose end isn't known gives an event, and explains nothing yet", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const lost = { first: 10, last: "?", count: 0, cause: "lost" } as const;
    await receiver.store(block(lines(0, 9) + gapLine(10, 10e6, lost)));
    await mill.grindAll();
    expect(mill.events().filter(({ rule }) => rule === "gap")).toMatchObject(
      [{ labels: { cause: "lost" }, value: 0 }],
    );
    expect(mill.missing()).toBe("");
  });

  test("can't make a label of any length", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const cause = "x".repeat(5_000) as "lost";
    for (let i = 0; i < 2; i++) {
      await receiver.store(block(gapLine(5, 5e6, { count: 1, cause })));
      await mill.grindAll();
    }
    expect(mill.events().map(({ labels }) => labels["cause"]!.length)).toEqual(
      [limits.labelCharsMax],
    );
  });
});

/** A storage whose files can't be written while `full` says so; half of it gets there. */
function failingDisk(disk: { full: "" | "write" | "sync and cut" }) {
  const noSpace = () => Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" });
  return async (path: string, flags: string) => {
    const file = await open(path, flags);
    const { datasync, truncate } = file;
    const write = file.write.bind(file) as (
      ...where: [Uint8Array, number, number, number]
    ) => unknown;
    return Object.assign(file, {
      async write(bytes: Uint8Array, offset: number, length: number, position: number) {
        if (disk.full !== "write") return await write(bytes, offset, length, position);
        await write(bytes, offset, length >> 1, position);
        throw noSpace();
      },
      async datasync() {
        if (disk.full === "sync and cut") throw noSpace();
        await datasync.call(file);
      },
      async truncate(length: number) {
        if (disk.full === "sync and cut") throw noSpace();
        await truncate.call(file, length);
      },
    }) as unknown as FileHandle;
  };
}

describe("interleavings", () => {
  test("a gap record acknowledged, the agent killed, the missing records sent after all", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const gap = gapLine(20, 20e6, { first: 10, last: 19, count: 10, cause: "overrun" });
    await receiver.store(block(lines(0, 9)));
    await receiver.store(block(gap));
    await mill.grindAll();
    expect(mill.missing()).toBe("10-19");
    // Its checkpoint was still before the gap, and the ring had them after all.
    await receiver.store(block(lines(10, 24)));
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual(range(0, 24));
    expect(seqsOf(mill.events(), "gap")).toEqual([20]);
    expect(mill.missing()).toBe("");
  });

  test("a commit that ends with a sync record, and the next record printed after the crash", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(lines(0, 4) + syncLine(5, 5e6, noonUs)));
    await mill.grindAll();
    mill.reopen();
    // Seq 5 was the sync's only because it stood before the record that didn't exist yet.
    await receiver.store(block(lines(5, 6)));
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual(range(0, 6));
    expect(mill.counters()).toEqual({ records: 7 });
  });

  test("two receivers holding a device's resend in the opposite order", async () => {
    await using mill = new Mill();
    const [one, two] = [await mill.receiver("r1"), await mill.receiver("r2")];
    const [older, newer] = [block(lines(0, 9)), block(lines(10, 19))];
    await one.store(newer);
    await two.store(older);
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual(range(0, 19));
    await one.store(older);
    await two.store(newer);
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual(range(0, 19));
    expect(mill.counters()).toEqual({ records: 20, resent_records: 20 });
  });

  test("a grinder that reaches the end of a segment just as the next one opens", async () => {
    let agesMs = 0;
    await using mill = new Mill({ nowMs: () => Date.now() + agesMs });
    const receiver = await mill.receiver();
    const openNext = async (first: number) => {
      agesMs += limits.segmentAgeMsMax + 1;
      await receiver.store(block(lines(first, first + 9)));
    };
    await receiver.store(block(lines(0, 9)));
    // The old segment was read to its committed length, and then closed.
    await mill.grindAll();
    await openNext(10);
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual(range(0, 19));
    // It was listed while open, and closed while it was read.
    await receiver.store(block(lines(20, 29)));
    let next = 30;
    for await (const read of readNew(mill.storage, mill.grind.cursors)) {
      mill.grind.take(read);
      await openNext(next);
      next += 10;
    }
    await mill.grindAll();
    expect(next).toBeGreaterThan(30);
    expect(seqsOf(mill.events())).toEqual(range(0, next - 1));
    expect(mill.counters()).toEqual({ records: next });
  });

  test("a receiver restarted under the same name while the old process still commits", async () => {
    await using mill = new Mill();
    const old = await mill.receiver("r1");
    await old.store(block(lines(0, 9)));
    const restarted = await mill.receiver("r1");
    await restarted.store(block(lines(10, 19)));
    await mill.grindAll();
    await old.store(block(lines(5, 12)), block(lines(0, 3), { device: "d2" }));
    await restarted.store(block(lines(15, 24)));
    await mill.grindAll();
    await old.store(block(lines(20, 29)));
    await mill.grindAll();
    const own = mill.events().filter(({ device }) => device === "d1");
    expect(seqsOf(own)).toEqual(range(0, 29));
    expect(mill.events()).toHaveLength(34);
    expect(mill.grind.cursors.size).toBe(2);
  });

  test("segments that retention deletes, read before or not: what is lost is said", async () => {
    let nowMs = Date.now() - 1_000 * 86_400_000;
    await using mill = new Mill({ nowMs: () => nowMs });
    const receiver = await mill.receiver();
    const drop = (segment: number) =>
      unlinkSync(join(mill.folder.path, segmentPath({ ...receiver.epoch, segment })));
    for (let segment = 0; segment < 5; segment++) {
      await receiver.store(block(lines(10 * segment, 10 * segment + 9)));
      if (segment === 1) await mill.grindAll();
      nowMs += limits.segmentAgeMsMax + 1;
    }
    drop(0);
    const said = mill.warnings.length;
    mill.reopen();
    drop(1);
    drop(2);
    drop(3);
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual([...range(0, 19), ...range(40, 49)]);
    expect(mill.counters()["deleted_segments"]).toBe(3);
    expect(mill.warnings.slice(said)).toEqual([
      `${segmentPath({ ...receiver.epoch, segment: 4 })}: 3 before it have been deleted: ` +
      "what hasn't been read of them is lost",
    ]);
    // One that begins now has missed nothing that was ever its own.
    mill.beginAnew("new");
    await mill.grindAll();
    expect(seqsOf(mill.events())).toEqual(range(40, 49));
    expect(mill.counters()["deleted_segments"]).toBeUndefined();
  });

  for (const full of ["write", "sync and cut"] as const) {
    const name = "a write that fails in the middle of a batch, then space again";
    test(full === "write" ? name : `${name}: what failed can't be cut off`, async () => {
      const disk = { full: "" as "" | typeof full };
      await using mill = new Mill({ openFile: failingDisk(disk) });
      const receiver = await mill.receiver();
      await receiver.store(block(lines(0, 9)));
      await mill.grindAll();
      disk.full = full;
      const batch = [block(lines(10, 19)), block(lines(0, 9), { device: "d2" })];
      await expect(receiver.store(...batch)).rejects.toThrow("no space left");
      await mill.grindAll();
      expect(mill.events()).toHaveLength(10);
      disk.full = "";
      // The queue asks the disk first, and may have done so just before.
      const stored = () => receiver.store(...batch).then(() => true, () => false);
      while (!await stored()) await settle();
      await receiver.store(block(lines(20, 24)));
      await mill.grindAll();
      const of = (device: string) => seqsOf(mill.events().filter((e) => e.device === device));
      expect([of("d1"), of("d2")]).toEqual([range(0, 24), range(0, 9)]);
      const counted = [...finalAggregates(mill.aggregates()).values()].map(({ count }) => count);
      expect(counted.reduce((sum, count) => sum + count)).toBe(35);
    });
  }
});
