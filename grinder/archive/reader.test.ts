import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { believable, readBlocks } from "../../shared/block.ts";
import { limits } from "../../shared/limits.ts";
import { blockText, lines, noonUs, Store } from "./fixtures.ts";
import { FolderPlace } from "./place_folder.ts";
import type { BadFile } from "./reader.ts";

const hourUs = 3600e6;

/** Ten devices, each with a block an hour; usec is in seconds from the boot at noon. */
async function tenDevices(): Promise<Store> {
  const store = new Store();
  const sync = (seq: number, usec: number) =>
    `6,${seq},${usec},s,wall_us=${noonUs + usec},synced=1;logmill: clock\n`;
  for (let hour = 0; hour < 3; hour++) {
    const blocks = Array.from({ length: 10 }, (_, i) => {
      const atUs = hour * hourUs;
      const records = Array.from(
        { length: 5 },
        (_, n) => `6,${5 * hour + n},${atUs + n * 60e6},-;hour ${hour} line ${n}\n`,
      );
      const text = sync(5 * hour, atUs) + records.join("") + sync(5 * hour + 5, atUs + 300e6);
      return blockText(text, { device: `d${i}`, recvUs: noonUs + atUs + 300e6 });
    });
    await store.receive([blocks.join("")]);
  }
  await store.archiver().run();
  return store;
}

/** Of ordinary records. */
function ordinary(rows: string[]): string[] {
  return rows.filter((row) => row.includes(",-;"));
}

test("the reader gives the devices that are asked for, and looks into no other partition", async () => {
  using store = await tenDevices();
  const read: string[] = [];
  const reader = await store.reader();
  const counting = new (class extends FolderPlace {
    override read(path: string, offset: number, length: number) {
      read.push(path);
      return super.read(path, offset, length);
    }
  })(store.data);
  Object.assign(reader, { place: counting });
  const rows: string[] = [];
  for await (const { text } of reader.reads({ devices: new Set(["d3", "nobody"]) })) {
    rows.push(text!);
  }
  const devices = rows.flatMap((text) => [...readBlocks(text)].map(({ header }) => header.device));
  expect(devices).toEqual(["d3", "d3", "d3"]);
  const parts = new Set(read.map((path) => path.split("/")[2]));
  // Two names may be in two partitions; the one without the device has nothing that is read but footers.
  expect(parts.size).toBeLessThanOrEqual(2);
});

test("the reader gives records by the time of their writing or of their receiving", async () => {
  using store = await tenDevices();
  const at = (hour: number, minute: number) => noonUs + hour * hourUs + minute * 60e6;
  const devices = new Set(["d1"]);
  const written = await store.archived({ sinceUs: at(1, 1), untilUs: at(2, 2), devices });
  expect(ordinary(written).map((row) => row.split(";")[1])).toEqual([
    "hour 1 line 1\n",
    "hour 1 line 2\n",
    "hour 1 line 3\n",
    "hour 1 line 4\n",
    "hour 2 line 0\n",
    "hour 2 line 1\n",
  ]);
  const range = { sinceUs: at(1, 0), untilUs: at(2, 0), devices };
  expect(ordinary(await store.archived({ ...range, by: "recv" })).length).toBe(5);
  expect(await store.archived({ ...range, sinceUs: at(5, 0), untilUs: at(6, 0) })).toEqual([]);
  expect(await store.archived({ ...range, sinceUs: at(2, 0), untilUs: at(1, 0) })).toEqual([]);
});

test("the reader gives blocks whose headers are true, in frames of the usual size", async () => {
  using store = new Store();
  const records = Array.from({ length: 30 }, (_, i) => {
    const text = "x".repeat(1000);
    return blockText(lines(100 * i, 100 * i + 99, text), { recvUs: noonUs + i });
  });
  await store.receive(records);
  await store.archiver().run();
  const reader = await store.reader();
  let [frames, count] = [0, 0];
  for await (const { bytes, length } of reader.frames()) {
    frames++;
    expect(length).toBeLessThanOrEqual(limits.frameTextBytesMax);
    const text = new TextDecoder("latin1").decode(bytes.subarray(0, length));
    for (const block of readBlocks(text)) {
      expect(believable(block)).toBe(true);
      expect(block.text.split("\n").length - 1).toBe(block.header.count);
      count += block.header.count;
    }
  }
  expect(count).toBe(3000);
  expect(frames).toBeGreaterThan(2);
});

test("the reader gives raw lines in frames that say where they stood", async () => {
  using store = new Store();
  const raw = { source: "raw", boot: "-", stream: "-" };
  const hash = "\\x23 no header";
  await store.receive([
    blockText(lines(0, 1)) + blockText(`first\n[    1.000000] second\n${hash}\n`, raw),
    blockText("another\n", raw),
  ]);
  await store.archiver().run();
  const reader = await store.reader();
  const places: string[] = [];
  for await (const { bytes, length, place } of reader.frames()) {
    const [block] = readBlocks(new TextDecoder("latin1").decode(bytes.subarray(0, length)));
    places.push(`${place?.segment}:${place?.offset === 0 ? "first" : "later"} ${block!.text}`);
  }
  expect(places).toEqual([
    `0:first first\n[    1.000000] second\n${hash}\n`,
    "0:later another\n",
    "undefined:later 6,0,0,-;line 0\n6,1,1000000,-;line 1\n",
  ]);
});

test.each([
  ["is cut short", (path: string, bytes: number) => truncateSync(path, bytes - 100)],
  ["is empty", (path: string) => truncateSync(path, 0)],
  ["is something else", (path: string) => writeFileSync(path, "PAR1 it isn't\0\0\0\0PAR1")],
  ["is gone", (path: string) => rmSync(path)],
])("the reader tells of a file that %s, and goes on with the others", async (_, spoil) => {
  using store = await tenDevices();
  const { files } = await store.manifest();
  const [spoilt] = files;
  spoil(join(store.data, spoilt!.path), spoilt!.bytes);
  const bad: BadFile[] = [];
  let bytes = 0;
  for await (const { length } of (await store.reader((one) => bad.push(one))).frames()) {
    bytes += length;
  }
  expect(bad.map(({ file }) => file.path)).toContain(spoilt!.path);
  expect(new Set(bad.map(({ file }) => file.path)).size).toBe(1);
  expect(bytes).toBeGreaterThan(0);
});

test("the reader doesn't take another archive's file, whole as it is, for the one that it names", async () => {
  using store = await tenDevices();
  using other = new Store();
  await other.receive([blockText(lines(0, 9), { device: "d0" })]);
  await other.archiver().run();
  const [file] = (await store.manifest()).files;
  const [foreign] = (await other.manifest()).files;
  const bytes = await other.place.read(foreign!.path, 0, foreign!.bytes);
  writeFileSync(join(store.data, file!.path), bytes);
  const bad: BadFile[] = [];
  for await (const _ of (await store.reader((one) => bad.push(one))).frames());
  expect(bad[0]!.why).toStartWith(`Cannot read ${file!.path}`);
});

test("the reader is told of a row group that is damaged, not given what is in it", async () => {
  using store = await tenDevices();
  const [file] = (await store.manifest()).files;
  const path = join(store.data, file!.path);
  const bytes = new Uint8Array(await store.place.read(file!.path, 0, file!.bytes));
  bytes.fill(0xff, 4, 300);
  writeFileSync(path, bytes);
  const bad: BadFile[] = [];
  for await (const { length } of (await store.reader((one) => bad.push(one))).frames()) {
    expect(length).toBeGreaterThan(0);
  }
  expect(bad.length).toBe(1);
});
