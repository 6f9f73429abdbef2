import { describe, expect, test } from "bun:test";
import { builtInEvents } from "./built_in.ts";
import { BuiltInEvents } from "./built_in_events.ts";
import { noonUs } from "./fixtures.ts";
import { MemoryFacts } from "./memory_facts.ts";
import { brief, feed, type FleetOptions, live, type SimBlock, simulateFleet } from "./watch_sim.ts";

const options = builtInEvents();
const plain: FleetOptions = { devices: 30, lengthS: 7200, startUs: noonUs };
const endUs = noonUs + 7200e6;
const fresh = () => new BuiltInEvents(new MemoryFacts(), options);
const street = [3, 4, 5, 6, 7, 8];

function run(fleet: Partial<FleetOptions>, seed = 1, gapS?: readonly [number, number]) {
  return live(fresh(), simulateFleet(seed, { ...plain, ...fleet }), 1, endUs, gapS);
}

/** Rule, device and labels of each, in order. */
function told(events: ReturnType<typeof run>): string[] {
  return events.map(({ rule, header, labels }) =>
    [rule, header.device, ...Object.values(labels)].join(" ")
  )
    .sort();
}

describe("events that no line says", () => {
  test("are none of a fleet that is well", () => {
    for (let seed = 1; seed <= 10; seed++) expect(run({}, seed)).toEqual([]);
  });

  test("are the silence of a street without power, then its return and its reboots", () => {
    const events = run({ troubles: [{ fromS: 3000, toS: 4800, devices: street, kind: "off" }] });
    const all = street.flatMap((
      i,
    ) => [`device_back d${i}`, `device_silent d${i}`, `reboot d${i} power`]);
    expect(told(events)).toEqual(all.sort());
    for (const { rule, time, value } of events) {
      const s = (time.wallUs - noonUs) / 1e6;
      // A device's last block is up to a heartbeat before.
      const [from, to, least, most] = {
        device_silent: [3265, 3301, 299, 301],
        device_back: [4808, 4809, 1807, 1845],
        reboot: [4799.9, 4800.1, 1799, 1833],
      }[rule]!;
      expect([rule, s > from! && s < to!, value! > least! && value! < most!]).toEqual([
        rule,
        true,
        true,
      ]);
    }
  });

  test("say a silence within ten seconds of its limit", () => {
    const events = fresh();
    const blocks = simulateFleet(2, {
      ...plain,
      troubles: [{ fromS: 3000, toS: 9000, devices: street, kind: "off" }],
    });
    let at = 0;
    for (let us = noonUs; us < endUs; us += 1e6) {
      while (at < blocks.length && blocks[at]!.header.recvUs < us) feed(events, blocks[at++]!);
      for (const { time } of events.look(us)) expect(us - time.wallUs).toBeLessThan(12e6);
    }
  });

  test("tell clean restarts, panics and lost power apart, and how long they took", () => {
    const events = run({
      troubles: [
        { fromS: 2000, toS: 2040, devices: [1, 2], kind: "clean" },
        { fromS: 2500, toS: 2520, devices: [5], kind: "panic" },
        { fromS: 2600, toS: 2610, devices: [7], kind: "off" },
      ],
    });
    const all = ["reboot d1 clean", "reboot d2 clean", "reboot d5 panic", "reboot d7 power"];
    expect(told(events)).toEqual(all);
    const value = (device: string) => events.find(({ header }) => header.device === device)!.value!;
    for (const device of ["d1", "d2"]) expect(value(device)).toBeCloseTo(40, 0);
    expect(value("d5")).toBeCloseTo(20, 0);
    expect(value("d7")).toBeGreaterThan(9.9);
    expect(value("d7")).toBeLessThan(41);
  });

  test("take a network that is out for silence, and for nothing else", () => {
    const events = run({
      troubles: [{ fromS: 3000, toS: 4200, devices: street, kind: "offline" }],
    });
    const all = street.flatMap((i) => [`device_back d${i}`, `device_silent d${i}`]);
    expect(told(events)).toEqual(all.sort());
    // It is too short to be told.
    expect(run({ troubles: [{ fromS: 3000, toS: 3200, devices: street, kind: "offline" }] }))
      .toEqual([]);
  });

  test("don't call a fleet silent whose receiver is down, however many receivers there are", () => {
    const down = { receiver: "r1", fromS: 3000, toS: 4500 };
    for (const receivers of [["r1"], ["r1", "r2"]]) {
      expect(run({ receivers, receiverDown: { ...down, failOver: false } })).toEqual([]);
    }
    const receivers = ["r1", "r2"];
    expect(run({ receivers, receiverDown: { ...down, failOver: true } })).toEqual([]);
    // Whoever is silent after it is up again, is.
    const events = run({
      receiverDown: { ...down, failOver: false },
      troubles: [{ fromS: 2990, toS: 9000, devices: [9], kind: "off" }],
    });
    expect(told(events)).toEqual(["device_silent d9"]);
    expect((events[0]!.time.wallUs - noonUs) / 1e6).toBeCloseTo(4800, -2);
  });

  test("tell a device that is silent since its receiver has gone for good, and all others to another", () => {
    const events = run({
      receivers: ["r1", "r2"],
      receiverDown: { receiver: "r1", fromS: 3000, toS: 90_000, failOver: true },
      troubles: [{ fromS: 2999, toS: 90_000, devices: [4], kind: "off" }],
    });
    expect(told(events)).toEqual(["device_silent d4"]);
  });

  test("are none of devices that go to a receiver whose clock is off, and come back", () => {
    for (const ahead of [600, -600]) {
      const fleet = {
        receivers: ["r1", "r2"],
        aheadS: { r2: ahead },
        roaming: { fromS: 3000, toS: 4000, devices: [0, 1, 2, 3] },
      };
      expect(run(fleet)).toEqual([]);
    }
  });

  test("don't call devices silent that had gone to a receiver which went down, whoever is read first", () => {
    const blocks = simulateFleet(1, {
      ...plain,
      receivers: ["r1", "r2"],
      roaming: { fromS: 1000, toS: 3300, devices: [0, 2] },
      troubles: [{ fromS: 2000, toS: 3200, devices: [0, 2], kind: "offline" }],
      receiverDown: { receiver: "r2", fromS: 1990, toS: 3210, failOver: false },
    });
    expect(live(fresh(), blocks, 1, endUs)).toEqual([]);
    const events = fresh();
    for (const name of ["r1", "r2"]) {
      for (const block of blocks) if (block.receiver === name) feed(events, block);
    }
    expect(events.look(endUs)).toEqual([]);
  });

  test("are the same where the grinder was down for an hour", () => {
    const troubles = [
      { fromS: 2000, toS: 2600, devices: street, kind: "off" as const },
      { fromS: 3000, toS: 3010, devices: [20], kind: "panic" as const },
    ];
    expect(brief(run({ troubles }, 3, [1800, 5400]))).toEqual(brief(run({ troubles }, 3)));
  });

  test("learn how often a device is heard usually", () => {
    const troubles = [{ fromS: 90_000, toS: 96_000, devices: [0, 1], kind: "offline" as const }];
    const lengthS = 100_000;
    const everyS = (device: number) => device === 0 ? 1200 : 30;
    const blocks = simulateFleet(4, { ...plain, devices: 5, lengthS, everyS, troubles });
    const events = live(fresh(), blocks, 10, noonUs + lengthS * 1e6);
    // 6,000 s are five times the usual for the one, and out of the question for the other.
    expect(told(events).filter((one) => one.endsWith("d1"))).toEqual([
      "device_back d1",
      "device_silent d1",
    ]);
    expect(told(events).length).toBeLessThanOrEqual(4);
    const silent = events.find(({ header, rule }) =>
      header.device === "d0" && rule === "device_silent"
    );
    if (silent) expect(silent.value).toBeGreaterThanOrEqual(5 * 1100);
  });

  test("are the same in whatever order receivers are read, and with a kill after any batch", () => {
    for (let seed = 1; seed <= 8; seed++) {
      const blocks = simulateFleet(seed, {
        ...plain,
        receivers: ["r1", "r2"],
        receiverDown: { receiver: "r1", fromS: 1500, toS: 2700, failOver: seed % 2 === 0 },
        roaming: { fromS: 3500, toS: 5700, devices: [1, 8, 10, 12, 15, 20, 21] },
        troubles: [
          { fromS: 3000, toS: 4800, devices: street, kind: "off" },
          { fromS: 3100, toS: 3700, devices: [12, 13], kind: "offline" },
          { fromS: 5000, toS: 5020, devices: [20, 21], kind: "panic" },
          { fromS: 5500, toS: 5530, devices: [1], kind: "clean" },
        ],
      });
      const wanted = brief(live(fresh(), blocks, 1, endUs));
      expect(wanted.length).toBe(3 * street.length + 2 * 2 + 3);
      for (const name of ["r1", "r2"]) {
        const isFirst = ({ receiver }: { receiver: string }) => receiver === name;
        const order = [...blocks.filter(isFirst), ...blocks.filter((block) => !isFirst(block))];
        const facts = new MemoryFacts();
        let events = new BuiltInEvents(facts, options);
        const said = order.flatMap((block, i) => {
          const found = feed(events, block);
          if (i % (97 * seed) === 0) {
            facts.save(...events.kept);
            events = new BuiltInEvents(facts, options);
          }
          return found;
        });
        expect(brief([...said, ...events.look(endUs)])).toEqual(wanted);
        expect(events.look(endUs + 20e6)).toEqual([]);
      }
    }
  });

  test("take a boot for ended on purpose only if that was the last it said", () => {
    for (const [laterS, cause] of [[60, "clean"], [600, "power"]] as const) {
      const events = fresh();
      const [block] = simulateFleet(1, { ...plain, devices: 1, lengthS: 31 });
      const at = (s: number, boot: string, usecS: number, more: Partial<SimBlock> = {}) => {
        const header = { ...block!.header, boot, recvUs: noonUs + s * 1e6 };
        const sync = { syncWallUs: noonUs + s * 1e6 };
        return feed(events, { receiver: "r1", header, usec: usecS * 1e6, ...sync, ...more });
      };
      at(0, "old", 100);
      at(1, "old", 101, { end: "clean" });
      at(laterS + 300, "new", 10);
      // What it said last comes from its disk, after the new one has begun.
      const header = { ...block!.header, boot: "old", recvUs: noonUs + (laterS + 301) * 1e6 };
      feed(events, { receiver: "r1", header, usec: (101 + laterS) * 1e6 });
      // A sync record of the old boot that another receiver had.
      at(0.5, "old", 100.5);
      expect(events.look(noonUs + (laterS + 359) * 1e6)).toEqual([]);
      const said = events.look(noonUs + (laterS + 361) * 1e6);
      expect(said.map(({ labels }) => labels["cause"])).toEqual([cause]);
      expect(said[0]!.header.boot).toBe("new");
      expect(said[0]!.value).toBeCloseTo(289, 0);
    }
  });

  test("take an operator's rules for a boot's end, too", () => {
    for (
      const [rule, cause] of [["kernel_panic", "panic"], ["clean_reboot", "clean"], ["x", "power"]]
    ) {
      const events = fresh();
      const [block] = simulateFleet(1, { ...plain, devices: 1, lengthS: 31 });
      feed(events, block!);
      events.matched(block!.header, block!.usec, rule!);
      const header = { ...block!.header, boot: "new", recvUs: noonUs + 100e6 };
      feed(events, { ...block!, header, usec: 5e6 });
      expect(events.look(endUs).map(({ labels }) => labels["cause"])).toEqual([cause]);
    }
  });

  test("are not about uploads that have no boot", () => {
    const facts = new MemoryFacts();
    const events = new BuiltInEvents(facts, options);
    const [block] = simulateFleet(1, { ...plain, devices: 1, lengthS: 31 });
    const header = { ...block!.header, boot: "-", source: "raw", stream: "-" };
    events.frame("r1");
    events.block(header, 5);
    events.ended(header, 0, "panic");
    facts.save(...events.kept);
    expect([facts.all("clock"), facts.all("boots")]).toEqual([[], []]);
    expect(facts.all("devices").length).toBe(1);
  });

  test("keep a bounded memory of boots that are never heard alive", () => {
    const facts = new MemoryFacts();
    const events = new BuiltInEvents(facts, options);
    const [block] = simulateFleet(1, { ...plain, devices: 1, lengthS: 31 });
    events.frame("r1");
    for (let i = 0; i < 100; i++) {
      events.block({ ...block!.header, boot: `boot-${i}` }, 5e6);
      events.ended({ ...block!.header, boot: `boot-${i}` }, 5e6, "clean");
    }
    facts.save(...events.kept);
    expect(JSON.parse(facts.load("boots", "d0")!).length).toBe(4);
  });

  test("are one for each boot of a crash loop, however many are read at once", () => {
    const events = fresh();
    const said = [];
    for (let i = 0; i < 100; i++) {
      const blocks = simulateFleet(1, {
        ...plain,
        devices: 1,
        lengthS: 31,
        startUs: noonUs + i * 90e6,
      });
      for (const block of blocks) {
        block.header.boot = `boot-${i}`;
        block.usec = 5e6;
        said.push(...feed(events, block));
      }
    }
    said.push(...events.look(endUs + 9e9).filter(({ rule }) => rule === "reboot"));
    expect(said.map(({ header }) => header.boot)).toEqual(
      Array.from({ length: 99 }, (_, i) => `boot-${i + 1}`),
    );
  });

  test("tell a clock that was set from a sleep, in the place of the record that shows it", () => {
    const events = fresh();
    const [block] = simulateFleet(1, { ...plain, devices: 1, lengthS: 40 });
    const at = (usecS: number, recvS: number, wallS: number) => {
      const header = { ...block!.header, recvUs: noonUs + recvS * 1e6 };
      return feed(events, {
        ...block!,
        header,
        usec: usecS * 1e6,
        syncWallUs: noonUs + wallS * 1e6,
      });
    };
    expect(at(10, 0, -1.7e9)).toEqual([]);
    expect(at(40, 30, -1.7e9 + 30)).toEqual([]);
    expect(at(70, 60, 60)).toMatchObject([{
      rule: "clock_step",
      labels: { kind: "step" },
      value: 1.7e9 + 0,
      record: { seq: 1, usec: 70e6, text: "clock set forward by 1700000000 s" },
      place: { segment: "r1/e/0" },
      by: { name: "clock_step", device: ["city", "model"] },
    }]);
    expect(at(80, 3670, 3670)).toMatchObject([{ labels: { kind: "suspend" }, value: 3600 }]);
    expect(at(90, 3700, 3700)).toMatchObject([{ labels: { kind: "suspend" }, value: 20 }]);
    expect(at(100, 3710, 3650)).toMatchObject([{ labels: { kind: "step" }, value: -60 }]);
    // Late by the network, and resent: neither is a step.
    expect(at(130, 3765, 3680)).toEqual([]);
    expect(at(70, 3766, 60)).toEqual([]);
  });

  test("can each be turned off", () => {
    const off = builtInEvents({ device_silent: false, reboot: false, clock_step: false });
    const events = new BuiltInEvents(new MemoryFacts(), off);
    const troubles = [{ fromS: 3000, toS: 4800, devices: street, kind: "off" as const }];
    expect(live(events, simulateFleet(1, { ...plain, troubles }), 1, endUs)).toEqual([]);
  });
});
