import { Buffer } from "node:buffer";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "bun:test";
import { seededRandom } from "../../tests/fleet/random.ts";
import { BlockRows } from "./block_rows.ts";
import { columns } from "./columns.ts";
import { Duck, quoted } from "./duck.ts";
import { writeRows } from "./file_of_rows.ts";
import { lines, noonUs } from "./fixtures.ts";
import { BytesOut, putDeltas, putRuns } from "./parquet/bytes_out.ts";
import { Bits, readDeltas, readRuns } from "./parquet/encodings.ts";
import { Rows } from "./rows.ts";
import { StreamTable } from "./stream_table.ts";

const folder = mkdtempSync(join(tmpdir(), "logmill-rows-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A file of these records, each 1 s after the clock's start as its USEC says. */
function fileOf(name: string, blocks: Array<{ stream: string; records: string }>): string {
  const bytes = Buffer.from(blocks.map(({ records }) => records).join(""), "latin1");
  const streams = new StreamTable(1, new Map());
  const rows = new BlockRows({
    wallTime: (_, usec) => noonUs + usec,
    newSink: () => new Rows(bytes),
  });
  let start = 0;
  for (const { stream, records } of blocks) {
    const names = { device: "d1", boot: "b1", source: "kmsg", stream };
    const place = { receiver: "r1", epoch: "e1", segment: 7, frame: 8, line: 9 };
    const end = start + records.length;
    rows.add({ stream: streams.of(names), recvUs: noonUs, place, bytes, start, end });
    start = end;
  }
  const path = join(folder, name);
  writeRows(rows.take()[0]!.sink, path, { level: 1, longDistance: true });
  return path;
}

async function duckRows(path: string, sql: string) {
  using duck = await Duck.open({ scratch: join(folder, "duck"), memoryBytes: 256e6, threads: 1 });
  return await duck.rows(sql.replace("FILE", `read_parquet(${quoted(path)})`));
}

describe("an archive file", () => {
  test("has for DuckDB the columns, types and values that stand in the table", async () => {
    const records = [
      "6,5,1000000,-;b\n",
      "6,3,2000000,-,caller=T1;a\n SUBSYSTEM=usb\n DEVICE=x\n",
      "no record\n",
      "4,5,1000000,g,first=4,last=4,count=1,cause=lost;gone\n",
      "6,6,4503599627370496,-;far\n",
    ].join("");
    const path = fileOf("types.parquet", [{ stream: "s2", records }, {
      stream: "s1",
      records: lines(0, 1),
    }]);
    const described = await duckRows(
      path,
      "select column_name, column_type from (describe from FILE)",
    );
    expect(described.map(([name]) => name as string)).toEqual([...columns]);
    expect(Object.fromEntries(described)).toMatchObject({
      seq: "BIGINT",
      time: "TIMESTAMP",
      prio: "INTEGER",
      text: "VARCHAR",
      line: "BIGINT",
    });
    const rows = await duckRows(
      path,
      `select stream, seq::int, epoch_us(time) - ${noonUs} > 1e15, epoch_us(time - started)::varchar,
        flag, text, fields, more, prefix, receiver, line::int from FILE`,
    );
    expect(rows).toEqual([
      ["s1", 0, false, "0", "-", "line 0", null, null, null, null, null],
      ["s1", 1, false, "1000000", "-", "line 1", null, null, null, null, null],
      [
        "s2",
        3,
        false,
        "2000000",
        "-",
        "a",
        "caller=T1",
        " SUBSYSTEM=usb\n DEVICE=x",
        null,
        null,
        null,
      ],
      [
        "s2",
        5,
        false,
        "1000000",
        "g",
        "gone",
        "first=4,last=4,count=1,cause=lost",
        null,
        null,
        null,
        null,
      ],
      ["s2", 5, false, "1000000", "-", "b", null, null, null, null, null],
      ["s2", 6, true, "4503599627370496", "-", "far", null, null, null, null, null],
      [
        "s2",
        0,
        false,
        "0",
        "!",
        "no record",
        null,
        null,
        "%",
        "r1",
        9 + records.indexOf("no record"),
      ],
    ]);
  });

  test("says the least and the greatest of names, numbers and times", async () => {
    const path = fileOf("statistics.parquet", [{ stream: "s2", records: lines(3, 40) }, {
      stream: "s1",
      records: lines(0, 10),
    }]);
    using duck = await Duck.open({ scratch: join(folder, "d"), memoryBytes: 256e6, threads: 1 });
    const found = await duck.rows(
      `select path_in_schema, stats_min_value, stats_max_value, stats_null_count::int
       from parquet_metadata(${
        quoted(path)
      }) where path_in_schema in ('stream', 'seq', 'recv', 'more')`,
    );
    expect(found).toEqual([
      ["stream", "s1", "s2", 0],
      ["seq", "0", "40", 0],
      ["recv", "2026-11-22 12:00:00", "2026-11-22 12:00:00", 0],
      ["more", null, null, 49],
    ]);
  });

  test("has more row groups where there are more rows than one takes", async () => {
    const path = fileOf("groups.parquet", [{ stream: "s", records: lines(0, 130_000) }]);
    const [[groups, rows, wrong]] = await duckRows(
      path,
      `select (select count(distinct row_group_id)::int from parquet_metadata('${path}')),
        count(*)::int, count(*) filter (text <> 'line ' || seq)::int from FILE`,
    ) as [[number, number, number]];
    expect([groups, rows, wrong]).toEqual([2, 130_001, 0]);
    expect(readFileSync(path).subarray(-4).toString()).toBe("PAR1");
  });
});

describe("encoded numbers", () => {
  const random = seededRandom(11);

  test("come back from differences, whatever their size", () => {
    for (const [count, size] of [[0, 1], [1, 9], [2, 1e15], [513, 3], [2000, 1e6], [1500, 1e15]]) {
      const values = Float64Array.from({ length: count! }, () => Math.floor(random() * size!));
      const out = new BytesOut();
      putDeltas(out, values, count!);
      if (count) expect(readDeltas(new Bits(out.all.slice()))).toEqual(values);
    }
  });

  test("come back from runs, in every width", () => {
    for (let width = 1; width <= 24; width++) {
      const values = Int32Array.from(
        { length: 1000 },
        (_, i) => (i >> 6) % 2 ? 1 : Math.floor(random() * 2 ** width),
      );
      const out = new BytesOut();
      putRuns(out, values, 997, width);
      expect(readRuns(new Bits(out.all.slice()), width, 997, 2 ** width)).toEqual(
        values.slice(0, 997),
      );
    }
  });
});
