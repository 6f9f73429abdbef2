import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { formatBlockHeader } from "../../shared/block.ts";
import { CommitQueue } from "../../shared/commit_queue.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { formatRecord, gapRecord, isMeta, type LogRecord } from "../../shared/record.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { ordinary, TemporaryFolder } from "../fixtures.ts";
import { formatJournal } from "../fleet/journal.ts";
import { root } from "../programs.ts";
import { emptyStream, emptyTotals } from "./verdict.ts";
import { formatVerdict, verify } from "./verify.ts";

const bootWallUs = Date.UTC(2026, 10, 22, 20) * 1000;
const names = { boot: "boot-1", source: "kmsg", stream: "boot-1" };
const rulesText = `
import { rule } from ${JSON.stringify(join(root, "grinder/rule.ts"))};
export default [
  rule("rtt", /ping rtt (?<ms>\\d+) ms via (?<port>\\w+)/, {
    labels: ["port"], value: "ms", yes: ["ping rtt 3 ms via eth0"],
  }),
  rule("fan", /fan stopped/, { yes: ["fan stopped"] }),
];
`;

interface Event {
  rule: string;
  seq: number;
  [key: string]: unknown;
}

/** A storage, a grinder's outputs and a journal, made by hand. */
class World implements Disposable {
  readonly folder = new TemporaryFolder();
  readonly #rules = join(this.folder.path, "rules.ts");
  readonly #journal = join(this.folder.path, "journal");

  constructor() {
    writeFileSync(this.#rules, rulesText);
    writeFileSync(this.#journal, "");
    for (const kind of ["events", "aggregates"]) mkdirSync(join(this.folder.path, kind));
  }

  /** Blocks in this order, as one epoch of a receiver. */
  async store(blocks: LogRecord[][], receiver = "a", device = "d1"): Promise<void> {
    await this.#store(receiver, blocks.map((records) => block(device, records)));
  }

  async storeRaw(text: string): Promise<void> {
    const header = { device: "d1", boot: "-", source: "raw", stream: "-", recvUs: bootWallUs };
    const lines = text.split("\n").length - 1;
    const line = formatBlockHeader({ ...header, first: 0, last: lines - 1, count: lines });
    await this.#store("a", [line + text]);
  }

  async #store(receiver: string, blocks: string[]): Promise<void> {
    const queue = new CommitQueue(await new FolderStorage(this.folder.path).createEpoch(receiver));
    for (const text of blocks) await queue.append(Buffer.from(text, "latin1"));
    await queue.close();
  }

  acked(intervals: string): void {
    const acked = IntervalSet.decode(intervals);
    const entry = { device: "d1", ...names, bootWallUs, written: null, acked };
    appendFileSync(this.#journal, formatJournal([entry]));
  }

  event({ rule, seq, ...rest }: Event): void {
    this.output("events", {
      ...{ rule, time: new Date(bootWallUs / 1000 + seq).toISOString().replace("Z", "000Z") },
      ...{ time_error_us: 0, device: "d1", ...names, seq, usec: seq * 1000, prio: 6 },
      ...{ labels: {}, recv_us: 0, segment: "a/e/00000000", offset: 0, line: 0, ...rest },
    });
  }

  rtt(seq: number, rest: Partial<Event> = {}): void {
    this.event({ rule: "rtt", seq, labels: { port: "eth0" }, value: 7, text: rttText, ...rest });
  }

  aggregate(rule: string, rev: number, count: number, labels = {}): void {
    const window = "2026-11-22T20:00:00Z";
    this.output("aggregates", { window, window_s: 60, rule, labels, rev, count, devices: 1 });
  }

  output(kind: "events" | "aggregates", line: unknown): void {
    const text = typeof line === "string" ? line : `${JSON.stringify(line)}\n`;
    appendFileSync(join(this.folder.path, kind, "20261122.jsonl"), text);
  }

  segment(): string {
    const folder = join(this.folder.path, "segments/a");
    return join(folder, readdirSync(folder)[0]!, "00000000.zst");
  }

  verify(withEvents = true) {
    const { path: data } = this.folder;
    return verify({ data, journal: this.#journal, rules: withEvents ? this.#rules : undefined });
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]();
  }
}

const rttText = "ping rtt 7 ms via eth0";

function block(device: string, records: LogRecord[]): string {
  const seqs = records.filter((record) => !isMeta(record.flag)).map((record) => record.seq);
  const [first, last] = seqs.length > 0 ? [Math.min(...seqs), Math.max(...seqs)] : [0, 0];
  const header = { device, ...names, recvUs: bootWallUs, first, last, count: seqs.length };
  return formatBlockHeader(header) + records.map(formatRecord).join("");
}

function range(first: number, last: number): LogRecord[] {
  return Array.from({ length: last - first + 1 }, (_, i) => ordinary(first + i));
}

/** Records 0 to 5, of which 2 and 4 are events, and all that follows from them. */
async function rightWorld(): Promise<World> {
  const world = new World();
  const records = range(0, 5);
  records[2] = ordinary(2, rttText);
  records[4] = ordinary(4, rttText);
  await world.store([records]);
  world.acked("0-5");
  return world;
}

describe("verify of a storage", () => {
  test("finds nothing wrong where everything is right", async () => {
    using world = await rightWorld();
    const { ok, totals } = await world.verify(false);
    expect(ok).toBe(true);
    expect(totals).toEqual({ ...emptyTotals(), records: 6 });
  });

  test("finds what was acknowledged and isn't stored, gap or no gap", async () => {
    using world = new World();
    const gap = gapRecord(5, 0, { first: 3, last: 4, count: 2, cause: "evicted" });
    await world.store([[...range(0, 2), gap, ordinary(5)]]);
    world.acked("0-3,5-7");
    const { ok, totals, examples } = await world.verify(false);
    expect(ok).toBe(false);
    expect(totals).toMatchObject({ lost: 3, holes: 0, explained: 2 });
    expect(examples).toEqual(["d1 kmsg boot-1: acknowledged and not stored: 3,6-7"]);
  });

  test("finds all of a stream that isn't stored at all", async () => {
    using world = new World();
    world.acked("0-9");
    const { ok, totals } = await world.verify(false);
    expect([ok, totals.lost, totals.records]).toEqual([false, 10, 0]);
  });

  test("finds holes, but not where a gap explains them, to its end or to the next record", async () => {
    using world = new World();
    const gap = gapRecord(4, 0, { first: 2, last: 3, count: 2, cause: "overrun" });
    await world.store([[...range(0, 1), gap, ordinary(4)], [ordinary(7)]]);
    expect((await world.verify(false)).totals).toMatchObject({ holes: 2, explained: 2 });
    await world.store([[gapRecord(7, 0, { first: 5, last: "?", count: 1, cause: "lost" })]], "b");
    const { ok, totals } = await world.verify(false);
    expect(ok).toBe(true);
    expect(totals).toMatchObject({ holes: 0, explained: 4 });
  });

  test("takes resends, and two receivers in opposite order, for what they are", async () => {
    using world = new World();
    await world.store([range(5, 9), range(5, 9)], "a");
    await world.store([range(0, 6)], "b");
    world.acked("0-9");
    const { ok, totals } = await world.verify(false);
    expect(ok).toBe(true);
    expect(totals).toMatchObject({ records: 10, resent: 7, reordered: 5, lost: 0, holes: 0 });
  });

  test("keeps streams of the same name on two devices apart", async () => {
    using world = new World();
    await world.store([range(0, 4)], "a", "d1");
    await world.store([range(0, 4)], "b", "d2");
    const { totals, streams } = await world.verify(false);
    expect(totals).toMatchObject({ records: 10, resent: 0 });
    expect(streams.map((stream) => stream.device)).toEqual(["d1", "d2"]);
  });

  test("counts damage, and finds what was lost by it", async () => {
    using world = new World();
    await world.store([range(0, 4), range(5, 9), range(10, 14)]);
    world.acked("0-14");
    const bytes = readFileSync(world.segment());
    const middle = bytes.indexOf(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), 4) + 20;
    bytes[middle] = bytes[middle]! ^ 0xff;
    writeFileSync(world.segment(), bytes);
    const { ok, totals } = await world.verify(false);
    expect(ok).toBe(false);
    expect(totals).toMatchObject({ records: 10, damaged: 1, lost: 5, holes: 5 });
  });
});

describe("verify of a grinder's outputs", () => {
  test("finds nothing wrong where everything is right; built-in events are no rule's", async () => {
    using world = await rightWorld();
    world.rtt(2);
    world.rtt(4);
    world.event({ rule: "gap", seq: 1, text: "" });
    world.aggregate("rtt", 0, 2, { port: "eth0" });
    world.aggregate("gap", 0, 9);
    const { ok, totals, examples } = await world.verify();
    expect(examples).toEqual([]);
    expect(ok).toBe(true);
    expect(totals).toMatchObject({ records: 6, events: 2, aggregates: 1, mistimedEvents: 0 });
  });

  test("finds an event that is missing, and that the aggregates have one too many", async () => {
    using world = await rightWorld();
    world.rtt(2);
    world.aggregate("rtt", 0, 2);
    const { ok, totals, examples } = await world.verify();
    expect(ok).toBe(false);
    expect(totals).toMatchObject({ missingEvents: 1, aggregateMismatch: 1, duplicateEvents: 0 });
    expect(examples[0]).toBe("d1 kmsg boot-1: no rtt event for 4");
  });

  test("finds an event that is there twice", async () => {
    using world = await rightWorld();
    for (const seq of [2, 4, 4]) world.rtt(seq);
    world.aggregate("rtt", 0, 3);
    const { ok, totals } = await world.verify();
    expect(ok).toBe(false);
    expect(totals).toMatchObject({ duplicateEvents: 1, missingEvents: 0, aggregateMismatch: 0 });
  });

  test("expects one event of a record that is stored twice", async () => {
    using world = await rightWorld();
    await world.store([[ordinary(4, rttText)]], "b");
    for (const seq of [2, 4]) world.rtt(seq);
    world.aggregate("rtt", 0, 2);
    expect(await world.verify()).toMatchObject({ ok: true, totals: { resent: 1, events: 2 } });
  });

  test("finds an event of a record that no rule matches, or that isn't there", async () => {
    using world = await rightWorld();
    for (const seq of [2, 3, 4]) world.rtt(seq);
    world.rtt(2, { device: "d2" });
    world.aggregate("rtt", 0, 4);
    const { ok, totals } = await world.verify();
    expect(ok).toBe(false);
    expect(totals).toMatchObject({ unexpectedEvents: 2, missingEvents: 0, aggregateMismatch: 0 });
  });

  test("finds events that say something else than their record, and false times", async () => {
    using world = await rightWorld();
    world.rtt(2, { value: 8 });
    world.rtt(4, { time: "2026-11-22T20:00:00.005000Z", time_error_us: 999 });
    world.aggregate("rtt", 0, 2);
    const { ok, totals } = await world.verify();
    expect(ok).toBe(false);
    expect(totals).toMatchObject({ wrongEvents: 1, mistimedEvents: 1, missingEvents: 0 });
  });

  test("finds an aggregate that is there twice; a higher rev isn't", async () => {
    using world = await rightWorld();
    for (const seq of [2, 4]) world.rtt(seq);
    for (const [rev, count] of [[0, 1], [1, 2]] as const) world.aggregate("rtt", rev, count);
    expect(await world.verify()).toMatchObject({ ok: true, totals: { aggregates: 1 } });
    world.aggregate("rtt", 0, 1);
    expect(await world.verify()).toMatchObject({ ok: false, totals: { duplicateAggregates: 1 } });
  });

  test("finds counts that aren't the number of events", async () => {
    using world = await rightWorld();
    for (const seq of [2, 4]) world.rtt(seq);
    world.aggregate("rtt", 0, 1, { port: "eth0" });
    world.aggregate("fan", 0, 3);
    const { ok, totals } = await world.verify();
    expect([ok, totals.aggregateMismatch]).toEqual([false, 4]);
  });

  test("knows the events of raw lines by their places", async () => {
    using world = new World();
    await world.storeRaw("fan stopped\n\nfan stopped\n");
    const folder = join(world.folder.path, "segments/a");
    const segment = `a/${readdirSync(folder)[0]!}/00000000`;
    const header = formatBlockHeader({
      ...{ device: "d1", boot: "-", source: "raw", stream: "-", recvUs: bootWallUs },
      ...{ first: 0, last: 2, count: 3 },
    });
    const raw = { rule: "fan", boot: "-", source: "raw", stream: "-", text: "fan stopped" };
    const place = { segment, offset: 0, usec: 0, prio: 14 };
    world.event({ ...raw, ...place, seq: 0, line: header.length });
    expect((await world.verify()).totals).toMatchObject({ records: 3, missingEvents: 1 });
    world.event({ ...raw, ...place, seq: 2, line: header.length + 13 });
    world.aggregate("fan", 0, 2);
    expect(await world.verify()).toMatchObject({ ok: true, totals: { events: 2 } });
  });

  test("finds a line that was cut off", async () => {
    using world = await rightWorld();
    for (const seq of [2, 4]) world.rtt(seq);
    world.aggregate("rtt", 0, 2);
    world.output("events", '{"rule":"rtt","ti');
    expect(await world.verify()).toMatchObject({ ok: false, totals: { badOutputLines: 1 } });
  });
});

describe("formatVerdict", () => {
  test("names the worst streams first, ten of them at most", () => {
    const streams = Array.from({ length: 14 }, (_, i) => {
      const device = `device-${i}`;
      return { ...emptyStream({ device, boot: "b", source: "kmsg", stream: "b" }), lost: i };
    });
    const totals = { ...emptyTotals(), lost: 91 };
    const lines = formatVerdict({ ok: false, totals, streams, examples: [] }).split("\n");
    const named = lines.flatMap((line) => /^ {2}(device-\d+) /.exec(line)?.[1] ?? []);
    expect(named).toEqual(Array.from({ length: 10 }, (_, i) => `device-${13 - i}`));
    expect(lines).toContain("  and 3 streams more");
    expect(lines.at(-1)).toBe("verdict     NOT OK");
  });
});
