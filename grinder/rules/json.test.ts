// deno-lint-ignore-file logmill/rule-fields
import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../tests/fleet/random.ts";
import { limits } from "../../shared/limits.ts";
import { extract, json } from "../rule.ts";

const slow = json("slow_query", {
  where: { event: "query", "db.slow": true },
  labels: { database: "db.name", kind: "kind" },
  value: "took.ms",
  yes: ['{"event":"query","db":{"slow":true}}'],
});

/** A rule with this `where` and no labels, on this text: whether it matches. */
function matches(where: Parameters<typeof json>[1]["where"], text: string): boolean {
  return extract(json("probe", { where, yes: [] }), text) !== null;
}

describe("a json rule", () => {
  test("takes labels and value by their paths, of an object alone or behind a prefix", () => {
    const object = {
      event: "query",
      db: { name: "main", slow: true },
      kind: 7,
      took: { ms: 12.5 },
    };
    for (const text of [JSON.stringify(object), `app[12]: ${JSON.stringify(object)} (repeated)`]) {
      expect(extract(slow, text)).toEqual({ labels: { database: "main", kind: "7" }, value: 12.5 });
    }
  });

  test("gives an empty label and no value where there is nothing, or no scalar", () => {
    const said = (more: object) =>
      extract(slow, JSON.stringify({ event: "query", "db.slow": true, ...more }));
    const nothing = { labels: { database: "", kind: "" } };
    expect(said({})).toEqual(nothing);
    expect(said({ kind: null, took: { ms: [1] } })).toEqual(nothing);
    expect(said({ kind: { a: 1 }, took: { ms: true } })).toEqual(nothing);
    expect(said({ took: { ms: "1e3" } })).toEqual(nothing);
    expect(said({ took: { ms: "-3.5" } })).toEqual({ ...nothing, value: -3.5 });
    expect(said({ took: { ms: 1e-7 } })).toEqual({ ...nothing, value: 1e-7 });
  });

  test("reads a path through objects and through keys with dots, but not into arrays or prototypes", () => {
    for (
      const text of [
        '{"a":{"b":{"c":"x"}}}',
        '{"a.b":{"c":"x"}}',
        '{"a":{"b.c":"x"}}',
        '{"a.b.c":"x"}',
        '{"a":1,"a.b":{"c":"x"}}',
      ]
    ) expect([text, matches({ "a.b.c": "x" }, text)]).toEqual([text, true]);
    expect(matches({ "a.0": /x/ }, '{"a":["x","0"]}')).toBe(false);
    expect(matches({ "toString.name": /./ }, '{"toString":1,"name":2}')).toBe(false);
    expect(matches({ "__proto__.b": "x" }, '{"__proto__":{"b":"x"}}')).toBe(true);
  });

  test("compares by value and type, by a regex, and with a list", () => {
    const text = '{"code":5,"ok":true,"level":"error"}';
    const conditions: Array<[where: Parameters<typeof matches>[0], expected: boolean]> = [
      [{ code: 5 }, true],
      [{ code: "5" }, false],
      [{ code: 6 }, false],
      [{ code: /^5$/ }, true],
      [{ code: [4, 5] }, true],
      [{ ok: true }, true],
      [{ ok: "true" }, false],
      [{ ok: false }, false],
      [{ level: ["warn", "error"] }, true],
      [{ level: ["warn", "info"] }, false],
      [{ level: /^err/, code: 5 }, true],
      [{ level: /^err/, code: 4 }, false],
      [{ missing: /(?:)/ }, false],
    ];
    for (const [where, expected] of conditions) {
      expect([where, matches(where, text)]).toEqual([where, expected]);
    }
    for (const five of ["50e-1", "0.5e1", "5.0"]) {
      expect(matches({ code: 5 }, `{"code":${five}}`)).toBe(true);
    }
  });

  test("sees keys and texts only as they are usually written", () => {
    expect(matches({ event: "query" }, '{"event":"query"}')).toBe(true);
    expect(matches({ event: "query" }, '{ "event" : "query" }')).toBe(true);
    expect(matches({ event: "query" }, '{"\\u0065vent":"query"}')).toBe(false);
    expect(matches({ event: "query" }, '{"event":"\\u0071uery"}')).toBe(false);
    expect(matches({ event: "query" }, '{"event":\t"query"}')).toBe(false);
    // What some writers escape and some don't is no matter of spelling.
    for (const written of ['"a\\/b<c"', '"a/b\\u003cc"', '"a/b<c"']) {
      expect(matches({ "the/path": "a/b<c" }, `{"the\\/path":${written}}`)).toBe(true);
    }
    expect(matches({ "größe": "größer" }, '{"gr\\u00f6\\u00dfe":"gr\\u00f6\\u00dfer"}')).toBe(true);
  });

  test("doesn't match what is no JSON, is cut short, or too long, and takes the last of equal keys", () => {
    for (
      const text of [
        '{"event":"query"',
        'event "query" {"event":"query"}}',
        '["event","query"]',
        "}{",
      ]
    ) {
      expect([text, matches({ event: "query" }, text)]).toEqual([text, false]);
    }
    const long = (chars: number) => `{"event":"query","x":"${"x".repeat(chars - 24)}"}`;
    expect(long(1000)).toHaveLength(1000);
    expect(matches({ event: "query" }, long(limits.structuredCharsMax))).toBe(true);
    expect(matches({ event: "query" }, long(limits.structuredCharsMax + 1))).toBe(false);
    expect(matches({ event: "b" }, '{"event":"a","event":"b"}')).toBe(true);
    expect(matches({ event: "a" }, '{"event":"a","event":"b"}')).toBe(false);
  });

  test("survives the deepest nesting that fits a line", () => {
    const half = limits.structuredCharsMax / 2 - 20;
    const text = `{"event":"query","x":${"[".repeat(half)}${"]".repeat(half)}}`;
    expect(text.length).toBeLessThanOrEqual(limits.structuredCharsMax);
    expect([true, false]).toContain(matches({ event: "query" }, text));
  });

  test("keeps the literal types of name, labels and value", () => {
    const name: "slow_query" = slow.name;
    const labels: readonly ("database" | "kind")[] = slow.labels;
    const value: "took.ms" | undefined = slow.value;
    const listed: readonly ("a" | "b.c")[] =
      json("x", { where: {}, labels: ["a", "b.c"], yes: [] }).labels;
    const none: readonly never[] = json("x", { where: {}, yes: [] }).labels;
    expect([name, labels, value, listed, none]).toEqual(
      ["slow_query", ["database", "kind"], "took.ms", ["a", "b.c"], []],
    );
  });

  test("has literals that every usual writer's text holds, whatever the keys and values", () => {
    const random = seededRandom(20261122);
    const below = (n: number) => Math.floor(random() * n);
    const pieces = [
      "event",
      "a",
      "ü",
      '"',
      "\\",
      "/",
      "<",
      "'",
      " ",
      ":",
      "{",
      "}",
      "long piece",
      "\n",
      "é😀",
    ];
    const some = () =>
      Array.from({ length: 1 + below(3) }, () => pieces[below(pieces.length)]).join("");
    const writers: Array<(value: unknown) => string> = [
      JSON.stringify,
      (value) => JSON.stringify(value).replaceAll("/", "\\/"),
      (value) => JSON.stringify(value).replaceAll(/[<>&'\x7f-\uffff]/g, escaped),
    ];
    for (let turn = 0; turn < 3_000; turn++) {
      const [key, value] = [some(), random() < 0.8 ? some() : random() < 0.5];
      const nested = random() < 0.3;
      const write = writers[below(3)]!;
      const colon = [":", ": ", " : "][below(3)];
      const inner = `{${write(key)}${colon}${write(value)},"x":0}`;
      const text = nested ? `app: {"outer"${colon}${inner}}` : inner;
      const path = nested ? `outer.${key}` : key;
      expect([text, path, matches({ [path]: value }, text)]).toEqual([text, path, true]);
    }
  });
});

function escaped(text: string): string {
  return `\\u${text.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
