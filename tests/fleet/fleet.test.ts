import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseAllowList } from "../../shared/allowlist_format.ts";
import { IntervalSet } from "../../shared/intervals.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { FakeClock, newIdentity, TemporaryFolder } from "../fixtures.ts";
import { newReceiver } from "../receiver.ts";
import { verify } from "../verify/verify.ts";
import { allowDevices } from "./allow.ts";
import { Device } from "./device.ts";
import { Fleet } from "./fleet.ts";
import { formatJournal, parseJournal, readJournal } from "./journal.ts";

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A receiver in this process. Which devices it lets in is told later. */
async function startReceiver(data: string, name: string) {
  let fleet: Fleet | undefined;
  const { receiver, admission, commits } = newReceiver({
    sink: await new FolderStorage(data).createEpoch(name),
    allowed: (thumbprint) => fleet?.allowed.find((device) => device.thumbprint === thumbprint),
  });
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, bun) => receiver.fetch(request, bun),
  });
  return {
    url: server.url.href,
    allow: (these: Fleet) => void (fleet = these),
    async stop() {
      await admission.stop();
      await commits.close();
      await server.stop(true);
    },
  };
}

describe("a device", () => {
  test("writes text at its rate, stamped by its kernel's clock, until it is closed", async () => {
    const clock = new FakeClock();
    const device = await Device.create("d", 1, 1_000);
    let bytes = 0;
    const boot = device.boot(clock, (_record, recordBytes) => void (bytes += recordBytes));
    const usecs: number[] = [];
    const reading = (async () => {
      for (let records = await boot.read(); records; records = await boot.read()) {
        for (const { seq, usec } of records) {
          expect(seq).toBe(usecs.length);
          usecs.push(usec);
          expect(boot.bootWallUs + usec).toBeLessThanOrEqual(clock.nowMs() * 1000);
        }
      }
    })();
    await clock.advance(10_000);
    const bootBytes = bytes;
    await clock.advance(200_000);
    expect((bytes - bootBytes) / 200).toBeGreaterThan(850);
    expect((bytes - bootBytes) / 200).toBeLessThan(1_150);
    boot.close();
    await reading;
    expect(usecs.length).toBe(boot.written);
    expect(usecs).toEqual(usecs.toSorted((a, b) => a - b));
  });

  test("says the same for the same seed, under another key", async () => {
    const [a, b, c] = await Promise.all([1, 1, 2].map((seed) => Device.create("d", seed, 1_000)));
    const clock = new FakeClock();
    const [bootA, bootB, bootC] = [a!, b!, c!].map((device) => device.boot(clock, () => {}));
    expect(bootA!.boot).toBe(bootB!.boot);
    expect(bootA!.boot).not.toBe(bootC!.boot);
    expect(a!.allowed.thumbprint).not.toBe(b!.allowed.thumbprint);
    expect(await bootA!.read()).toEqual(await bootB!.read());
  });

  test("ends a clean reboot with its shutdown lines, and a power failure with nothing", async () => {
    const clock = new FakeClock();
    const device = await Device.create("d", 1, 1_000);
    const [clean, crashed] = [device.boot(clock, () => {}), device.boot(clock, () => {})];
    await clock.advance(5_000);
    clean.shutDown();
    crashed.halt();
    await clock.advance(1_000);
    let last = "";
    for (let records = await clean.read(); records; records = await clean.read()) {
      last = records.at(-1)!.text;
    }
    expect(last).toMatch(/^reboot: /);
    expect(await crashed.read()).toBeUndefined();
  });
});

describe("a fleet's allow-list", () => {
  test("keeps the lines that are there and replaces those of an earlier fleet", async () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "data", "devices");
    mkdirSync(join(folder.path, "data"));
    const [other, old, fresh] = await Promise.all([newIdentity(), newIdentity(), newIdentity()]);
    writeFileSync(
      path,
      `# ours\n${other!.thumbprint} gateway city=Oslo\n${old!.thumbprint} sim-0000`,
    );
    allowDevices(path, [{ thumbprint: fresh!.thumbprint, name: "sim-0000", labels: { a: "b" } }]);
    const { devices, problems } = parseAllowList(readFileSync(path, "utf8"));
    expect(problems).toEqual([]);
    expect([...devices.values()].map(({ name, labels }) => [name, labels])).toEqual([
      ["gateway", { city: "Oslo" }],
      ["sim-0000", { a: "b" }],
    ]);
    expect(readFileSync(path, "utf8")).toStartWith("# ours\n");
  });
});

describe("a journal", () => {
  test("comes back from its text", () => {
    const names = { device: "d", boot: "b", source: "kmsg", stream: "b", bootWallUs: 5 };
    const acked = IntervalSet.decode("0-9,12");
    const text = formatJournal([{ ...names, written: [0, 12], acked }]);
    expect(text).toBe(
      '{"device":"d","boot":"b","source":"kmsg","stream":"b","bootWallUs":5,"written":[0,12],"acked":"0-9,12"}\n',
    );
    const [entry] = parseJournal(text);
    expect([entry!.written, entry!.acked.encode()]).toEqual([[0, 12], "0-9,12"]);
  });
});

describe("a small fleet on a receiver", () => {
  let folder: TemporaryFolder;
  beforeAll(() => void (folder = new TemporaryFolder()));
  afterAll(() => folder[Symbol.dispose]());

  test("gets all that it writes acknowledged, over a reboot, a crash and broken connections", async () => {
    const data = join(folder.path, "data");
    const journal = join(folder.path, "journal");
    const receivers = [await startReceiver(data, "a"), await startReceiver(data, "b")];
    const fleet = new Fleet({
      receivers: receivers.map((receiver) => receiver.url),
      devices: 5,
      bytesPerSecond: 4_000,
      seed: 1,
      journalPath: journal,
      cutSeconds: 2,
    });
    await fleet.prepare();
    for (const receiver of receivers) receiver.allow(fleet);
    await fleet.start();
    await sleep(800);
    await Promise.all([fleet.reboot(0), fleet.reboot(1, "crash")]);
    await sleep(1_000);
    expect(await fleet.stop()).toBe(true);
    for (const receiver of receivers) await receiver.stop();

    const { records, acked, died, boots, posts } = fleet.stats();
    expect(records).toBeGreaterThan(200);
    expect(acked + died).toBe(records);
    expect(boots).toBe(7);
    expect(posts).toBeGreaterThanOrEqual(7);
    const entries = await readJournal(journal);
    expect(entries.length).toBe(7);
    expect(entries.reduce((sum, entry) => sum + entry.acked.count, 0)).toBe(acked);
    const verdict = await verify({ data, journal });
    expect(verdict.examples).toEqual([]);
    expect(verdict.ok).toBe(true);
    expect(verdict.totals.records).toBeGreaterThanOrEqual(acked);
  });

  test("says that not all was acknowledged where no receiver is, and stops", async () => {
    const refuse = Object.assign(() => Promise.reject(new Error("no network")), {
      preconnect: () => {},
    });
    const fleet = new Fleet({
      receivers: ["http://127.0.0.1:9"],
      devices: 2,
      bytesPerSecond: 1_000,
      fetch: refuse,
    });
    await fleet.start();
    await sleep(100);
    expect(await fleet.stop(100)).toBe(false);
    const { records, acked, died, failures } = fleet.stats();
    expect(records).toBeGreaterThan(0);
    expect([acked, died]).toEqual([0, records]);
    expect(failures).toBeGreaterThanOrEqual(2);
  });
});
