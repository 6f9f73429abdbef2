/** The views of `deno task sql`, held against the verifier's own counts of what a simulated fleet said. */
import { spawnSync } from "node:child_process";
import { cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { block, gapLine, lines, TestReceiver } from "../grinder/fixtures.ts";
import { extract, type Rule } from "../grinder/rule.ts";
import { loadRules } from "../grinder/load_rules.ts";
import { unescapeText } from "../shared/record.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { TemporaryFolder } from "./fixtures.ts";
import { Fleet } from "./fleet/fleet.ts";
import {
  denoPath,
  grinderPermissions,
  killAll,
  root,
  startGrinder,
  startReceiver,
} from "./programs.ts";
import { StoredStreams } from "./verify/streams.ts";
import { type Verdict, verify } from "./verify/verify.ts";

const folder = new TemporaryFolder();
const data = folder.path;
const rulesPath = join(root, "rules.ts");
const permissions = [...grinderPermissions.slice(1), "--allow-ffi"];

/** What the verifier counts. */
let verdict: Verdict;
const expected = {
  /** Of each rule. */
  events: new Map<string, number>(),
  /** Of each `DEVICE BOOT SOURCE STREAM`. */
  records: new Map<string, number>(),
  explained: new Map<string, number>(),
};
const fleets: Fleet[] = [];

/** Devices that log for some seconds, with connections that break, to a receiver of that name. */
async function simulate(prefix: string, seed: number): Promise<void> {
  const receiver = await startReceiver(data, "--port", "0", "--name", prefix);
  const fleet = new Fleet({
    ...{ receivers: [receiver.url], devices: 12, bytesPerSecond: 8_000, prefix, seed },
    ...{ rebootSeconds: 4, cutSeconds: 2, allowList: join(data, "devices") },
    journalPath: join(data, `${prefix}.jsonl`),
  });
  await fleet.start();
  await sleep(5_000);
  expect(await fleet.stop()).toBe(true);
  expect(await receiver.program.stop()).toBe(0);
  fleets.push(fleet);
}

/** Gaps of all causes: within some seconds simulated devices have none. */
async function storeGaps(): Promise<void> {
  const receiver = new TestReceiver(await new FolderStorage(data).createEpoch("gaps"));
  const gap = (first: number, cause: "overrun" | "evicted" | "ratelimit" | "refused" | "lost") =>
    gapLine(first + 5, 1, { first, last: first + 4, count: 5, cause });
  await receiver.store(
    block(lines(0, 9) + gap(10, "overrun") + lines(15, 19) + gap(20, "evicted") + lines(25, 25)),
    block(lines(0, 0) + gap(1, "ratelimit") + gap(6, "refused") + lines(11, 11), { device: "d2" }),
    block(lines(0, 4) + gap(5, "lost") + lines(7, 20), { device: "d3" }),
  );
  await receiver.queue.close();
}

/** All that one receiver has stored, once more by another one. */
function sendAgain(from: string, as: string): void {
  const [epoch] = readdirSync(join(data, "segments", from));
  cpSync(join(data, "segments", from, epoch!), join(data, "segments", as, epoch!), {
    recursive: true,
  });
}

async function grind(): Promise<void> {
  const grinder = await startGrinder(data, "--once", "--rules", rulesPath);
  expect(await grinder.exited()).toBe(0);
}

function deno(program: string, ...args: string[]): string {
  const words = ["run", ...permissions, program, "--data", data, ...args];
  const { status, stdout, stderr } = spawnSync(denoPath, words, { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr}`);
  return stdout;
}

type Row = Record<string, string | number | Record<string, string>>;

function rows(query: string): Row[] {
  return deno("grinder/sql/main.ts", query, "--json").split("\n").slice(0, -1)
    .map((line) => JSON.parse(line));
}

function counts(query: string): Map<string, number> {
  return new Map(rows(query).map(({ name, n }) => [String(name), Number(n)]));
}

const sorted = (counts: Map<string, number>) => new Map([...counts].sort());
const streamName = "device || ' ' || boot || ' ' || source || ' ' || stream";

async function countAsTheVerifier(): Promise<void> {
  const rules: Rule[] = await loadRules(rulesPath);
  const streams = new StoredStreams(({ record }) => {
    for (const rule of rules) {
      if (!extract(rule, unescapeText(record.text))) continue;
      expected.events.set(rule.name, (expected.events.get(rule.name) ?? 0) + 1);
    }
  });
  await streams.read(new FolderStorage(data));
  verdict = await verify({ data, rules: rulesPath });
  for (const { device, boot, source, stream, records, explained } of verdict.streams) {
    const name = `${device} ${boot} ${source} ${stream}`;
    expected.records.set(name, records);
    expected.explained.set(name, explained);
  }
}

beforeAll(async () => {
  await simulate("a", 1);
  await storeGaps();
  await grind();
  deno("grinder/archive/main.ts", "--partitions", "3", "--memory", "128");
  await simulate("b", 2);
  sendAgain("a", "a-again");
  sendAgain("gaps", "gaps-again");
  // Some windows are told anew: of the same minute, with the same labels.
  await grind();
  await countAsTheVerifier();
}, 60_000);

afterAll(() => {
  killAll();
  folder[Symbol.dispose]();
});

describe("under a simulated fleet, half of it archived and all of that sent again", () => {
  test("the verifier finds enough to count, and nothing wrong", () => {
    const { records, resent, events, explained } = verdict.totals;
    expect(verdict.ok).toBe(true);
    expect(records).toBeGreaterThan(3_000);
    expect(resent).toBeGreaterThan(1_000);
    expect(events).toBeGreaterThan(50);
    // Of d3's gap three are stored all the same.
    expect(explained).toBe(22);
    const acked = fleets.reduce((sum, fleet) => sum + fleet.stats().acked, 0);
    expect(records - acked).toBe(16 + 2 + 19);
  });

  test("records has as many of each stream as the verifier, and each once", () => {
    const query = `select ${streamName} as name, count(*) as n, count(distinct seq) as seqs
      from records group by all`;
    const found = rows(query);
    expect(sorted(new Map(found.map(({ name, n }) => [String(name), Number(n)]))))
      .toEqual(sorted(expected.records));
    for (const { n, seqs } of found) expect(seqs).toBe(n!);
  });

  test("meta has each gap record once, though it was sent twice", () => {
    expect(counts("select device as name, count(*) as n from meta where flag = 'g' group by all"))
      .toEqual(new Map([["d1", 2], ["d2", 2], ["d3", 1]]));
  });

  test("events has as many of each rule as its regex matches the verifier's records", () => {
    const names = [...expected.events.keys()].map((name) => `'${name}'`).join(", ");
    const found = counts(
      `select rule as name, count(*) as n from events where rule in (${names}) group by all`,
    );
    expect(sorted(found)).toEqual(sorted(expected.events));
    expect([...found.values()].reduce((a, b) => a + b)).toBe(verdict.totals.events);
  });

  test("aggregates counts the same events, in as many windows and labels, as last corrected", () => {
    const names = [...expected.events.keys()].map((name) => `'${name}'`).join(", ");
    const query = `select rule as name, sum(count)::bigint as n, count(*) as lines from aggregates
      where rule in (${names}) group by all`;
    const found = rows(query);
    expect(sorted(new Map(found.map(({ name, n }) => [String(name), Number(n)]))))
      .toEqual(sorted(expected.events));
    expect(found.reduce((sum, { lines }) => sum + Number(lines), 0))
      .toBe(verdict.totals.aggregates);
  });

  test("devices has those that were let in, with their labels", () => {
    const found = rows("select name, labels from devices order by name");
    const allowed = fleets.flatMap((fleet) => fleet.allowed);
    expect(found).toEqual(allowed.map(({ name, labels }) => ({ name, labels })));
  });

  test("ledger has of each stream what is stored and explained as the verifier has", () => {
    const causes = ["overrun", "evicted", "ratelimit", "refused", "lost", "other"];
    const query = `select ${streamName} as name, stored, ${causes.join(" + ")} as explained,
      ${causes.join(", ")}, unexplained from ledger`;
    const found = rows(query);
    const column = (of: string) =>
      new Map(found.map((row) => [String(row["name"]), Number(row[of])]));
    expect(sorted(column("stored"))).toEqual(sorted(expected.records));
    expect(sorted(column("explained"))).toEqual(sorted(expected.explained));
    expect([...column("unexplained").values()].every((n) => n === 0)).toBe(true);
    const [d1, d2, d3] = ["d1", "d2", "d3"].map((name) =>
      causes.map((cause) => found.find((row) => String(row["name"]).startsWith(`${name} `))![cause])
    );
    expect([d1, d2, d3]).toEqual([
      [5, 5, 0, 0, 0, 0],
      [0, 0, 5, 5, 0, 0],
      [0, 0, 0, 0, 2, 0],
    ]);
  });
});
