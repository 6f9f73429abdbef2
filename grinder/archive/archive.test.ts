import { expect, test } from "bun:test";
import { seededRandom } from "../../tests/fleet/random.ts";
import { blockText, lines, noonUs, onceEach, Store } from "./fixtures.ts";
import { hotFrom } from "./manifest.ts";

const names = ["d1", "d2", "router-7", "x"];
const texts = [
  "plain",
  "",
  " begins with a space",
  "with;semicolons,and,commas",
  "escaped \\x0a and \\x5c",
  "caf\xc3\xa9",
  "tab\there",
  "\x00\x7f\xff",
  "=%",
  "x".repeat(5000),
];

/** Anything that may stand in a block of records. */
function randomRecord(random: () => number, seq: number): string {
  const one = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const usec = Math.floor(random() * 10 ** (1 + 14 * random()));
  const prio = Math.floor(random() * 200);
  const kind = random();
  if (kind < 0.02) return `no record at all ${one(texts)}\n`;
  if (kind < 0.04) return `06,${seq},${usec},-;leading zero\n`;
  if (kind < 0.06) return `6,${seq},${usec},-,;empty field\n`;
  if (kind < 0.08) return `6,99999999999999999,${usec},-;seq too long\n`;
  if (kind < 0.11) return `6,${seq},${usec},s,wall_us=${noonUs + usec},synced=1;logmill: clock\n`;
  if (kind < 0.14) return `4,${seq},${usec},g,first=1,last=?,count=3,cause=lost;gone\n`;
  const flag = one(["-", "-", "-", "c", "+", "p", "gg"]);
  const fields = one(["", "", "", ",caller=T1", ",a=1,b=\xc3"]);
  const more = one(["", "", " KEY=value\n", " A=1\n B=\x01\n", " \n", "  two\n"]);
  return `${prio},${seq},${usec},${flag}${fields};${one(texts)}\n${more}`;
}

function randomFrame(random: () => number): string {
  const one = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  let frame = "";
  for (let blocks = 1 + Math.floor(random() * 6); blocks > 0; blocks--) {
    const recvUs = noonUs + Math.floor(random() * 4 * 3600e6);
    const isRaw = random() < 0.15;
    const boot = one(["b1", "b2"]);
    const stream = isRaw ? "-" : one(["s1", "s2", boot]);
    const source = isRaw ? "raw" : one(["kmsg", "file:x"]);
    let seq = Math.floor(random() * 50);
    let records = "";
    for (let n = 1 + Math.floor(random() * 8); n > 0; n--) {
      if (isRaw) {
        records += one(["line\n", "[    1.000002] dmesg\n", "\\x23 hash \xe9\n", "6,1,2,-;k\n"]);
      } else records += randomRecord(random, seq++);
    }
    // What a block begins with is no continuation.
    frame += blockText(records.replace(/^ +/, ""), {
      device: one(names),
      boot,
      source,
      stream,
      recvUs,
    });
  }
  return frame;
}

test("the archive gives back each record as it was, once, whatever was stored", async () => {
  for (let seed = 1; seed <= 6; seed++) {
    using store = new Store();
    const random = seededRandom(seed);
    for (let epoch = 0; epoch < 3; epoch++) {
      const frames = Array.from({ length: 8 }, () => randomFrame(random));
      await store.receive(frames, `r${epoch % 2}`);
    }
    const report = await store.archiver().run();
    const archived = await store.archived();
    expect(archived.toSorted()).toEqual(onceEach(await store.hot()).toSorted());
    expect(report!.rows).toBe(archived.length);
    expect(await store.hot(hotFrom(await store.manifest()))).toEqual([]);
  }
});

test("the archive is empty before its first run, and a run without segments changes nothing", async () => {
  using store = new Store();
  expect(await store.archiver().run()).toBeUndefined();
  expect(await store.archived()).toEqual([]);
  expect((await store.manifest()).version).toBe(0);
});

test("the archive has a record once that two receivers hold, in one run or in two", async () => {
  using store = new Store();
  await store.receive([blockText(lines(0, 9))], "r1");
  await store.receive(
    [blockText(lines(5, 14)), blockText(lines(0, 3), { recvUs: noonUs + 5e6 })],
    "r2",
  );
  const report = await store.archiver().run();
  expect(report!.resentRecords).toBe(9);
  await store.receive([blockText(lines(10, 19), { recvUs: noonUs + 9e6 })], "r1");
  expect((await store.archiver().run())!.rows).toBe(5);
  const seqs = (await store.archived()).map((row) => Number(row.split(",")[1]));
  expect(seqs.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
});

test("the archive puts clock and gap records before the record whose seq they carry, each once in a run", async () => {
  using store = new Store();
  const sync = `6,2,2000000,s,wall_us=${noonUs},synced=1;logmill: clock\n`;
  const gap = "4,2,2000000,g,first=1,last=1,count=1,cause=lost;gone\n";
  const [first, second] = [lines(0, 0), lines(2, 3)];
  await store.receive([blockText(first + second + gap + sync)], "r1");
  await store.receive([blockText(first + gap + sync + second)], "r2");
  await store.archiver().run();
  const records = (await store.archived()).map((row) =>
    row.slice(row.indexOf(String(noonUs)) + 17)
  );
  expect(records).toEqual([first, gap, sync, ...second.split(/(?<=\n)/)]);
});

test("the archive takes records of any kernel time", async () => {
  using store = new Store();
  const usecs = [0, 2 ** 52, 2 ** 52 + 1, Number.MAX_SAFE_INTEGER, 9_999_999_999_999_999];
  const records = usecs.map((usec, seq) => `6,${seq},${usec},-;text\n continued\n`).join("");
  await store.receive([blockText(records)]);
  await store.receive([blockText(records, { source: "raw", stream: "-" })]);
  const before = await store.hot();
  await store.archiver().run();
  expect((await store.archived()).toSorted()).toEqual(before.toSorted());
});

test("the archive makes more files of an hour where memory is short, of the same rows", async () => {
  using store = new Store();
  await store.receive([blockText(lines(0, 9)), blockText(lines(5, 14)), blockText(lines(15, 19))]);
  const before = onceEach(await store.hot());
  const report = await store.archiver({ memoryBytes: 2 }).run();
  expect([report!.files, report!.rows, report!.resentRecords]).toEqual([3, 20, 5]);
  expect((await store.archived()).toSorted()).toEqual(before.toSorted());
});

test("the archive takes records of any seq, whose differences no number holds exactly", async () => {
  using store = new Store();
  const most = Number.MAX_SAFE_INTEGER;
  const records = (...seqs: number[]) => seqs.map((seq) => `6,${seq},1,-;seq\n`).join("");
  await store.receive([
    blockText(records(1, most), { stream: "a" }) + blockText(records(0, most - 3), { stream: "b" }),
  ]);
  const before = await store.hot();
  await store.archiver().run();
  expect((await store.archived()).toSorted()).toEqual(before.toSorted());
});
