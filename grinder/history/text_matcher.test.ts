import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { unescapeText } from "../../shared/record.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import type { Texts } from "../archive/parquet/column_in.ts";
import { linkRule, tookRule } from "../fixtures.ts";
import { extract, type Rule, rule } from "../rule.ts";
import { TextMatcher } from "./text_matcher.ts";

const everywhere = rule("digits", /^\d+x/, { yes: ["1x"] });
const both = rule("both", /on eth|took 7/, { yes: ["on eth0"] });

/** Texts one behind the other, with nothing between them; some rows have one that others have, too. */
function columnOf(texts: readonly string[], random: () => number, spareBytes: number): Texts {
  const bytes = new Uint8Array(Buffer.byteLength(texts.join(""), "latin1") + spareBytes);
  const starts = new Int32Array(texts.length);
  const ends = new Int32Array(texts.length);
  let at = 0;
  for (const [i, text] of texts.entries()) {
    starts[i] = at;
    ends[i] = at += Buffer.from(bytes.buffer).write(text, at, "latin1");
  }
  const index = Int32Array.from(texts, (_, i) => random() < 0.1 ? 0 : i);
  return { bytes: bytes.subarray(0, at), starts, ends, index, spareBytes };
}

function randomText(random: () => number): string {
  const parts = [
    "link up on eth0",
    "took 7 ms",
    "link ",
    "up on eth",
    "took 3",
    " ms",
    "12x",
    "",
    "\\x41",
  ];
  const count = Math.floor(random() * 4);
  return Array.from({ length: count }, () => parts[Math.floor(random() * parts.length)]).join("");
}

test.each([[0, 1], [64, 2], [0, 3], [64, 4]])(
  "a column of texts gives what each rule says of each text: %d spare bytes, seed %d",
  (spareBytes, seed) => {
    const random = seededRandom(seed);
    const rules: Rule[] = seed % 2
      ? [linkRule, both, tookRule]
      : [linkRule, everywhere, both, tookRule];
    const matcher = new TextMatcher(rules, new Uint8Array(0));
    for (let round = 0; round < 20; round++) {
      const texts = Array.from({ length: 200 }, () => randomText(random));
      matcher.match(columnOf(texts, random, spareBytes));
      let found = 0;
      for (const [i, stored] of texts.entries()) {
        const text = unescapeText(stored);
        const expected = rules.flatMap((rule, at) => {
          const extracted = extract(rule, text);
          return extracted === null ? [] : [{ rule: at, text, ...extracted }];
        });
        expect([...matcher.of(i)]).toEqual(expected);
        found += expected.length;
      }
      expect(found).toBeGreaterThan(20);
    }
  },
);
