import { Buffer } from "node:buffer";
import { expect, test } from "bun:test";
import { readNew } from "../../shared/segment_reader.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { block, line, lines, midnightMs, Mill, rules, syncLine } from "../fixtures.ts";
import type { BlockDigest } from "./digest.ts";
import { Digester } from "./digester.ts";
import { Engine } from "./engine.ts";
import { grindBy, randomBlock } from "./fixtures.ts";
import { DigestWriter, unpackDigest } from "./packed_digest.ts";

/** The blocks of a text's digest, each as it was when it was given. */
function digest(text: string) {
  const [digester, out] = [new Digester(rules), new DigestWriter()];
  const bytes = Buffer.alloc(text.length + 64);
  bytes.write(text, "latin1");
  digester.digest(bytes, text.length, out);
  const { blocks, ...rest } = unpackDigest(
    out.numbers.subarray(0, out.length),
    out.bytes.subarray(0, out.byteLength),
    rules,
  );
  return { ...rest, blocks: Array.from(blocks, copyOf) };
}

function copyOf({ kind, names, firstUsec, lastUsec, offset, finds, syncs, text }: BlockDigest) {
  return { kind, names, firstUsec, lastUsec, offset, finds, syncs, text };
}

/** All that has come of what was ground; lines that are no records are passed over in plain blocks. */
function outcome(mill: Mill) {
  const { bad_records: _, ...counters } = mill.counters();
  const streams = ["d0", "d1", "d2", "d3"].flatMap((device) =>
    ["kmsg b1", "kmsg ring-1", "file:log s2", "pstore pstore-1"].map((rest) => {
      const stream = mill.stream(`${device} ${rest}`);
      return stream && [stream.stored.encode(), stream.explained.encode(), stream.places.encode()];
    })
  );
  const clocks = ["d0", "d1", "d2", "d3"].map((device) =>
    mill.state.facts.load("clock", `${device} b1`)
  );
  return { events: mill.events(), aggregates: mill.aggregates(), counters, streams, clocks };
}

test(
  "a digest comes to the same events, aggregates and state as reading each record does",
  async () => {
    const engine = new Engine({ rules, rulesPath: "", threads: 0, warn() {} });
    let plain = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const random = seededRandom(seed);
      const below = (n: number) => Math.floor(random() * n);
      await using mill = new Mill();
      const receivers = [await mill.receiver("r1"), await mill.receiver("r2")];
      const sent: string[] = [];
      for (let frame = 0; frame < 40; frame++) {
        const blocks = Array.from({ length: 1 + below(6) }, () => {
          const again = sent.length > 0 && below(3) === 0;
          return again ? sent[below(sent.length)]! : randomBlock(below);
        });
        sent.push(...blocks);
        await receivers[below(2)]!.store(...blocks);
        plain += digest(blocks.join("")).blocks.filter(({ kind }) => kind === "plain").length;
      }
      const batch = 1 + below(10);
      let frames = 0;
      for await (const read of readNew(mill.storage, mill.grind.cursors)) {
        mill.grind.take(read, await mill.grind.tails.storedLines(read, mill.storage));
        if (++frames % batch === 0) mill.grind.commit(midnightMs);
      }
      mill.grind.commit(midnightMs, "end");
      const right = outcome(mill);
      expect(right.events.length).toBeGreaterThan(100);
      mill.beginAnew("fast");
      await grindBy(engine, mill, batch);
      expect([seed, outcome(mill)]).toEqual([seed, right]);
    }
    // Else nothing has been tested.
    expect(plain).toBeGreaterThan(100);
  },
  60_000,
);

test("a block is plain if its ends are what its header says, syncs around them and lines behind them or not", () => {
  const kinds = (...blocks: string[]) => digest(blocks.join("")).blocks.map(({ kind }) => kind);
  const sync = (seq: number) => syncLine(seq, seq * 1e6, 5);
  const more = `${line(3, "x")} A=1\n B=2\n`;
  expect(kinds(block(lines(0, 3)), block(lines(7, 7)))).toEqual(["plain", "plain"]);
  expect(kinds(block(sync(0) + sync(0) + lines(0, 3) + sync(4)))).toEqual(["plain"]);
  expect(kinds(block(lines(0, 2) + more), block(lines(0, 2) + more + sync(4)))).toEqual(
    ["plain", "plain"],
  );
  expect(kinds(block(lines(0, 3), { first: 1, last: 4 }))).toEqual(["exact"]);
  expect(kinds(block(lines(0, 3), { last: 4, count: 5 }))).toEqual(["exact"]);
  expect(kinds(block(lines(0, 3), { count: 3 }))).toEqual(["exact"]);
  expect(kinds(block(sync(0)), block(""), block("x\n"))).toEqual(["exact", "exact", "exact"]);
  expect(kinds(block(lines(0, 3)).replace(",3,", ",9,"))).toEqual(["exact"]);
});

test("a block with a record that matches beside its header's seqs is read record by record", () => {
  const lie = block(lines(0, 1, "x") + line(77, "link up on a") + lines(3, 3, "x"), {
    first: 0,
    last: 3,
    count: 4,
  });
  expect(digest(lie).blocks.map(({ kind, text }) => [kind, text])).toEqual(
    [["exact", lie.slice(lie.indexOf("\n") + 1)]],
  );
});

test("a digest has what was found, with its place, and what syncs say", () => {
  const text = block(lines(0, 0, "x"), { device: "d9" }) +
    block(line(5, "link up on a\\xc3\\xa9") + syncLine(6, 6e6, 77, false) + line(6, "took 3 ms"));
  const { blocks, badBlocks, hasLastWords } = digest(text);
  expect([badBlocks, hasLastWords, blocks.length]).toEqual([0, false, 2]);
  const { finds, syncs, names, firstUsec, lastUsec, offset } = blocks[1]!;
  expect([names, firstUsec, lastUsec]).toEqual(["d1 b1 kmsg b1", 5e6, 6e6]);
  expect(text.slice(offset)).toStartWith("6,5,");
  expect(finds.map(({ rule, line: at, usec, value, labels }) => [
    rule.name,
    text.slice(at, at + 4),
    usec,
    value,
    labels,
  ])).toEqual([
    ["link", "6,5,", 5e6, undefined, '{"way":"up"}'],
    ["took", "6,6,", 6e6, 3, "{}"],
  ]);
  expect(finds[0]!.record).toBe(
    '"seq":5,"usec":5000000,"prio":6,"labels":{"way":"up"},"text":"link up on aé"',
  );
  expect(syncs.map(({ line: at, ...sync }) => [text.slice(at, at + 4), sync])).toEqual(
    [["6,6,", { seq: 6, usec: 6e6, wallUs: 77, synced: false }]],
  );
});

test("a digest says that there are last words, of either kind", () => {
  const words = (given: object) => digest(block(lines(0, 1), given)).hasLastWords;
  expect([words({ source: "pstore" }), words({ stream: "ring-1" })]).toEqual([true, true]);
  expect([words({ device: "pstore" }), words({ stream: "string-1" }), words({ boot: "ring-1" })])
    .toEqual([false, false, false]);
});
