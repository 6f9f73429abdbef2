import { Buffer } from "node:buffer";
import { expect, test } from "bun:test";
import { NameTable } from "./block_names.ts";
import { Seen } from "./seen.ts";

function newTable(): NameTable {
  let ids = 0;
  const none = { load: () => undefined, newId: () => ++ids, nextBatch: 1, keptFrom: 1 };
  return new NameTable(new Seen(none));
}

/** A block as a digest has it; `texts` counts how often its names were asked for as a string. */
function block(text: string, namesHash: number) {
  return {
    texts: 0,
    namesHash,
    get names() {
      this.texts++;
      return text;
    },
    hasNames: (words: Int32Array, from: number) =>
      Buffer.from(words.buffer, 4 * (from + 1), words[from]).toString("latin1") === text,
  };
}

test("a name table gives the same names for the same block, without asking for their text again", () => {
  const table = newTable();
  const one = block("d1 b1 kmsg b1", 7);
  const names = table.get(one);
  expect(names).toMatchObject({ device: "d1", boot: "b1", source: "kmsg", isKernels: true });
  expect([table.get(one), table.get(one)]).toEqual([names, names]);
  expect(one.texts).toBe(1);
});

test("a name table tells names of one hash apart, and finds all of them when there are many", () => {
  const table = newTable();
  const blocks = Array.from(
    { length: 1_200 },
    (_, i) => block(`d${i} b kmsg b`, 7 * (1 + i % 600)),
  );
  for (let round = 0; round < 3; round++) {
    expect(blocks.map((one) => table.get(one)!.device)).toEqual(blocks.map((_, i) => `d${i}`));
  }
  expect(blocks.every(({ texts }) => texts === 1)).toBe(true);
});

test("a name table knows names that are long, or have no hash, or were let go", () => {
  const table = newTable();
  const long = block(`${"d".repeat(60)} ${"b".repeat(60)} kmsg ${"b".repeat(60)}`, 9);
  for (const one of [long, block("d1 b1 kmsg b1", 0)]) {
    expect(table.get(one)).toBe(table.get(one)!);
    const before = table.get(one)!;
    table.clear();
    expect(table.get(one)).toEqual(before);
  }
  expect(table.get(block("d1 b1 kmsg", 3))).toBeUndefined();
});
