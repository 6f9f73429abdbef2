/**
 * The grinder as a program, in one thread and in several, on storage and rules that are as bad as they
 * can be: what is bad is set aside, counted and named, and all the rest comes out.
 */
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Database } from "bun:sqlite";
import type { Subprocess } from "bun";
import { afterAll, describe, expect, test } from "bun:test";
import {
  type AggregateLine,
  block,
  type EventLine,
  finalAggregates,
  line,
  lines,
  noonUs,
  readLines,
  seqsOf,
  syncLine,
  TestReceiver,
} from "../grinder/fixtures.ts";
import { limits } from "../shared/limits.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { segmentPath } from "../shared/storage/storage.ts";
import { TemporaryFolder } from "./fixtures.ts";
import { denoPath, grinderPermissions, root } from "./programs.ts";

const yearUs = 365 * 86_400e6;
const linkRule = 'rule("link", /link (?<way>\\w+) on/, { labels: ["way"], yes: ["link up on a"] })';
/** LOGMILL_LABEL_VALUES=1000000 says a million. */
const labelValues = Number(process.env["LOGMILL_LABEL_VALUES"] ?? 50_000);

/** One that hangs, as a test must be able to find out, is killed in the end. */
const children = new Set<Subprocess>();
afterAll(() => children.forEach((child) => child.kill("SIGKILL")));

/** What a grinder that ran to its end has left. */
interface Ground {
  cpuSeconds: number;
  rssMiB: number;
  said: string;
  events: EventLine[];
  aggregates: AggregateLine[];
  counters: Record<string, number>;
  newestRecvUs: number;
}

/** A folder with a storage and a rules file. */
class Place extends TemporaryFolder {
  readonly storage = new FolderStorage(this.path);
  readonly rules = join(this.path, "rules.ts");

  constructor(rules = linkRule) {
    super();
    const from = JSON.stringify(join(root, "grinder/rule.ts"));
    writeFileSync(this.rules, `import { rule } from ${from};\nexport default [${rules}];\n`);
  }

  /** A receiver that has ended, with a frame for each of these blocks. */
  async stored(name: string, blocks: Iterable<string>): Promise<void> {
    const receiver = new TestReceiver(await this.storage.createEpoch(name));
    for (const text of blocks) await receiver.store(text);
    await receiver.queue.close();
  }

  /** A segment's path, and where its frames begin. */
  async frames(receiver: string): Promise<{ path: string; offsets: number[] }> {
    const extents = await this.storage.list(new Map());
    const extent = extents.find((one) => one.receiver === receiver)!;
    const path = join(this.path, segmentPath(extent));
    const bytes = readFileSync(path);
    const magic = bytes.subarray(0, 4);
    const offsets: number[] = [];
    for (let at = 0; at >= 0; at = bytes.indexOf(magic, at + 1)) offsets.push(at);
    return { path, offsets };
  }

  async grind(workers: number): Promise<Ground> {
    const out = join(this.path, `out-${workers}`);
    const options = ["--data", this.path, "--out", out, "--once", "--workers", String(workers)];
    const program = ["run", ...grinderPermissions, "grinder/main.ts"];
    const child = Bun.spawn([denoPath, ...program, ...options, "--rules", this.rules], {
      cwd: root,
      stdio: ["ignore", "ignore", "pipe"],
    });
    children.add(child);
    let rssMiB = 0;
    const watch = setInterval(() => rssMiB = Math.max(rssMiB, residentMiB(child.pid)), 20);
    const said = await new Response(child.stderr).text();
    const status = await child.exited;
    clearInterval(watch);
    expect([status, said]).toEqual([0, said]);
    const cpuSeconds = Number(child.resourceUsage()!.cpuTime.total) / 1e6;
    return { cpuSeconds, rssMiB, said, ...outputs(out) };
  }
}

/** The most so far. */
function residentMiB(pid: number): number {
  try {
    const [, kiB] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
    return Number(kiB ?? 0) / 1024;
  } catch {
    return 0;
  }
}

function outputs(out: string): Pick<Ground, "events" | "aggregates" | "counters" | "newestRecvUs"> {
  using db = new Database(join(out, "grinder.sqlite"), { readonly: true });
  const all = <Row>(sql: string) => db.query(sql).all() as Row[];
  const counters = all<{ name: string; value: number }>("SELECT * FROM counters");
  const [newest] = all<{ us: number }>("SELECT us FROM marks WHERE name = 'newest_recv_us'");
  return {
    events: readLines<EventLine>(join(out, "events")),
    aggregates: readLines<AggregateLine>(join(out, "aggregates")),
    counters: Object.fromEntries(counters.map(({ name, value }) => [name, value])),
    newestRecvUs: newest!.us,
  };
}

/** A block for each ten seqs. */
function tens(count: number, given: Parameters<typeof block>[1] = {}): string[] {
  return Array.from({ length: count }, (_, i) => block(lines(10 * i, 10 * i + 9), given));
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

const ofDevice = (ground: Ground, device: string) =>
  seqsOf(ground.events.filter((event) => event.device === device));

describe("the grinder as a program", () => {
  for (const workers of [0, 2]) {
    test(`with ${workers} workers sets a corrupt frame aside and grinds the rest`, async () => {
      using place = new Place();
      await place.stored("r1", tens(100));
      await place.stored("r2", tens(100, { device: "d2" }));
      const { path, offsets } = await place.frames("r1");
      const bytes = readFileSync(path);
      // In the middle of its frame, whose header is as it was.
      bytes[Math.floor((offsets[50]! + offsets[51]!) / 2)]! ^= 0x55;
      writeFileSync(path, bytes);
      const ground = await place.grind(workers);
      expect(ofDevice(ground, "d1")).toEqual([...range(0, 499), ...range(510, 999)]);
      expect(ofDevice(ground, "d2")).toEqual(range(0, 999));
      expect(ground.counters).toMatchObject({ records: 1_990, damaged_frames: 1 });
      const length = offsets[51]! - offsets[50]!;
      expect(ground.said).toContain(`zst at ${offsets[50]}: ${length} bytes set aside: `);
    });

    test(`with ${workers} workers takes what is left of a segment that shrank`, async () => {
      using place = new Place();
      await place.stored("r1", tens(100));
      await place.stored("r2", tens(100, { device: "d2" }));
      const { path, offsets } = await place.frames("r1");
      truncateSync(path, offsets[40]! + 20);
      const ground = await place.grind(workers);
      expect(ofDevice(ground, "d1")).toEqual(range(0, 399));
      expect(ofDevice(ground, "d2")).toEqual(range(0, 999));
      expect(ground.counters).toMatchObject({ records: 1_400, damaged_frames: 1 });
    });

    test(`with ${workers} workers isn't led astray by a segment from the future`, async () => {
      using place = new Place();
      const nowUs = Date.now() * 1000;
      const ahead = { recvUs: nowUs + yearUs, device: "d2" };
      await place.stored("r1", tens(10, ahead));
      // Windows of hours ago would be closed before the next block comes, if it were next year.
      const past = (i: number) => ({ recvUs: nowUs - 3_600e6 + i * 1e6 });
      const blocks = range(0, 9).map((i) => {
        const bootUs = nowUs - 3_600e6 - 1_000e6;
        const sync = syncLine(10 * i, 10 * i * 1e6, bootUs + 10 * i * 1e6);
        return block(sync + lines(10 * i, 10 * i + 9), past(i));
      });
      await place.stored("r2", blocks);
      const ground = await place.grind(workers);
      expect(ofDevice(ground, "d2")).toEqual(range(0, 99));
      expect(ofDevice(ground, "d1")).toEqual(range(0, 99));
      expect(ground.aggregates.every(({ rev }) => rev === 0)).toBe(true);
      expect(ground.aggregates.reduce((sum, { count }) => sum + count, 0)).toBe(200);
      expect(ground.counters["too_late_events"]).toBeUndefined();
      expect(ground.newestRecvUs).toBeLessThan(Date.now() * 1000);
    });

    test(`with ${workers} workers knows a clock that jumps back and forth from a good one`, async () => {
      using place = new Place();
      const bootUs = noonUs - 1_000e6;
      const jumps = [-50 * yearUs, yearUs, 0, -3_600e6, 86_400e6];
      const jumping = range(0, 49).map((i) => {
        const usec = 10 * i * 1e6;
        const recvUs = bootUs + usec + 10e6;
        const jumpUs = jumps[i % jumps.length]!;
        // It says that it is right, whatever it is.
        const sync = syncLine(10 * i, usec, bootUs + usec + jumpUs, true);
        return block(sync + lines(10 * i, 10 * i + 9), { recvUs });
      });
      await place.stored("r1", jumping);
      await place.stored("r2", [
        block(lines(0, 99) + syncLine(100, 99e6, bootUs + 99e6), {
          device: "d2",
          recvUs: bootUs + 100e6,
        }),
      ]);
      const ground = await place.grind(workers);
      expect(ofDevice(ground, "d1")).toEqual(range(0, 499));
      for (const { device, usec, time, rule } of ground.events) {
        if (rule !== "link") continue;
        const wrongMs = Date.parse(time) - (bootUs + usec) / 1000;
        // Until it says a good time for the first time, records are dated by when they came.
        const mostMs = device === "d1" ? 20_000 : 50;
        expect([device, usec, Math.abs(wrongMs) <= mostMs]).toEqual([device, usec, true]);
      }
    });
  }

  test("is bounded in time by a rule that would try all there is", async () => {
    const bad = "bomb: (?<x>(?:a|a|aa)+)b";
    const cpuSeconds: number[] = [];
    for (const regex of ["bomb: (?<x>a+)b", bad]) {
      using place = new Place(`rule("bomb", /${regex}/, { labels: ["x"], yes: ["bomb: ab"] })`);
      const text = `bomb: ${"a".repeat(200)}`;
      await place.stored("r1", [
        block(lines(0, 499, `${text}c`) + line(500, `${text}b`)),
      ]);
      const ground = await place.grind(1);
      expect(seqsOf(ground.events, "bomb")).toEqual([500]);
      cpuSeconds.push(ground.cpuSeconds);
    }
    const [good, bomb] = cpuSeconds as [number, number];
    expect(bomb - good).toBeLessThan(500 * 0.02);
  }, 60_000);

  test(
    `holds a label of ${labelValues} values in bounded memory, and names it`,
    async () => {
      const rules = 'rule("seen", /seen (?<station>\\w+) by/, ' +
        '{ labels: ["station"], yes: ["seen x by me"] })';
      const grounds: Ground[] = [];
      for (const different of [1, labelValues]) {
        using place = new Place(rules);
        const blocks = range(0, labelValues / 1_000 - 1).map((i) => {
          const all = range(1_000 * i, 1_000 * i + 999);
          const texts = all.map((seq) => line(seq, `seen s${seq % different} by me`, 1_000 * seq));
          return block(syncLine(1_000 * i, 1e6 * i, noonUs + 1e6 * i) + texts.join(""), {
            recvUs: noonUs + 1e6 * i + 1e6,
          });
        });
        await place.stored("r1", blocks);
        grounds.push(await place.grind(1));
      }
      const [one, many] = grounds as [Ground, Ground];
      expect(many.events).toHaveLength(labelValues);
      expect(many.said).toMatch(/rule seen: more than 1000 label sets .*station/);
      const windows = Map.groupBy(finalAggregates(many.aggregates).values(), (a) => a.window);
      for (const [, all] of windows) {
        expect(all.length).toBeLessThanOrEqual(limits.labelSetsMax + 1);
        expect(all.filter(({ labels }) => labels["station"] === "other")).toHaveLength(1);
      }
      const counted = [...finalAggregates(many.aggregates).values()];
      expect(counted.reduce((sum, { count }) => sum + count, 0)).toBe(labelValues);
      expect(many.rssMiB - one.rssMiB).toBeLessThan(100);
      console.log(
        `a label of ${labelValues} values: ${many.cpuSeconds.toFixed(1)} CPU s and ` +
          `${many.rssMiB.toFixed(0)} MiB; of one: ${one.cpuSeconds.toFixed(1)} and ` +
          `${one.rssMiB.toFixed(0)}`,
      );
    },
    300_000,
  );
});
