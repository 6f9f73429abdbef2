import { Buffer } from "node:buffer";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "bun:test";
import { readBlocks } from "../../shared/block.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { parseRecord } from "../../shared/record.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { decode, encode } from "./columns.ts";
import { Duck, quoted } from "./duck.ts";
import { blockText, noonUs } from "./fixtures.ts";
import {
  formatManifest,
  manifestPath,
  nextManifest,
  noManifest,
  parseManifest,
} from "./manifest.ts";
import { readNumbers, readTexts } from "./parquet/column_in.ts";
import { PlainColumn, PlainFile } from "./parquet/columns_out.ts";
import { ParquetFile } from "./parquet/parquet_file.ts";
import { filePath, seenPath, writtenMs } from "./paths.ts";
import { RecordBytes } from "./record_bytes.ts";
import { RowHash, sameRows } from "./row_hash.ts";
import { decodeSeen, encodeSeen, type SeenStreams } from "./seen_file.ts";
import { WallTimes } from "./wall_times.ts";

const folder = mkdtempSync(join(tmpdir(), "logmill-parts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("our Parquet reader", () => {
  const random = seededRandom(7);
  const rows = 5000;
  const any = <T>(make: (i: number) => T) => Array.from({ length: rows }, (_, i) => make(i));
  const numbers: Record<string, Array<number | null>> = {
    one: any(() => 5),
    rising: any((i) => 1_795_392_000_000_000 + i * 13_377),
    wild: any(() => Math.floor((random() - 0.5) * 2 ** (1 + 52 * random()))),
    few: any((i) => i % 3),
    holes: any((i) => i % 7 === 0 ? null : i * i),
    none: any(() => null),
  };
  const texts: Record<string, Array<string | null>> = {
    names: any((i) => `router${i >> 8}`),
    lines: any((i) => `line ${i} ${"x".repeat(i % 90)} é`),
    rare: any((i) => i % 1000 === 5 ? `rare ${i}` : null),
    missing: any(() => null),
  };

  test.each([
    "compression zstd, parquet_version v2, dictionary_size_limit 100",
    "compression zstd, parquet_version v1",
    "compression uncompressed, parquet_version v2, row_group_size 2048",
  ])("gives what DuckDB wrote with %s", async (how) => {
    using duck = await Duck.open({ scratch: join(folder, "duck"), memoryBytes: 256e6, threads: 1 });
    const json = join(folder, "rows.json");
    const all = { ...numbers, ...texts };
    const names = Object.keys(all);
    const lines = any((i) =>
      JSON.stringify(Object.fromEntries(names.map((name) => [name, all[name]![i]])))
    );
    writeFileSync(json, lines.join("\n"));
    const types = names.map((name) =>
      `${quoted(name)}: ${name in numbers ? "'BIGINT'" : "'VARCHAR'"}`
    );
    const out = join(folder, "out.parquet");
    await duck.run(
      `copy (from read_json(${quoted(json)}, format = 'newline_delimited', columns = {${types}}))
       to ${quoted(out)} (format parquet, ${how})`,
    );
    const got = await columnsOf(out);
    for (const name of Object.keys(numbers)) {
      expect([name, got[name]]).toEqual([name, numbers[name]!]);
    }
    for (const name of Object.keys(texts)) expect([name, got[name]]).toEqual([name, texts[name]!]);
  });

  test("gives what our writer wrote, and DuckDB does too", async () => {
    const [id, big, text] = [
      new PlainColumn("id", "int32"),
      new PlainColumn("big", "int64"),
      new PlainColumn("text", "text"),
    ];
    const path = join(folder, "plain.parquet");
    const parts: Uint8Array[] = [];
    const file = new PlainFile([id, big, text], (bytes) => parts.push(bytes.slice()));
    const [ids, bigs, all]: [number[], number[], string[]] = [[], [], []];
    for (let i = 0; i < 3000; i++) {
      ids.push(i - 1500);
      bigs.push((i - 1000) * 3_000_000_000_001);
      all.push(`${i} ${"y".repeat(i % 400)}`);
      id.addInt32(ids[i]!);
      big.addInt64(bigs[i]!);
      if (i % 2) text.addString(all[i]!);
      else text.addText(Buffer.from(`>${all[i]}<`), 1, all[i]!.length + 1);
      if (i === 1234) file.addGroup(1235);
    }
    file.addGroup(3000 - 1235);
    file.end();
    writeFileSync(path, Buffer.concat(parts));
    using duck = await Duck.open({ scratch: join(folder, "duck"), memoryBytes: 256e6, threads: 1 });
    const got = await duck.rows(`from read_parquet(${quoted(path)})`);
    expect(got.map(([one]) => one)).toEqual(ids);
    expect(got.map(([, one]) => Number(one))).toEqual(bigs);
    expect(got.map(([, , one]) => one)).toEqual(all);
  });
});

async function columnsOf(path: string): Promise<Record<string, Array<number | string | null>>> {
  const bytes = readFileSync(path);
  const read = (at: number, length: number) =>
    Promise.resolve(new Uint8Array(bytes.subarray(at, at + length)));
  const file = await ParquetFile.open(read, bytes.length);
  const got: Record<string, Array<number | string | null>> = {};
  for (const group of file.footer.groups) {
    for (const [name, part] of await file.chunks(group, [...group.columns.keys()])) {
      const values = got[name] ??= [];
      if (part.chunk.type === 6) {
        const { bytes: all, starts, ends, index } = readTexts(part.chunk, part.bytes);
        for (const i of index) {
          values.push(i < 0 ? null : Buffer.from(all.subarray(starts[i]!, ends[i]!)).toString());
        }
      } else {
        for (const value of readNumbers(part.chunk, part.bytes)) {
          values.push(Number.isNaN(value) ? null : value);
        }
      }
    }
  }
  return got;
}

test("RecordBytes finds a record's parts where parseRecord does, and declines what its columns don't give back", () => {
  const yes = [
    "6,0,0,-;text\n",
    "191,9007199254740991,1,c,caller=T1,a=b;x;y\n KEY=1\n  two\n",
    "6,1,2,gg;\n",
  ];
  const no = [
    "06,0,0,-;x\n",
    "6,1,2,-,;x\n",
    "6,1,2,-;caf\xe9\n",
    "6,1,2,-;x\n a\tb\n",
    "6,1,2,-;x",
    "x\n",
    "\n",
  ];
  const record = new RecordBytes();
  for (const text of yes) {
    const bytes = Buffer.from(`zz${text}6,5,5,-;next\n`, "latin1");
    expect([text, record.read(bytes, 2, bytes.length)]).toEqual([text, true]);
    const [first, ...more] = text.split("\n").slice(0, -1) as [string, ...string[]];
    const parsed = parseRecord(first)!;
    const part = (start: number, end: number) => bytes.toString("latin1", start, end);
    expect([record.prio, record.seq, record.usec]).toEqual([parsed.prio, parsed.seq, parsed.usec]);
    expect(part(record.flagStart, record.flagEnd)).toBe(parsed.flag);
    expect(part(record.fieldsStart, record.fieldsEnd)).toBe(parsed.fields);
    expect(part(record.textStart, record.textEnd)).toBe(parsed.text);
    expect(part(record.moreStart, record.moreEnd)).toBe(more.join("\n"));
    expect(record.end).toBe(2 + text.length);
  }
  for (const text of no) {
    const bytes = Buffer.from(text, "latin1");
    expect([text, record.read(bytes, 0, bytes.length)]).toEqual([text, false]);
    expect(record.end).toBe(bytes.length);
  }
});

test("encode gives printable characters only, and decode undoes it, whatever it is", () => {
  const bytes = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i)) + "\\x41\\\\x";
  expect(encode(bytes)).toMatch(/^[\x20-\x7e]*$/);
  expect(decode(encode(bytes))).toBe(bytes);
});

test("RowHash is the same in any order and in any parts, and another for any other row", () => {
  const bytes = Buffer.from("0123456789abcdef0123456789abcdef");
  const sumOf = (rows: number[][]) => {
    const hash = new RowHash();
    for (
      const [names, place, recv, time, start, end] of rows as [
        number,
        number,
        number,
        number,
        number,
        number,
      ][]
    ) {
      hash.add(names, place, recv, time, bytes, start, end);
    }
    return hash;
  };
  const rows = [[1, 0, noonUs, noonUs, 0, 5], [1, 0, noonUs, noonUs, 0, 6], [
    2,
    7,
    noonUs,
    noonUs + 1,
    3,
    9,
  ]];
  const whole = sumOf(rows);
  expect(sumOf(rows.toReversed()).sum).toEqual(whole.sum);
  const parts = sumOf(rows.slice(0, 1));
  parts.addSum(sumOf(rows.slice(1)).sum);
  expect(parts.sum).toEqual(whole.sum);
  const others = rows.flatMap((row, i) =>
    row.map((_, column) => rows.with(i, row.with(column, row[column]! + 1)))
  );
  for (const other of [...others, rows.slice(1), [...rows, rows[0]!]]) {
    expect(sameRows(sumOf(other).sum, whole.sum)).toBe(false);
  }
});

test("what is seen comes back from its file, but for streams that are long gone", () => {
  const many = new IntervalSet();
  for (let i = 0; i < 5000; i++) many.add(3 * i, 3 * i + 1);
  const streams: SeenStreams = new Map([
    ["d2 kmsg s", { newestRecvUs: 20, seqs: IntervalSet.decode("0-9,20") }],
    ["d1 file:x t", { newestRecvUs: 30, seqs: many }],
    ["d0 kmsg old", { newestRecvUs: 9, seqs: IntervalSet.decode("1") }],
  ]);
  const bytes = encodeSeen(streams, 10);
  const back = decodeSeen(bytes, "x");
  expect([...back.keys()]).toEqual(["d1 file:x t", "d2 kmsg s"]);
  expect(back.get("d1 file:x t")!.seqs.encode()).toBe(many.encode());
  expect(back.get("d2 kmsg s")).toEqual(streams.get("d2 kmsg s")!);
  bytes[30]! ^= 1;
  expect(() => decodeSeen(bytes, "archive/seen/x")).toThrow("Cannot read archive/seen/x");
});

test("names of archive files say when their run began; other names say nothing", () => {
  const run = "20261122T202134.123Z-9f3c2a71";
  const ms = Date.UTC(2026, 10, 22, 20, 21, 34, 123);
  const hour = filePath({ slot: "2026-11-22T10", partition: 7, run });
  expect(hour).toBe(`archive/day=2026-11-22/part=0007/10-${run}.parquet`);
  const day = filePath({ slot: "2026-11-22", partition: 7, run });
  expect([hour, day, seenPath({ partition: 7, run })].map(writtenMs)).toEqual([ms, ms, ms]);
  for (
    const path of [
      manifestPath(1),
      "archive/day=2026-11-22/part=0007/foreign.parquet",
      `${hour}.tmp`,
    ]
  ) {
    expect(writtenMs(path)).toBeUndefined();
  }
});

test("a manifest comes back as it was, and one of another format or version is refused", () => {
  const swap = { "r1/e": { segment: 1, offset: 0 } };
  const manifest = nextManifest(noManifest(4), {
    startMs: 1,
    nowMs: 2,
    run: "r",
    files: [],
    drop: ["a"],
    swap,
  });
  const text = formatManifest(manifest);
  expect(parseManifest(text, manifestPath(1))).toEqual(manifest);
  expect(() => parseManifest(text, manifestPath(2))).toThrow("its version is 1");
  expect(() => parseManifest(text.replace('"format":1', '"format":2'), manifestPath(1))).toThrow(
    "format must be 1",
  );
  expect(() => parseManifest(text.slice(0, 40), manifestPath(1))).toThrow(
    "Cannot read archive/manifests",
  );
});

test("the wall time of a record from before the first clock record is known from those behind it", () => {
  const times = new WallTimes();
  const early = blockText("6,0,1000000,-;early\n", { recvUs: noonUs + 50e6 });
  const late = blockText(`6,1,61000000,s,wall_us=${noonUs + 60e6},synced=1;logmill: clock\n`, {
    recvUs: noonUs + 60.1e6,
  });
  for (const text of [early, late]) for (const block of readBlocks(text)) times.note("r1", block);
  const header = [...readBlocks(early)][0]!.header;
  expect(Math.abs(times.wallTime(header, 1e6, "r1") - noonUs)).toBeLessThan(1000);
});

test("the wall time of a boot without clock records is that of its receiving, less what its records are old", () => {
  const times = new WallTimes();
  const text = blockText("6,0,1000000,-;first\n6,1,5000000,-;last\n KEY=value\n", {
    recvUs: noonUs,
  });
  for (const block of readBlocks(text)) times.note("r1", block);
  const header = [...readBlocks(text)][0]!.header;
  expect(times.wallTime(header, 1e6, "r1")).toBe(noonUs - 4e6);
});
