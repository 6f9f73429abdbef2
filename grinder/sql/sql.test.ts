import { Buffer } from "node:buffer";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { compressFrame } from "../../shared/zstd.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { StoredStreams } from "../../tests/verify/streams.ts";
import { verify } from "../../tests/verify/verify.ts";
import { Archiver } from "../archive/archiver.ts";
import { FolderPlace } from "../archive/place_folder.ts";
import {
  block,
  finalAggregates,
  gapLine,
  line,
  lines,
  Mill,
  noonUs,
  syncLine,
} from "../fixtures.ts";
import { prepare } from "./prepare.ts";
import { resultText } from "./result_text.ts";

const everything = { sinceUs: 0, untilUs: Number.MAX_SAFE_INTEGER };

class SqlMill extends Mill {
  readonly said: string[] = [];
  readonly place = new FolderPlace(this.folder.path);

  constructor() {
    super({ nowMs: () => noonUs / 1000 });
  }

  /** An epoch with a frame for each, closed. */
  async receive(frames: string[], receiver = "r1"): Promise<void> {
    const epoch = await this.storage.createEpoch(receiver);
    for (const text of frames) await epoch.commit([compressFrame(Buffer.from(text, "latin1"))]);
    await epoch.close();
  }

  async archive(): Promise<void> {
    await new Archiver({
      storage: this.storage,
      place: this.place,
      scratch: join(this.folder.path, "scratch"),
      partitions: 3,
      memoryBytes: 256e6,
      nowMs: () => noonUs / 1000,
      random: seededRandom(1),
      report: (text) => this.said.push(text),
    }).run();
  }

  async rows(query: string, range = everything): Promise<Array<Record<string, unknown>>> {
    using scratch = new TemporaryFolder();
    const place = { data: this.folder.path, out: this.out, range, memoryBytes: 256e6 };
    const warn = (text: string) => void this.said.push(text);
    const options = { ...place, warn, progress: () => {} };
    using session = await prepare(query, scratch.path, options);
    let all = "";
    for await (const text of resultText(await session.query(query), "json")) all += text;
    return all.split("\n").slice(0, -1).map((text) => JSON.parse(text));
  }
}

/** Blocks of some devices: records in any order, again and again, gaps, clock records, raw lines. */
function randomFrames(random: () => number, count: number): string[] {
  const pick = (below: number) => Math.floor(random() * below);
  return Array.from({ length: count }, () => {
    const device = `d${pick(4)}`;
    const source = pick(3) === 0 ? "app:x" : "kmsg";
    const names = { device, boot: "b1", source, stream: source === "kmsg" ? "b1" : "s1" };
    const first = pick(300);
    const last = first + pick(20);
    const kind = pick(9);
    const recvUs = noonUs + pick(7200) * 1e6;
    if (kind === 0) {
      const raw = { ...names, source: "raw", boot: "-", stream: "-", recvUs };
      return block("link up on raw0\ntwo\n", { ...raw, first: 0, last: 1, count: 2 });
    }
    if (kind === 1) {
      const gap = { first, last, count: last - first + 1, cause: "evicted" } as const;
      return block(gapLine(first, pick(1e6), gap), { ...names, recvUs });
    }
    if (kind === 2) return block(syncLine(first, first * 1e6, recvUs), { ...names, recvUs });
    return block(lines(first, last, `link ${kind % 2 ? "up" : "down"} on eth${kind}`), {
      ...names,
      recvUs,
    });
  });
}

/** Half of it archived, then more, ground; the rest is hot. */
async function someStore(seed: number): Promise<SqlMill> {
  const mill = new SqlMill();
  const random = seededRandom(seed);
  await mill.receive(randomFrames(random, 60));
  await mill.archive();
  await mill.receive(randomFrames(random, 60), "r2");
  await mill.grindAll();
  return mill;
}

async function verdictOf(mill: Mill) {
  const rules = join(mill.folder.path, "rules.ts");
  const fixtures = JSON.stringify(join(import.meta.dirname, "../fixtures.ts"));
  writeFileSync(rules, `import { rules } from ${fixtures};\nexport default rules;\n`);
  return await verify({ data: mill.folder.path, out: mill.out, rules });
}

describe("records", () => {
  test(
    "are each there once, of archive and hot segments, as the verifier counts them",
    async () => {
      for (let seed = 1; seed <= 4; seed++) {
        await using mill = await someStore(seed);
        const streams = new StoredStreams(() => {});
        await streams.read(mill.storage);
        const counted = await mill.rows(
          `select device, source, stream, count(*) as n, count(distinct seq) as seqs
         from records group by all order by all`,
        );
        const expected = [...streams.streams.values()].filter(({ stored }) => stored.count > 0)
          .map(({ device, source, stream, stored }) =>
            `${device} ${source} ${stream} ${stored.count}`
          );
        expect(counted.map(({ device, source, stream, n }) => `${device} ${source} ${stream} ${n}`))
          .toEqual(expected.sort());
        for (const { source, n, seqs } of counted) if (source !== "raw") expect(n).toBe(seqs);
        const { totals } = await verdictOf(mill);
        expect(await mill.rows("select count(*) as n from records")).toEqual([{
          n: totals.records,
        }]);
        expect(mill.said).toEqual([]);
      }
    },
    60_000,
  );

  test("say what was stored: text, level, the kernel's clock, and wall times by clock records", async () => {
    await using mill = new SqlMill();
    await mill.receive([
      block(
        syncLine(0, 1e6, noonUs) +
          "11,7,1100000,-;caf\\xc3\\xa9\n KEY=v\n4,8,1200000,c,caller=T1;x\n",
        { recvUs: noonUs + 1e6 },
      ),
    ]);
    expect(await mill.rows("select * exclude (recv) from records order by seq")).toMatchObject([
      {
        ...{ device: "d1", boot: "b1", source: "kmsg", stream: "b1", seq: 7, usec: 1_100_000 },
        ...{ time: "2026-11-22 12:00:00.1", prio: 11, level: 3, flag: "-", text: "caf\\xc3\\xa9" },
        ...{ fields: null, more: " KEY=v" },
      },
      { seq: 8, flag: "c", fields: "caller=T1", text: "x" },
    ]);
    expect(await mill.rows("select flag, fields from meta")).toEqual([
      { flag: "s", fields: `wall_us=${noonUs},synced=1` },
    ]);
  });

  test("are those of a range of receive time, archived or hot", async () => {
    await using mill = new SqlMill();
    const at = (minute: number) => ({ recvUs: noonUs + minute * 60e6 });
    await mill.receive([block(lines(0, 1), at(0)), block(lines(2, 4), at(30))]);
    await mill.archive();
    await mill.receive([block(lines(5, 8), at(60)), block(lines(3, 12), at(90))]);
    const range = { sinceUs: noonUs + 20 * 60e6, untilUs: noonUs + 80 * 60e6 };
    const sql = "select list(seq order by seq) as seqs from records";
    expect(await mill.rows(sql, range)).toEqual([{ seqs: ["2", "3", "4", "5", "6", "7", "8"] }]);
  });

  test("are those of many hours that aren't archived", async () => {
    await using mill = new SqlMill();
    const frames = Array.from(
      { length: 250 },
      (_, hour) => block(line(hour, "x"), { recvUs: noonUs + hour * 3600e6 }),
    );
    await mill.receive(frames);
    expect(await mill.rows("select count(*) as n, max(seq) as last from records"))
      .toEqual([{ n: 250, last: 249 }]);
  }, 60_000);

  test("of an archive file that is cut short are left out, which is said", async () => {
    await using mill = new SqlMill();
    await mill.receive([block(lines(0, 9)), block(lines(0, 9), { device: "d2" })]);
    await mill.archive();
    const { files } = JSON.parse(
      readFileSync(join(mill.folder.path, "archive/manifests/00000001.json"), "utf8"),
    ) as { files: Array<{ path: string; bytes: number; rows: number }> };
    truncateSync(join(mill.folder.path, files[0]!.path), files[0]!.bytes - 100);
    const rest = files.slice(1).reduce((sum, { rows }) => sum + rows, 0);
    expect(await mill.rows("select count(*) as n from records")).toEqual([{ n: rest }]);
    expect(mill.said.length).toBe(1);
    expect(mill.said[0]).toContain(`Cannot read ${files[0]!.path}: `);
  });
});

describe("the other views", () => {
  test("agree with the verifier: events, aggregates and the ledger", async () => {
    for (let seed = 1; seed <= 4; seed++) {
      await using mill = await someStore(seed);
      const { ok, totals } = await verdictOf(mill);
      expect({ ok, missing: totals.missingEvents }).toMatchObject({ missing: 0 });
      expect(await mill.rows("select count(*) as n from events where rule = 'link'"))
        .toEqual([{ n: totals.events }]);
      const [sums] = await mill.rows(
        "select count(*) as n, sum(count)::bigint as events from aggregates",
      );
      expect(sums).toEqual({ n: totals.aggregates, events: totals.events });
      const [ledger] = await mill.rows(
        `select sum(stored)::bigint as stored, sum(evicted)::bigint as evicted, sum(unexplained)::bigint as
         unexplained from ledger`,
      );
      const rawLines =
        (await mill.rows("select count(*) as n from records where source = 'raw'"))[0]!["n"];
      expect(ledger!["stored"]).toBe(totals.records - Number(rawLines));
      expect(ledger!["evicted"]).toBe(totals.explained);
      expect(Number(ledger!["unexplained"])).toBeGreaterThanOrEqual(totals.holes);
    }
  }, 60_000);

  test("have of each window what the last revision says, whatever order its labels are in", async () => {
    await using mill = new SqlMill();
    mkdirSync(join(mill.out, "aggregates"), { recursive: true });
    const said = (rev: number, labels: object, count: number) =>
      JSON.stringify({
        window: "2026-11-22T12:00:00Z",
        window_s: 60,
        rule: "link",
        labels,
        rev,
        count,
      }) + "\n";
    const [ab, ba] = [{ a: "1", b: "2" }, { b: "2", a: "1" }];
    writeFileSync(
      join(mill.out, "aggregates/20261122.jsonl"),
      said(0, ab, 1) + said(0, { a: "2" }, 9),
    );
    writeFileSync(join(mill.out, "aggregates/20261123.jsonl"), said(2, ba, 3) + said(1, ab, 2));
    const rows = await mill.rows(
      "select labels['a'] as a, rev, count, \"window\" from aggregates order by a",
    );
    expect(rows).toEqual([
      { a: "1", rev: 2, count: 3, window: "2026-11-22 12:00:00" },
      { a: "2", rev: 0, count: 9, window: "2026-11-22 12:00:00" },
    ]);
  });

  test("leave out the line that a grinder is about to write", async () => {
    await using mill = await someStore(1);
    const sql = "select count(*) as n, count(rule) as rules, min(time) as first from events";
    const whole = await mill.rows(sql);
    const [file] = readdirSync(join(mill.out, "events"));
    const path = join(mill.out, "events", file!);
    // One that was set aside with a state that was lost.
    copyFileSync(path, `${path}.before-20261122T120000000Z`);
    appendFileSync(path, '{"rule":"link","time":"2026-11-2');
    expect(await mill.rows(sql)).toEqual(whole);
    expect(finalAggregates(mill.aggregates()).size).toBeGreaterThan(0);
  });

  test("are empty where there is nothing yet", async () => {
    await using mill = new SqlMill();
    for (const view of ["records", "meta", "events", "aggregates", "devices", "ledger"]) {
      expect([view, await mill.rows(`select count(*) as n from ${view}`)]).toEqual([view, [{
        n: 0,
      }]]);
    }
  });

  test("know the devices of the allow-list by name and label", async () => {
    await using mill = new SqlMill();
    const thumbprint = "A".repeat(43);
    writeFileSync(
      join(mill.folder.path, "devices"),
      `${thumbprint} router-1 city=Berlin model=R2\n`,
    );
    expect(await mill.rows("select *, labels['city'] as city from devices")).toEqual([
      { name: "router-1", thumbprint, labels: { city: "Berlin", model: "R2" }, city: "Berlin" },
    ]);
  });
});

describe("a query", () => {
  test("can't write, attach, read other files or open the doors again", async () => {
    await using mill = await someStore(1);
    const [file] = readdirSync(join(mill.out, "events"));
    const events = join(mill.out, "events", file!);
    const before = readFileSync(events, "utf8");
    const stolen = join(mill.folder.path, "stolen");
    const refused = [
      `copy (select * from events) to '${stolen}'`,
      `copy (select 1) to '${events}' (format csv, use_tmp_file false)`,
      `explain analyze copy (select 1) to '${events}' (format csv, use_tmp_file false)`,
      `attach '${stolen}' as events`,
      `select * from read_text('/etc/hostname'), events limit 1`,
      "create table x as select * from events",
      "drop view events",
      "set enable_external_access = true -- events",
      "install httpfs -- events",
      "select 1 from events; drop view events",
      "select * from query('drop view events')",
    ];
    for (const sql of refused) {
      const rows = mill.rows(sql);
      await expect(rows).rejects.toThrow();
    }
    expect([existsSync(stolen), readFileSync(events, "utf8")]).toEqual([false, before]);
  });

  test("that DuckDB can't run is answered with what is wrong with it", async () => {
    await using mill = new SqlMill();
    const said: Array<[sql: string, why: RegExp]> = [
      ["", /^Cannot run the query because it must be a query: it is empty$/],
      ["selec 1", /^Cannot run the query because Parser Error: syntax error at or near "selec"/],
      ["select devce from events", /Cannot run .* "devce" not found[^]*"device"/],
      ["select 1; select 2", /because it must be one: it is 2$/],
      ["create table x(a int)", /because it must be a query, which changes nothing/],
    ];
    for (const [sql, why] of said) await expect(mill.rows(sql)).rejects.toThrow(why);
  });

  test("goes to the disk with what doesn't fit its memory", async () => {
    await using mill = new SqlMill();
    const sql = "select count(*) as n from (select i, hash(i) as h from range(20000000) t(i) " +
      "order by h limit 15000000)";
    expect(await mill.rows(sql)).toEqual([{ n: 15_000_000 }]);
  }, 60_000);
});
