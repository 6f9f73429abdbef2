import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { block, line, Mill } from "../../grinder/fixtures.ts";
import { seededRandom } from "../fleet/random.ts";
import { root } from "../programs.ts";
import { verify } from "./verify.ts";

type Line = [usec: number, text: string];

const pstore = { source: "pstore", stream: "pstore-1" };
const words = (lines: Line[], first = 0) =>
  lines.map(([usec, text], i) => `6,${first + i},${usec},p;${text}\n`).join("");
const kmsg = (lines: Line[], first = 0) =>
  lines.map(([usec, text], i) => line(first + i, text, usec)).join("");
const up = (...ports: string[]) => ports.map((port, i): Line => [i * 1e6, `link up on ${port}`]);

/** The verdict over a storage and what a real grinder made of it. */
async function verdictOf(mill: Mill) {
  const rules = join(mill.folder.path, "rules.ts");
  const fixtures = JSON.stringify(join(root, "grinder/fixtures.ts"));
  writeFileSync(rules, `import { rules } from ${fixtures};\nexport default rules;\n`);
  const { ok, totals, examples } = await verify({ data: mill.folder.path, out: mill.out, rules });
  return { ok, events: totals.events, examples, totals };
}

/** Blocks in this order, each ground by itself, and the verdict. */
async function groundIn(blocks: string[]) {
  await using mill = new Mill();
  const receiver = await mill.receiver();
  for (const one of blocks) {
    await receiver.store(one);
    await mill.grindAll("batch");
  }
  await mill.grindAll();
  return await verdictOf(mill);
}

/** Changes the events' lines, as a grinder with a fault would. */
function spoil(mill: Mill, change: (lines: string[]) => string[]): void {
  const folder = join(mill.out, "events");
  const path = join(folder, readdirSync(folder)[0]!);
  const lines = change(readFileSync(path, "utf8").trimEnd().split("\n"));
  writeFileSync(path, lines.map((text) => `${text}\n`).join(""));
}

const right = (events: number) => ({ ok: true, events, examples: [] });

describe("verify of last words", () => {
  test("expects events of those that aren't stored as kmsg records: all, some or none", async () => {
    const all = up("a", "b", "c", "d");
    for (const stored of [0, 2, 4]) {
      const blocks = stored > 0 ? [block(kmsg(all.slice(0, stored), 70))] : [];
      expect(await groundIn([...blocks, block(words(all), pstore)])).toMatchObject(right(4));
    }
  });

  test("expects a line as often as the source has it that has most of it", async () => {
    const [same] = up("a") as [Line];
    const dump = (lines: Line[]) => block(words(lines), pstore);
    expect(await groundIn([block(kmsg([same])), dump([same, same])])).toMatchObject(right(2));
    expect(await groundIn([dump([same, same]), block(kmsg([same]))])).toMatchObject(right(2));
    expect(await groundIn([dump([same]), block(kmsg([same, same]))])).toMatchObject(right(2));
    const second = block(words([same, same, same]), { ...pstore, stream: "pstore-2" });
    expect(await groundIn([dump([same, same]), block(kmsg([same])), second]))
      .toMatchObject(right(3));
  });

  test("takes kmsg records that come after the dump for the same, in either book", async () => {
    const all = up("a", "b", "c");
    const [dump, stored] = [block(words(all.slice(1)), pstore), block(kmsg(all, 40))];
    expect(await groundIn([dump, stored])).toMatchObject(right(3));
    // A grinder that had the younger epoch first: the verifier reads the older one first.
    await using mill = new Mill();
    const [older, younger] = [await mill.receiver("r1"), await mill.receiver("r2")];
    await younger.store(dump);
    await mill.grindAll("batch");
    await older.store(stored);
    await mill.grindAll();
    expect(mill.events().map(({ source }) => source).sort()).toEqual(["kmsg", "pstore", "pstore"]);
    expect(await verdictOf(mill)).toMatchObject(right(3));
  });

  test("knows the lines of a record that has several, in both orders", async () => {
    const stored = block("6,3,5000000,-;cut here\\x0alink up on a\\x0acaf\\xc3\\xa9\n");
    const dump = block(
      words(["cut here", "link up on a", "caf\\xc3\\xa9", "link up on b"].map((t) => [5e6, t])),
      pstore,
    );
    const ring = block("6,0,5000000,p;cut here\\x0alink up on a\n", { stream: "ring-1" });
    for (const blocks of [[stored, dump], [dump, stored], [ring, dump, stored]]) {
      expect(await groundIn(blocks)).toMatchObject(right(2));
    }
    // The half that the dump hasn't must not be lost: the other one is counted twice then.
    expect(await groundIn([ring, stored])).toMatchObject({
      events: 2,
      totals: { duplicateEvents: 1, missingEvents: 0 },
    });
  });

  test("keeps boots and devices apart, and takes the flag of an ordinary stream for none", async () => {
    const lines = up("a");
    expect(
      await groundIn([
        block(kmsg(lines), { boot: "b2", stream: "b2" }),
        block(kmsg(lines), { device: "d2" }),
        block(words(lines), { stream: "b1" }),
        block(words(lines), { ...pstore, boot: "b3" }),
      ]),
    ).toMatchObject(right(4));
  });

  test("agrees with the grinder in every order and split", async () => {
    const random = seededRandom(20261122);
    const pick = (below: number) => Math.floor(random() * below);
    for (let round = 0; round < 40; round++) {
      const all = Array.from({ length: 6 }, (): Line => [pick(3), `link up on ${"ab"[pick(2)]}`]);
      const parts = (make: (lines: Line[], first: number) => string, lines: Line[]) => {
        const cut = pick(lines.length + 1);
        const made = [make(lines.slice(0, cut), 0), make(lines.slice(cut), cut)];
        return made.filter((text) => !text.includes(" 0 0 0\n"));
      };
      const dump = (stream: string) => (lines: Line[], first: number) =>
        block(words(lines, first), { source: "pstore", stream });
      const blocks = [
        ...parts((lines, first) => block(kmsg(lines, first)), all.slice(0, pick(7))),
        ...parts(dump("pstore-1"), all.slice(pick(6))),
        ...parts(dump("pstore-2"), all.slice(pick(6))),
      ];
      blocks.sort(() => random() - 0.5);
      expect([round, await groundIn(blocks)]).toMatchObject([round, { ok: true, examples: [] }]);
    }
  });

  test("finds a line that was counted in both, and one that was counted in neither", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    const lines = up("a", "b");
    await receiver.store(block(kmsg(lines, 7)));
    await receiver.store(block(words(lines), pstore));
    await mill.grindAll();
    expect(await verdictOf(mill)).toMatchObject(right(2));
    spoil(mill, (events) => {
      const doubled = events.find((text) => text.includes("link up on a"))!;
      const names = { source: "pstore", stream: "pstore-1", seq: 0 };
      return [...events, JSON.stringify({ ...JSON.parse(doubled), ...names })];
    });
    expect(await verdictOf(mill)).toMatchObject({
      ok: false,
      examples: [
        "d1 pstore pstore-1: the link event of 0 is another record's as well",
        expect.stringContaining("2 events, 1 in the aggregates"),
      ],
      totals: { duplicateEvents: 1, missingEvents: 0, unexpectedEvents: 0 },
    });
    spoil(mill, (events) => events.filter((text) => !text.includes("link up on a")));
    expect((await verdictOf(mill)).examples[0]).toBe("d1 kmsg b1: no link event for 7");
  });

  test("finds one that stands for another and says something else", async () => {
    await using mill = new Mill();
    const [older, younger] = [await mill.receiver("r1"), await mill.receiver("r2")];
    await younger.store(block(words(up("a")), pstore));
    await mill.grindAll("batch");
    await older.store(block(kmsg(up("a"))));
    await mill.grindAll();
    spoil(mill, (events) => events.map((text) => text.replace("link up on a", "link up on z")));
    const { totals } = await verdictOf(mill);
    expect(totals).toMatchObject({ wrongEvents: 1, missingEvents: 0, duplicateEvents: 0 });
  });
});
