/**
 * What no line says, from blocks in the storage to lines in the outputs: a simulated fleet is stored, and
 * what comes out is what the parts say when they are asked directly.
 */
import { expect, test } from "bun:test";
import { builtInEvents } from "./built_in.ts";
import { BuiltInEvents } from "./built_in_events.ts";
import { Engine } from "./engine/engine.ts";
import { block, line, Mill, noonUs, rules, syncLine } from "./fixtures.ts";
import { MemoryFacts } from "./memory_facts.ts";
import { withEndRules } from "./reboots.ts";
import { live, type SimBlock, simulateFleet } from "./watch_sim.ts";

const lengthS = 7200;
const endUs = noonUs + lengthS * 1e6;
const options = builtInEvents({ device: ["city"] });
const fleet = simulateFleet(7, {
  devices: 12,
  lengthS,
  startUs: noonUs,
  troubles: [
    { fromS: 1000, toS: 1040, devices: [1], kind: "clean" },
    { fromS: 1500, toS: 1520, devices: [5], kind: "panic" },
    { fromS: 3000, toS: 4800, devices: [2, 3, 4], kind: "off" },
    { fromS: 5000, toS: 6000, devices: [6], kind: "offline" },
  ],
});
const endTexts = {
  panic: "Kernel panic - not syncing: Fatal exception",
  clean: "reboot: Restarting system",
};

/** What the devices sent, as blocks; records have seqs in the order of their boot. */
async function store(mill: Mill): Promise<void> {
  const receiver = await mill.receiver();
  const seqs = new Map<string, number>();
  const textOf = ({ header, usec, syncWallUs, end }: SimBlock) => {
    const seq = seqs.get(header.boot) ?? 0;
    if (syncWallUs !== undefined) return syncLine(seq, usec, syncWallUs);
    seqs.set(header.boot, seq + 1);
    return line(seq, end ? endTexts[end] : "nothing", usec);
  };
  for (let at = 0; at < fleet.length; at += 20) {
    await receiver.store(
      ...fleet.slice(at, at + 20).map((one) => {
        const { device, boot, recvUs } = one.header;
        return block(textOf(one), { device, boot, stream: boot, recvUs });
      }),
    );
  }
}

const brief = (rule: string, device: string, labels: object, value: number | undefined) =>
  `${rule} ${device} ${JSON.stringify(labels)} ${value}`;

test("built-in events come out of the grinder as its parts say them, each once, over a kill too", async () => {
  const expected = live(new BuiltInEvents(new MemoryFacts(), options), fleet, 10, endUs)
    .map(({ rule, header: { device }, labels, value }) =>
      brief(rule, device, { ...labels, city: device === "d1" ? "bern" : "" }, value)
    );
  expect(expected.length).toBe(1 + 1 + 3 * 3 + 2);
  await using engine = new Engine({
    rules: withEndRules(rules),
    rulesPath: "",
    threads: 0,
    warn() {},
  });
  for (const killed of [false, true]) {
    await using mill = new Mill({}, options);
    await store(mill);
    let frames = 0;
    for await (const { read, digest, textOf } of engine.digests(mill.storage, mill.grind.cursors)) {
      mill.grind.takeDigest(read, digest, textOf);
      if (++frames % 3 === 0) mill.grind.commit(endUs / 1000);
      if (killed && frames === 70) break;
    }
    if (killed) mill.reopen();
    // The rest by the slow twin.
    await mill.take();
    mill.grind.commit(endUs / 1000, "all");
    mill.grind.commit(endUs / 1000, "all");
    const said = mill.events().map(({ rule, device, labels, value }) =>
      brief(rule, device, labels, value)
    );
    expect(said.sort()).toEqual(expected.toSorted());
  }
});

test("a street without power is one aggregate by city", async () => {
  await using mill = new Mill({}, builtInEvents({ device: ["street"] }), (device) => ({
    street: ["d2", "d3", "d4"].includes(device) ? "elm" : "oak",
  }));
  await store(mill);
  await mill.take();
  mill.grind.commit(endUs / 1000, "all");
  mill.grind.commit(endUs / 1000, "end");
  const silent = mill.aggregates().filter(({ rule, labels }) =>
    rule === "device_silent" && labels["street"] === "elm"
  );
  expect(silent.reduce((sum, { count }) => sum + count, 0)).toBe(3);
  expect(Math.max(...silent.map(({ devices }) => devices))).toBeGreaterThan(1);
});
