import { Buffer } from "node:buffer";
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "bun:test";
import { parseGap, parseRecord } from "../shared/record.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import type { Aggregate } from "./aggregates.ts";
import {
  block,
  gapLine,
  header,
  line,
  lines,
  midnightMs,
  Mill,
  noonUs,
  seqsOf,
} from "./fixtures.ts";
import { Sketch } from "./sketch.ts";
import { State } from "./state.ts";
import { StateError } from "./state_file.ts";

const open = (folder: TemporaryFolder, reports: string[] = []) =>
  State.open(folder.path, midnightMs, (text) => reports.push(text));

/** Saves in a transaction; returns what `load` says after the state was closed and opened again. */
function roundTrip<T>(save: (state: State) => void, load: (state: State) => T): T {
  using folder = new TemporaryFolder();
  const state = open(folder);
  state.transaction(() => save(state));
  state.close();
  const again = open(folder);
  try {
    return load(again);
  } finally {
    again.close();
  }
}

const aggregate: Aggregate = {
  startUs: noonUs,
  windowUs: 60e6,
  rule: "link",
  labels: '{"way":"up"}',
  count: 3,
  devices: 2,
  firstUs: noonUs + 1,
  lastUs: noonUs + 2,
  sketch: undefined,
  rev: 1,
  dueUs: noonUs + 70e6,
};

describe("a state", () => {
  test("gives back cursors", () => {
    const cursor = { segment: 3, offset: 2 ** 40 };
    const load = (state: State) => state.cursors();
    const saved = roundTrip((state) => {
      state.saveCursor("r1/e", { segment: 0, offset: 7 });
      state.saveCursor("r1/e", cursor);
      state.saveCursor("r2/e", cursor);
    }, load);
    expect(saved).toEqual(new Map([["r1/e", cursor], ["r2/e", cursor]]));
  });

  test("gives back the lengths of outputs", () => {
    const saved = roundTrip((state) => {
      state.saveOutput("events/20261122.jsonl", 1);
      state.saveOutput("events/20261122.jsonl", 2);
    }, (state) => state.outputs());
    expect(saved).toEqual(new Map([["events/20261122.jsonl", 2]]));
  });

  test("knows a gap record by its stream, seq, time, cause and count", () => {
    const texts = [
      gapLine(7, 9, { first: 3, last: 6, count: 4, cause: "overrun" }),
      gapLine(7, 9, { first: 3, last: "?", count: 0, cause: "lost" }),
      gapLine(7, 9, { count: 11, cause: "ratelimit" }),
      gapLine(7, 10, { count: 11, cause: "ratelimit" }),
    ];
    const all = texts.map((text) => parseRecord(text.trimEnd())!);
    const saved = roundTrip(
      (state) => {
        for (const record of all.slice(0, 3)) {
          state.saveGap("s", header(), record, parseGap(record)!);
        }
      },
      (state) => [
        ...all.map((record) => state.hasGap("s", record, parseGap(record)!)),
        state.hasGap("t", all[0]!, parseGap(all[0]!)!),
      ],
    );
    expect(saved).toEqual([true, true, true, false, false]);
  });

  test("gives back aggregates, their devices and their distributions", () => {
    const sketch = new Sketch();
    for (const value of [1, 2.5, -3e300]) sketch.add(value);
    const closed = { ...aggregate, labels: "{}", sketch, dueUs: undefined };
    roundTrip((state) => {
      state.aggregates.save({ ...aggregate, count: 1 }, ["d1"]);
      state.aggregates.save(aggregate, ["d2"]);
      state.aggregates.save(closed, []);
    }, ({ aggregates }) => {
      expect(aggregates.load(aggregate)).toEqual(aggregate);
      const loaded = aggregates.load(closed)!;
      expect({ ...loaded, sketch: JSON.stringify(loaded.sketch) }).toEqual(
        { ...closed, sketch: JSON.stringify(sketch) } as never,
      );
      expect(aggregates.load({ ...aggregate, startUs: 0 })).toBeUndefined();
      expect([...aggregates.devices(aggregate)].sort()).toEqual(["d1", "d2"]);
      expect([...aggregates.devices(closed)]).toEqual([]);
      expect([aggregates.labelSets(aggregate), aggregates.labelSets({ ...aggregate, rule: "x" })])
        .toEqual([2, 0]);
      const due = (clockUs: number) => aggregates.due(clockUs).map(({ labels }) => labels);
      expect([due(noonUs + 70e6 - 1), due(noonUs + 70e6), due(Infinity)]).toEqual(
        [[], [aggregate.labels], [aggregate.labels]],
      );
    });
  });

  test("lets windows go that aren't kept any more, open ones once they are closed", () => {
    const closed = { ...aggregate, labels: "{}", dueUs: undefined };
    const keepFrom = (startUs: number) => (state: State) => state.aggregates.keepFrom(startUs);
    roundTrip((state) => {
      for (const one of [aggregate, closed]) state.aggregates.save(one, ["d1"]);
      keepFrom(noonUs)(state);
      expect(state.aggregates.load(closed)).toBeDefined();
      keepFrom(noonUs + 1)(state);
      keepFrom(noonUs)(state);
    }, ({ aggregates }) => {
      expect(aggregates.keptFromUs()).toBe(noonUs + 1);
      expect(aggregates.load(closed)).toBeUndefined();
      expect(aggregates.load(aggregate)).toBeDefined();
      expect([...aggregates.devices(closed)]).toEqual([]);
    });
  });

  test("adds counters up, and takes damage once for each place", () => {
    const damage = { receiver: "r", epoch: "e", segment: 1, offset: 9, length: 2, damage: "why" };
    const saved = roundTrip((state) => {
      state.addCounter("records", 2);
      state.addCounter("records", 3);
      for (let i = 0; i < 2; i++) state.saveDamage({ ...damage, next: { segment: 1, offset: 11 } });
    }, (state) => state.counters());
    expect(saved).toEqual({ records: 5 });
  });

  test("keeps nothing of a transaction that throws, and can be used afterwards", () => {
    using folder = new TemporaryFolder();
    const state = open(folder);
    const failing = () =>
      state.transaction(() => {
        state.addCounter("records", 2);
        state.saveCursor("r/e", { segment: 1, offset: 1 });
        throw new Error("killed");
      });
    expect(failing).toThrow("killed");
    expect([state.counters(), state.cursors().size]).toEqual([{}, 0]);
    state.transaction(() => state.addCounter("records", 1));
    expect(state.counters()).toEqual({ records: 1 });
    state.close();
  });

  test("is refused, clearly, to a second grinder; and open again once the first has closed it", () => {
    using folder = new TemporaryFolder();
    const first = open(folder);
    let refusal: unknown;
    try {
      open(folder);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(StateError);
    expect((refusal as Error).message).toBe(
      `Cannot open ${folder.path}/grinder.sqlite because only one grinder can use it: ` +
        "another has it open",
    );
    first.transaction(() => first.addCounter("records", 1));
    first.close();
    const second = open(folder);
    expect(second.counters()).toEqual({ records: 1 });
    second.close();
  });

  test("of a newer version is refused, clearly, and left as it is", () => {
    using folder = new TemporaryFolder();
    open(folder).close();
    const path = join(folder.path, "grinder.sqlite");
    const db = new DatabaseSync(path);
    db.exec("PRAGMA user_version = 5");
    db.close();
    expect(() => open(folder)).toThrow(
      `Cannot use ${path} because its version must be 4: it is 5`,
    );
    expect(readdirSync(folder.path).filter((name) => name.includes("before"))).toEqual([]);
  });
});

const zeros = (path: string, from: number, length: number) => {
  const bytes = readFileSync(path);
  bytes.fill(0, from, from + length);
  writeFileSync(path, bytes);
};

const harms: Record<string, (path: string) => void> = {
  "isn't there any more": (path) => rmSync(path),
  "is empty": (path) => truncateSync(path, 0),
  "is torn in its first bytes": (path) => truncateSync(path, 50),
  "has its first page only": (path) => truncateSync(path, 4096),
  "is half written": (path) => truncateSync(path, readFileSync(path).length / 2),
  "is garbage": (path) => writeFileSync(path, Buffer.alloc(20_000, "garbage ")),
  "is short garbage": (path) => writeFileSync(path, "x"),
  "has a page of zeros": (path) => zeros(path, 4096, 4096),
};

for (const [how, harm] of Object.entries(harms)) {
  test(`a state that ${how} is set aside with its outputs, and all is ground again`, async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(block(lines(0, 9)), block(line(0, "link up on a"), { device: "d2" }));
    await mill.grindAll();
    const before = mill.events();
    expect(before).toHaveLength(11);
    mill.state.close();
    harm(join(mill.out, "grinder.sqlite"));
    mill.open();
    expect(mill.warnings).toHaveLength(1);
    expect(mill.warnings[0]).toContain("All is ground again; set aside as *.before-20261123T0000");
    expect(mill.counters()).toEqual({});
    expect(mill.events()).toEqual([]);
    const aside = join(mill.out, "events.before-20261123T000000000Z/20261123.jsonl");
    expect(readFileSync(aside, "utf8").split("\n")).toHaveLength(12);
    await mill.grindAll();
    expect(mill.events()).toEqual(before);
    mill.reopen();
    expect(mill.warnings).toHaveLength(1);
    expect(seqsOf(mill.events())).toHaveLength(11);
  });
}

test("a state begins without a word where there is nothing yet", () => {
  using folder = new TemporaryFolder();
  const reports: string[] = [];
  open(folder, reports).close();
  expect(reports).toEqual([]);
  expect(existsSync(join(folder.path, "grinder.sqlite"))).toBe(true);
});
