import { spawnSync } from "node:child_process";
import { existsSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "bun:test";
import { hasRead, parseCursorNote } from "../shared/storage/cursors.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { FolderNotes } from "../shared/storage/folder_notes.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { seededRandom } from "../tests/fleet/random.ts";
import { denoPath, grinderPermissions, Program, root } from "../tests/programs.ts";
import {
  type AggregateLine,
  block,
  type EventLine,
  finalAggregates,
  gapLine,
  line,
  lines,
  noonUs,
  readLines,
  syncLine,
  TestReceiver,
} from "./fixtures.ts";

const args = (
  ...options: string[]
) => ["run", ...grinderPermissions, "grinder/main.ts", ...options];

/** Runs a grinder to its end. */
function run(...options: string[]) {
  return spawnSync(denoPath, args(...options), { cwd: root, encoding: "utf8" });
}

/** A folder with a storage and a rules file; grinders are started on them. */
class Bench extends TemporaryFolder implements AsyncDisposable {
  readonly storage = new FolderStorage(this.path);
  readonly rules = join(this.path, "rules.ts");
  readonly options = ["--data", this.path, "--rules", this.rules];
  readonly #receivers: TestReceiver[] = [];
  #saves = 0;

  constructor() {
    super();
    this.saveRules(
      `rule("link", /link (?<way>\\w+) on/, { labels: ["way"], yes: ["link up on x"] }),
      rule("took", /took (?<ms>\\d+) ms/, { value: "ms", yes: ["took 3 ms"] })`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { queue } of this.#receivers) await queue.close();
    this[Symbol.dispose]();
  }

  saveRules(rules: string): void {
    const from = JSON.stringify(join(root, "grinder/rule.ts"));
    writeFileSync(this.rules, `import { rule } from ${from};\nexport default [${rules}];\n`);
    // Two writes can fall into one tick of the file system's clock.
    const atS = Date.now() / 1000 + this.#saves++;
    utimesSync(this.rules, atS, atS);
  }

  async receiver(name: string): Promise<TestReceiver> {
    const receiver = new TestReceiver(await this.storage.createEpoch(name));
    this.#receivers.push(receiver);
    return receiver;
  }

  async start(): Promise<Program> {
    const grinder = new Program("grinder", denoPath, args(...this.options));
    await grinder.says(/\d+ rules, from/);
    return grinder;
  }

  events(): EventLine[] {
    return readLines<EventLine>(join(this.path, "events"));
  }

  aggregates(): AggregateLine[] {
    return readLines<AggregateLine>(join(this.path, "aggregates"));
  }

  /** While a grinder writes, the last line may be half there. */
  async untilEvents(holds: (events: EventLine[]) => boolean): Promise<void> {
    for (let turn = 0; turn < 1_000; turn++) {
      try {
        if (holds(this.events())) return;
      } catch { /* Half a line: look again. */ }
      await sleep(10);
    }
    throw new Error("the events didn't come");
  }
}

describe("the grinder as a program", () => {
  test("says by --help what its options are, with units and defaults", () => {
    const { status, stdout } = run("--help");
    expect(status).toBe(0);
    expect(stdout).toContain("deno task grind [OPTIONS]");
    expect(stdout).toMatch(
      /--data PLACE +where the segments are: a folder, or s3:.* \(default: \.\/data\)/,
    );
    expect(stdout).toMatch(/--out FOLDER .*\(default: --data, or .*\)/);
    expect(stdout).toMatch(/--rules FILE .*\(default: \.\/rules\.ts\)/);
    expect(stdout).toMatch(/--window S .*\(default: 60\)/);
    expect(stdout).toMatch(/--once /);
  });

  for (const window of ["0", "0.5", "x", "-1"]) {
    test(`refuses a window of ${window} seconds`, async () => {
      await using bench = new Bench();
      const { status, stderr } = run(...bench.options, `--window=${window}`);
      expect(status).toBe(2);
      expect(stderr).toMatch(/Cannot (use|read) --window because it must be /);
      expect(existsSync(join(bench.path, "grinder.sqlite"))).toBe(false);
    });
  }

  const broken: Array<[what: string, rules: string, said: string]> = [
    ["throws", '(() => { throw new Error("no such city") })()', "Error: no such city"],
    [
      "has a yes line that doesn't match",
      'rule("link", /link up/, { yes: ["link down"] })',
      'rule "link": a yes line must match /link up/: "link down" doesn\'t',
    ],
  ];
  for (const [what, rules, said] of broken) {
    test(`says why and writes nothing where the rules file ${what}`, async () => {
      await using bench = new Bench();
      const receiver = await bench.receiver("r1");
      await receiver.store(block(lines(0, 9)));
      bench.saveRules(rules);
      const { status, stderr } = run(...bench.options, "--once");
      expect(status).toBe(1);
      expect(stderr).toStartWith(`grinder: Cannot load rules from ${bench.rules} because `);
      expect(stderr).toContain(said);
      for (const name of ["events", "aggregates", "grinder.sqlite"]) {
        expect([name, existsSync(join(bench.path, name))]).toEqual([name, false]);
      }
    });
  }

  test("takes up rules that were changed while it runs, and keeps the old where the new are broken", async () => {
    await using bench = new Bench();
    const receiver = await bench.receiver("r1");
    const grinder = await bench.start();
    try {
      await receiver.store(block(line(0, "link up on a")));
      await bench.untilEvents((events) => events.length === 1);
      bench.saveRules('rule("link", /link up/, { yes: ["link down"] })');
      await grinder.says(/The old rules stay\./);
      await receiver.store(block(line(1, "link up on b")));
      await bench.untilEvents((events) => events.length === 2);
      bench.saveRules('rule("port", /on (?<port>\\w+)/, { labels: ["port"], yes: ["on a"] })');
      await grinder.says(/rules\.ts read again: 1 rules/);
      await receiver.store(block(line(2, "link up on c")));
      await bench.untilEvents((events) => events.length === 3);
      expect(bench.events().map(({ rule }) => rule)).toEqual(["link", "link", "port"]);
    } finally {
      await grinder.stop();
    }
    const final = [...finalAggregates(bench.aggregates()).values()];
    expect(final.map(({ rule, count }) => `${rule} ${count}`).sort()).toEqual(["link 2", "port 1"]);
  });

  test("says the windows that are open when it is stopped", async () => {
    await using bench = new Bench();
    const receiver = await bench.receiver("r1");
    const grinder = await bench.start();
    const recvUs = Date.now() * 1000 + 3600e6;
    await receiver.store(block(syncLine(0, 0, recvUs) + line(0, "link up on a"), { recvUs }));
    await bench.untilEvents((events) => events.length === 1);
    expect(bench.aggregates()).toEqual([]);
    await grinder.stop();
    expect(bench.aggregates()).toMatchObject([{ rule: "link", count: 1, rev: 0 }]);
  });

  test("isn't held up by a regex that would try all there is, in any of its threads", async () => {
    await using bench = new Bench();
    const receiver = await bench.receiver("r1");
    bench.saveRules(
      `rule("link", /link (?<way>\\w+) on/, { labels: ["way"], yes: ["link up on x"] }),
      rule("bomb", /bomb: (?<x>(?:a|a|aa)+)b/, { labels: ["x"], yes: ["bomb: ab"] })`,
    );
    for (let seq = 0; seq < 20; seq++) {
      await receiver.store(block(line(seq, `link up on bomb: ${"a".repeat(60)}c`)));
    }
    for (const workers of ["0", "2"]) {
      const out = join(bench.path, workers);
      const options = [...bench.options, "--once", "--workers", workers, "--out", out];
      const { status } = spawnSync(denoPath, args(...options), { cwd: root, timeout: 20_000 });
      expect([workers, status]).toEqual([workers, 0]);
      expect(readLines<EventLine>(join(out, "events")).map(({ rule }) => rule)).toEqual(
        Array.from({ length: 20 }, () => "link"),
      );
    }
  });

  test("refuses to start beside another one on the same state, and says so in a line", async () => {
    await using bench = new Bench();
    const grinder = await bench.start();
    try {
      const { status, stderr } = run(...bench.options, "--once");
      expect(status).toBe(1);
      expect(stderr).toBe(
        `grinder: Cannot open ${bench.path}/grinder.sqlite because only one grinder can use it: ` +
          "another has it open\n",
      );
    } finally {
      await grinder.kill();
    }
    expect(run(...bench.options, "--once").status).toBe(0);
  });

  test("says in the storage how far it has read, under its name, but with --once only under a given one", async () => {
    await using bench = new Bench();
    const receiver = await bench.receiver("r1");
    await receiver.store(block(lines(0, 9)));
    const notes = new FolderNotes(bench.path);
    expect(run(...bench.options, "--once").status).toBe(0);
    expect(await notes.all()).toEqual(new Map());
    const grinder = await bench.start();
    await receiver.store(block(lines(10, 19)));
    while (bench.events().length < 20) await sleep(20);
    await grinder.stop();
    expect(run(...bench.options, "--once", "--name", "nightly").status).toBe(0);
    const all = await notes.all();
    expect([...all.keys()].sort()).toEqual([hostname(), "nightly"].sort());
    const [extent] = await bench.storage.list(new Map());
    for (const text of all.values()) {
      expect(hasRead(parseCursorNote(text)!, extent!, extent!.length)).toBe(true);
    }
    const refused = run(...bench.options, "--name", "a/b");
    expect([refused.status, refused.stderr]).toEqual([
      2,
      "grinder: Cannot use --name a/b because it must be letters, digits and ._:@+-\n",
    ]);
  });

  test("sets a state aside that isn't one, says so, and goes on", async () => {
    await using bench = new Bench();
    const receiver = await bench.receiver("r1");
    await receiver.store(block(lines(0, 9)));
    expect(run(...bench.options, "--once").status).toBe(0);
    writeFileSync(join(bench.path, "grinder.sqlite"), "garbage ".repeat(1000));
    const { status, stderr } = run(...bench.options, "--once");
    expect(status).toBe(0);
    expect(stderr).toContain("All is ground again; set aside as *.before-");
    expect(bench.events()).toHaveLength(10);
  });

  test(
    "killed ten times at random moments while segments are written counts each record once",
    async () => {
      await using bench = new Bench();
      const random = seededRandom(20261122);
      const below = (n: number) => Math.floor(random() * n);
      const receivers = [await bench.receiver("r1"), await bench.receiver("r2")];
      const sent: string[] = [];
      let seq = 0;
      let writing = true;
      const write = async () => {
        while (writing) {
          const count = 1 + below(40);
          const gap = gapLine(seq + 2, 0, { first: seq, last: seq + 1, count: 2, cause: "lost" });
          const sync = syncLine(seq, seq * 1e5, noonUs - 36_000e6 + seq * 1e5);
          let text = sync + (below(10) === 0 ? gap : "");
          for (let i = 0; i < count; i++, seq++) {
            text += line(seq, seq % 2 ? `took ${seq} ms` : "link up on a", seq * 1e5);
          }
          sent.push(block(text));
          await receivers[below(2)]!.store(sent.at(-1)!);
          if (below(3) === 0) await receivers[below(2)]!.store(sent[below(sent.length)]!);
          if (below(20) === 0) receivers[below(2)] = await bench.receiver("r1");
          await sleep(below(8));
        }
      };
      const written = write();
      for (let kills = 0; kills < 10; kills++) {
        const grinder = await bench.start();
        await sleep(below(250));
        await grinder.kill();
      }
      writing = false;
      await written;
      const { status, stderr } = run(...bench.options, "--once");
      expect([status, stderr.split("\n").length]).toEqual([0, 2]);

      const events = bench.events();
      const places = events.map((e) => `${e.segment} ${e.offset} ${e.line} ${e.rule}`);
      expect(new Set(places).size).toBe(events.length);
      const seqs = events.filter(({ rule }) => rule !== "gap").map((event) => event.seq);
      expect(seqs.sort((a, b) => a - b)).toEqual(Array.from({ length: seq }, (_, i) => i));
      const gaps = sent.filter((text) => text.includes(",g,")).length;
      expect(events.length - seqs.length).toBe(gaps);
      const revs = bench.aggregates().map((a) => `${a.window} ${a.rule} ${a.rev}`);
      expect(new Set(revs).size).toBe(revs.length);
      const final = [...finalAggregates(bench.aggregates()).values()];
      for (const rule of ["link", "took"]) {
        const own = events.filter((event) => event.rule === rule);
        const counted = final.filter((aggregate) => aggregate.rule === rule);
        const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
        expect([rule, sum(counted.map(({ count }) => count))]).toEqual([rule, own.length]);
        expect([rule, sum(counted.map((a) => a.sum ?? 0))]).toEqual(
          [rule, sum(own.map(({ value }) => value ?? 0))],
        );
      }
    },
    120_000,
  );

  test("runs as the task in deno.json, with its options", async () => {
    await using bench = new Bench();
    const receiver = await bench.receiver("r1");
    await receiver.store(block(lines(0, 9)));
    const task = ["task", "grind", "--data", bench.path, "--once"];
    const { status, stderr } = spawnSync(denoPath, task, { cwd: root, encoding: "utf8" });
    expect(stderr).toContain(`rules, from ${bench.path} to ${bench.path}`);
    expect(status).toBe(0);
    expect(existsSync(join(bench.path, "grinder.sqlite"))).toBe(true);
  });
});
