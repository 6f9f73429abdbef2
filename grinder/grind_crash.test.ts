import { appendFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { IntervalSet } from "../shared/intervals.ts";
import { limits } from "../shared/limits.ts";
import { forEachRecord, isMeta } from "../shared/record.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { isoMicros } from "./event.ts";
import {
  block,
  finalAggregates,
  gapLine,
  line,
  lines,
  midnightMs,
  Mill,
  noonUs,
  syncLine,
  type TestReceiver,
} from "./fixtures.ts";
import type { State } from "./state.ts";

class Killed extends Error {}

/** Dies at its nth call, counted from 0, or when a transaction is through. */
function dying<T extends object>(target: T, left: { calls: number }): T {
  const maybeDie = () => {
    if (left.calls-- === 0) throw new Killed();
  };
  return new Proxy(target, {
    get(_target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value === "object" && value !== null) return dying(value, left);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        maybeDie();
        const result: unknown = value.apply(target, args);
        if (key === "transaction") maybeDie();
        return result;
      };
    },
  });
}

/** Runs `work` with a grinder that dies at its nth call of the state; false if it didn't come so far. */
async function diesIn(mill: Mill, calls: number, work: () => Promise<void>): Promise<boolean> {
  try {
    mill.grind = mill.newGrind(dying<State>(mill.state, { calls }));
    await work();
    return false;
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
    return true;
  }
}

/** Two receivers' segments with all that there can be in them, and the grinder at the beginning. */
async function filledMill(): Promise<Mill> {
  let starts = 0;
  // So that epochs are read in the order in which they began.
  const mill = new Mill({ nowMs: () => Date.now() + starts++ });
  const [one, two] = [await mill.receiver("r1"), await mill.receiver("r2")];
  const gap = gapLine(20, 20e6, { first: 10, last: 19, count: 10, cause: "lost" });
  for (let round = 0; round < 2; round++) {
    const recvUs = noonUs + round * 120e6;
    const first = round * 30;
    const sync = syncLine(first + 10, (first + 10) * 1e6, recvUs - 1e6);
    const more = line(first + 9, `took ${round} ms`);
    const sent = block(lines(first, first + 8) + more + sync, { recvUs });
    await one.store(sent, block(lines(first, first + 2), { device: "d2", recvUs }));
    await two.store(sent, block(gap + lines(first + 5, first + 25), { recvUs: recvUs + 9e6 }));
    await two.store(block("link up on a\n", { source: "raw", stream: "-", boot: "-", recvUs }));
  }
  return mill;
}

/** From where it stands to the end, in batches that are the same after a restart. */
async function grindInBatches(mill: Mill): Promise<void> {
  while (await mill.take(2) > 0) mill.grind.commit(midnightMs);
  mill.grind.commit(midnightMs, "all");
  mill.grind.commit(midnightMs, "end");
}

const outputs = (mill: Mill) => ({
  events: mill.events().map((one) => JSON.stringify(one)).sort(),
  aggregates: mill.aggregates().map((one) => JSON.stringify(one)).sort(),
  counters: mill.counters(),
});

test(
  "a grinder that is killed at any call of its state leaves what an undisturbed run does",
  async () => {
    await using mill = await filledMill();
    await grindInBatches(mill);
    const right = outputs(mill);
    expect(right.events.length).toBeGreaterThan(50);
    let calls = 0;
    for (let died = true; died; calls++) {
      mill.beginAnew(`killed at ${calls}`);
      died = await diesIn(mill, calls, () => grindInBatches(mill));
      mill.reopen();
      await grindInBatches(mill);
      expect([calls, outputs(mill)]).toEqual([calls, right]);
    }
    expect(calls).toBeGreaterThan(100);
  },
  60_000,
);

test("a grinder that is killed between its outputs and its transaction writes them again, once", async () => {
  await using mill = await filledMill();
  await grindInBatches(mill);
  const right = outputs(mill);
  mill.beginAnew("killed");
  mill.state.transaction = () => {
    throw new Killed();
  };
  for (let round = 0; round < 3; round++) {
    await expect(grindInBatches(mill)).rejects.toThrow(Killed);
    expect(mill.events().length).toBeGreaterThan(0);
    mill.grind = mill.newGrind(mill.state);
    expect(mill.events()).toEqual([]);
  }
  mill.reopen();
  await grindInBatches(mill);
  expect(outputs(mill)).toEqual(right);
});

test("a grinder that is killed before it wrote anything, or in the middle of a line, begins there again", async () => {
  await using mill = await filledMill();
  await grindInBatches(mill);
  const right = outputs(mill);
  mill.beginAnew("killed");
  for (let round = 0; round < 4; round++) {
    await mill.take(2);
    if (round === 2) mill.grind.commit(midnightMs);
    await mill.take(1);
    for (const kind of ["events", "aggregates"]) {
      for (const file of readdirSync(join(mill.out, kind))) {
        appendFileSync(join(mill.out, kind, file), '{"rule":"link","ti');
      }
    }
    mill.reopen();
  }
  await grindInBatches(mill);
  expect(outputs(mill)).toEqual(right);
});

// --- the twin -----------------------------------------------------------------------------------

const bootUs = noonUs - 36_000e6;
const recordUs = (seq: number) => seq * 7e6;

/** The same seq has the same text, whenever it is sent. */
function textOf(seq: number): string {
  if (seq % 3 === 0) return `link ${seq % 2 ? "up" : "down"} on eth0`;
  return seq % 3 === 1 ? `took ${seq} ms` : "nothing";
}

/** Of its sync record, which is made when it is sent. */
function lastUsecOf(records: string): number {
  let lastUsec = 0;
  forEachRecord(records, ({ usec }) => lastUsec = usec, () => {});
  return lastUsec;
}

/** What was stored, kept as simply as can be; and what must come of it. */
class Twin {
  readonly #records = new Map<string, { device: string; seq: number }>();
  readonly #gaps = new Set<string>();
  readonly #explained = new Map<string, IntervalSet>();

  store(device: string, records: string): void {
    forEachRecord(records, (record) => {
      const { seq, flag, fields } = record;
      if (!isMeta(flag)) this.#records.set(`${device} ${seq}`, { device, seq });
      if (flag !== "g") return;
      this.#gaps.add(`${device} ${seq} gap`);
      const [, first, last] = /first=(\d+),last=(\d+)/.exec(fields)!;
      const explained = this.#explained.get(device) ?? new IntervalSet();
      explained.add(Number(first), Number(last));
      this.#explained.set(device, explained);
    }, () => {});
  }

  events(): string[] {
    const matched = [...this.#records.values()].filter(({ seq }) => seq % 3 !== 2);
    const events = matched.map(({ device, seq }) => {
      const rule = seq % 3 === 0 ? "link" : "took";
      return `${device} ${seq} ${rule} ${isoMicros(bootUs + recordUs(seq))}`;
    });
    return [...events, ...this.#gaps].sort();
  }

  aggregates(): string[] {
    const all = new Map<string, { count: number; devices: Set<string>; sum: number }>();
    for (const { device, seq } of this.#records.values()) {
      if (seq % 3 === 2) continue;
      const wallUs = bootUs + recordUs(seq);
      const window = isoMicros(wallUs - wallUs % 60e6).replace(".000000", "");
      const city = device === "d1" ? "bern" : "";
      const labels = seq % 3 === 0 ? { way: seq % 2 ? "up" : "down", city } : {};
      const key = `${window} ${seq % 3 === 0 ? "link" : "took"} ${JSON.stringify(labels)}`;
      const one = all.get(key) ?? { count: 0, devices: new Set(), sum: 0 };
      one.count++;
      one.devices.add(device);
      one.sum += seq % 3 === 1 ? seq : 0;
      all.set(key, one);
    }
    return [...all].map(([key, a]) => `${key} ${a.count} ${a.devices.size} ${a.sum}`).sort();
  }

  missing(device: string): string {
    const stored = new IntervalSet();
    for (const one of this.#records.values()) {
      if (one.device === device) stored.add(one.seq, one.seq);
    }
    return (this.#explained.get(device) ?? new IntervalSet()).subtract(stored).encode();
  }
}

/** Random appends by two receivers of three devices, and a grinder that is killed at random. */
class Simulation implements AsyncDisposable {
  #agesMs = 0;
  readonly mill = new Mill({ nowMs: () => Date.now() + this.#agesMs });
  readonly twin = new Twin();
  readonly #random: () => number;
  readonly #receivers: TestReceiver[] = [];
  readonly #sent: Array<{ device: string; records: string }> = [];
  readonly #nextSeq = new Map<string, number>();
  #steps = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mill[Symbol.asyncDispose]();
  }

  async run(steps: number): Promise<void> {
    for (const name of ["r0", "r1"]) this.#receivers.push(await this.mill.receiver(name));
    for (; this.#steps < steps; this.#steps++) {
      const what = this.#random();
      if (what < 0.6) await this.#append();
      else if (what < 0.63) await this.#restartReceiver();
      else if (what < 0.66) this.#agesMs += limits.segmentAgeMsMax + 1;
      else await this.#grind();
    }
    this.mill.reopen();
    await this.mill.grindAll();
  }

  async #append(): Promise<void> {
    const device = `d${this.#below(3)}`;
    const records = this.#chance(0.7) ? this.#news(device) : this.#resend(device);
    const given = { device, recvUs: bootUs + lastUsecOf(records) + 1e6 };
    await this.#receivers[this.#below(2)]!.store(block(records, given));
    this.twin.store(device, records);
    this.#sent.push({ device, records });
  }

  #news(device: string): string {
    let seq = this.#nextSeq.get(device) ?? 0;
    let records = "";
    if (this.#chance(0.15)) {
      const count = 1 + this.#below(8);
      const gap = { first: seq, last: seq + count - 1, count, cause: "overrun" } as const;
      seq += count;
      records += gapLine(seq, recordUs(seq), gap);
    }
    const end = seq + this.#below(12);
    this.#nextSeq.set(device, end);
    return records + this.#lines(seq, end - 1) + this.#sync(end);
  }

  /** A block as it was, or any stretch of what had a seq: also what a gap spoke of. */
  #resend(device: string): string {
    const own = this.#sent.filter((sent) => sent.device === device);
    if (own.length > 0 && this.#chance(0.6)) return own[this.#below(own.length)]!.records;
    const first = this.#below(this.#nextSeq.get(device) ?? 1);
    const last = Math.min(first + this.#below(30), (this.#nextSeq.get(device) ?? 0) - 1);
    return this.#lines(first, last) + this.#sync(last + 1);
  }

  async #restartReceiver(): Promise<void> {
    const i = this.#below(2);
    if (this.#chance(0.5)) await this.#receivers[i]!.queue.close();
    this.#receivers[i] = await this.mill.receiver(`r${i}`);
  }

  async #grind(): Promise<void> {
    const { mill } = this;
    const most = this.#chance(0.5) ? Infinity : this.#below(4);
    const done = most === Infinity ? this.#chance(0.5) ? "all" : "end" : "batch";
    const work = async () => {
      await mill.take(most);
      if (this.#chance(0.8)) mill.grind.commit(midnightMs, done);
    };
    if (!this.#chance(0.4)) return await work();
    mill.reopen();
    await diesIn(mill, this.#below(60), work);
    mill.reopen();
  }

  #sync(seq: number): string {
    return syncLine(seq, recordUs(seq), bootUs + recordUs(seq));
  }

  #lines(first: number, last: number): string {
    let all = "";
    for (let seq = first; seq <= last; seq++) all += line(seq, textOf(seq), recordUs(seq));
    return all;
  }

  #chance(p: number): boolean {
    return this.#random() < p;
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }
}

test(
  "a grinder's outputs equal its naive twin's, whatever is sent, lost, resent and killed",
  async () => {
    for (let seed = 1; seed <= 8; seed++) {
      await using simulation = new Simulation(seed);
      await simulation.run(150);
      const { mill, twin } = simulation;
      const events = mill.events().map(({ device, seq, rule, time }) =>
        rule === "gap" ? `${device} ${seq} gap` : `${device} ${seq} ${rule} ${time}`
      );
      expect([seed, ...events.sort()]).toEqual([seed, ...twin.events()]);
      const aggregates = [...finalAggregates(mill.aggregates())].map(([key, a]) =>
        `${key} ${a.count} ${a.devices} ${a.sum ?? 0}`
      );
      expect([seed, ...aggregates.sort()]).toEqual([seed, ...twin.aggregates()]);
      const revs = mill.aggregates().map((a) =>
        JSON.stringify([a.window, a.rule, a.labels, a.rev])
      );
      expect([seed, new Set(revs).size]).toEqual([seed, revs.length]);
      for (const device of ["d0", "d1", "d2"]) {
        const missing = mill.stream(`${device} kmsg b1`) ? mill.missing(`${device} kmsg b1`) : "";
        expect([seed, device, missing]).toEqual([seed, device, twin.missing(device)]);
      }
    }
  },
  60_000,
);
