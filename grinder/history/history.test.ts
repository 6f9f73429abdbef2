import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UsageError } from "../../shared/options.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { type Cursor, epochKey } from "../../shared/storage/storage.ts";
import { compressFrame } from "../../shared/zstd.ts";
import { TemporaryFolder } from "../../tests/fixtures.ts";
import { FolderPlace } from "../archive/place_folder.ts";
import { block, lines, noonUs } from "../fixtures.ts";
import { History, HistoryError, type HistoryOptions } from "./history.ts";
import type { Progress } from "./select_frames.ts";
import { SelectedStorage } from "./selected_storage.ts";

const hourUs = 3600e6;

/** A folder with a storage, a rules file, and what is ground of it. */
class Bench extends TemporaryFolder {
  nowUs = noonUs;
  readonly data = join(this.path, "data");
  readonly storage = new FolderStorage(this.data, { nowMs: () => this.nowUs / 1000 });
  readonly rules = join(this.path, "rules.ts");
  readonly out = join(this.path, "out");
  readonly progress: Progress[] = [];

  constructor() {
    super();
    mkdirSync(this.data);
    writeFileSync(this.rules, "export default [];\n");
  }

  /** A block an hour, from noon on. */
  async store(hours: number): Promise<void> {
    const epoch = await this.storage.createEpoch("r1");
    for (let hour = 0; hour < hours; hour++, this.nowUs += hourUs) {
      const text = block(lines(hour, hour), { recvUs: this.nowUs });
      await epoch.commit([compressFrame(Buffer.from(text))]);
    }
    await epoch.close();
  }

  open(more: Partial<HistoryOptions> = {}): Promise<History> {
    const { data, storage, rules, out } = this;
    return History.open({
      ...{
        data,
        storage,
        place: new FolderPlace(data),
        rules,
        out,
        live: [data],
        windowUs: 60e6,
        nowMs: this.nowUs / 1000,
      },
      progress: (progress) => this.progress.push(progress),
      ...more,
    });
  }
}

/** The receive hours of what a reader finds beyond its cursors, which are moved. */
async function hoursOf(history: History, cursors = new Map<string, Cursor>(), most = Infinity) {
  const hours: number[] = [];
  for await (const read of readNew(history.storage!, cursors)) {
    cursors.set(epochKey(read), read.next);
    if (read.text) hours.push((Number(read.text.split(" ")[5]) - noonUs) / hourUs);
    if (hours.length >= most) break;
  }
  return hours;
}

test("a selection's progress never goes back, and ends where all is read, whatever is read twice", async () => {
  using bench = new Bench();
  await bench.store(3);
  const selected = await SelectedStorage.open(
    { storage: bench.storage, progress: (progress) => bench.progress.push(progress) },
    { sinceUs: 0, untilUs: bench.nowUs },
  );
  const extents = await selected.list(new Map());
  for (const extent of extents) {
    await selected.read(extent, 0, extent.length);
    await selected.read(extent, 0, 10);
    await selected.read(extent, 10, extent.length);
  }
  const bytes = bench.progress.map(({ storedBytes }) => storedBytes);
  expect(bytes).toEqual(bytes.toSorted((a, b) => a - b));
  expect(bytes.at(-1)).toBe(selected.storedBytesTotal);
});

describe("History", () => {
  test("reads what was received from shortly before the range to a day behind it", async () => {
    using bench = new Bench();
    await bench.store(72);
    const history = await bench.open({ since: "2026-11-22T22:00Z", until: "2026-11-23T02:00Z" });
    const hours = await hoursOf(history);
    // From 10 to 14 hours behind noon, and 24 more; segments come whole.
    expect(hours[0]).toBeGreaterThanOrEqual(9);
    expect(hours[0]).toBeLessThanOrEqual(10);
    expect(hours.at(-1)).toBe(38);
    expect(hours).toEqual(Array.from({ length: hours.length }, (_, i) => hours[0]! + i));
    expect(bench.progress.at(-1)!.storedBytes).toBe(bench.progress.at(-1)!.storedBytesTotal);
  });

  test("keeps events by wall time, in whole windows", async () => {
    using bench = new Bench();
    const { range, keeps } = await bench.open({
      since: "2026-11-22T10:00:30",
      until: "2026-11-22T11:00:01",
    });
    const atUs = (hour: number, minute: number, second = 0) =>
      Date.UTC(2026, 10, 22, hour, minute, second) * 1000;
    expect(range).toEqual({ sinceUs: atUs(10, 0), untilUs: atUs(11, 1) });
    expect([atUs(9, 59, 59), atUs(10, 0), atUs(11, 0, 59), atUs(11, 1)].map(keeps)).toEqual(
      [false, true, true, false],
    );
  });

  test("goes on where it was killed, with the range as it was begun", async () => {
    using bench = new Bench();
    await bench.store(30);
    const cursors = new Map<string, Cursor>();
    const begun = await bench.open({ since: "10h" });
    const first = await hoursOf(begun, cursors, 3);
    bench.nowUs += 5 * hourUs;
    const again = await bench.open({ since: "10h" });
    expect(again.range).toEqual(begun.range);
    const rest = await hoursOf(again, cursors);
    expect([...first, ...rest].at(-1)).toBe(29);
    expect(new Set([...first, ...rest]).size).toBe(first.length + rest.length);
  });

  test("that is finished has nothing to read, and isn't begun anew", async () => {
    using bench = new Bench();
    await bench.store(3);
    const history = await bench.open({ since: "1d" });
    history.finish();
    const note = readFileSync(join(bench.out, "history.json"), "utf8");
    bench.nowUs += hourUs;
    expect((await bench.open({ since: "1d" })).storage).toBeUndefined();
    expect(readFileSync(join(bench.out, "history.json"), "utf8")).toBe(note);
  });

  test("refuses a live grinder's folder, under whatever name", async () => {
    using bench = new Bench();
    symlinkSync(bench.data, join(bench.path, "link"));
    for (
      const out of [
        bench.data,
        `${bench.data}/`,
        join(bench.data, "..", "data"),
        join(bench.path, "link"),
      ]
    ) {
      const refused = await bench.open({ out }).catch((error) => error);
      expect(refused).toBeInstanceOf(HistoryError);
      expect(refused.message).toContain("it must not be a live grinder's folder");
    }
  });

  test("refuses a folder with anything else, and with another history", async () => {
    using bench = new Bench();
    const said = async (more: Partial<HistoryOptions>) =>
      (await bench.open(more).then(() => new Error("it was taken"), (error) => error)).message;
    const live = join(bench.path, "live");
    mkdirSync(live);
    writeFileSync(join(live, "grinder.sqlite"), "");
    expect(await said({ out: live })).toContain("it has grinder.sqlite");
    await bench.open({ since: "1d" });
    const another = "it must be empty, or hold what was begun with the same options and rules";
    expect(await said({ since: "2d" })).toContain(another);
    expect(await said({ since: "1d", until: "1h" })).toContain(another);
    expect(await said({ since: "1d", windowUs: 1e6 })).toContain(another);
    writeFileSync(bench.rules, "export default [/* other */];\n");
    expect(await said({ since: "1d" })).toContain(another);
    writeFileSync(join(bench.out, "history.json"), "{");
    expect(await said({ since: "1d" })).toContain("it must be what was written there");
  });

  test("refuses times that are none, and takes no folder then", async () => {
    using bench = new Bench();
    const refused = await bench.open({ since: "soon" }).catch((error) => error);
    expect(refused).toBeInstanceOf(UsageError);
    expect(() => readFileSync(join(bench.out, "history.json"))).toThrow("ENOENT");
  });
});
