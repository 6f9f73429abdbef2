import { describe, expect, test } from "bun:test";
import { limits } from "../../shared/limits.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { extract, logfmt } from "../rule.ts";
import { parseLogfmt } from "./logfmt.ts";

function matches(where: Parameters<typeof logfmt>[1]["where"], text: string): boolean {
  return extract(logfmt("probe", { where, yes: [] }), text) !== null;
}

describe("parseLogfmt", () => {
  const lines: Array<[text: string, pairs: Record<string, string> | undefined]> = [
    ["", {}],
    ["  ", {}],
    ["a=1 b=x", { a: "1", b: "x" }],
    ["a", { a: "" }],
    ["a=", { a: "" }],
    ["a= b=2", { a: "", b: "2" }],
    ["app[12]: level=info", { "app[12]:": "", level: "info" }],
    ['msg="hello world" b=2', { msg: "hello world", b: "2" }],
    ['msg="" b', { msg: "", b: "" }],
    ['msg="say \\"hi\\" \\\\ \\n \\u00e9"', { msg: 'say "hi" \\ \n é' }],
    ["grösse=größer", { "grösse": "größer" }],
    ['url=/a?b=c&d=e x=5"', { url: "/a?b=c&d=e", x: '5"' }],
    ["a=1 a=2", { a: "2" }],
    ["__proto__=1", { ["__proto__"]: "1" }],
    ["a=1\tb=2\0c=3", { a: "1", b: "2", c: "3" }],
    // Refused by Go's as well.
    ["=x", undefined],
    ["a=1 =x", undefined],
    ['"quoted" a=1', undefined],
    ['foo"bar" a=1', undefined],
    ['a="open', undefined],
    ['a="closed"b=1', undefined],
    ['a="bad \\q"', undefined],
    ['a="bad \\u12"', undefined],
  ];
  for (const [text, pairs] of lines) {
    test(`reads ${JSON.stringify(text)}`, () => {
      const read = parseLogfmt(text);
      expect(read && [...read]).toEqual(pairs && Object.entries(pairs));
    });
  }

  test("reads a line as long as one may be in a moment, and no longer one", () => {
    const max = limits.structuredCharsMax;
    for (
      const text of [
        `a="${"x\\n".repeat(max / 3 - 2)}"`,
        "a".repeat(max),
        " ".repeat(max),
        'a=" '.repeat(max / 4),
      ]
    ) {
      const before = performance.now();
      parseLogfmt(text);
      expect(performance.now() - before).toBeLessThan(2_000);
    }
    expect(parseLogfmt("a=1".padEnd(max))?.size).toBe(1);
    expect(parseLogfmt("a=1".padEnd(max + 1))).toBeUndefined();
  });
});

describe("a logfmt rule", () => {
  const slow = logfmt("slow_query", {
    where: { event: "query" },
    labels: { database: "db", kind: "kind" },
    value: "took.ms",
    yes: ["event=query"],
  });

  test("takes labels and value by their keys", () => {
    expect(extract(slow, 'app: event=query db="main one" took.ms=12.5')).toEqual({
      labels: { database: "main one", kind: "" },
      value: 12.5,
    });
    expect(extract(slow, "event=query took.ms=long")).toEqual({
      labels: { database: "", kind: "" },
    });
    expect(extract(slow, "event=queried")).toBeNull();
    expect(extract(slow, "myevent=query")).toBeNull();
    expect(extract(slow, 'event=query "broken')).toBeNull();
  });

  test("compares texts, whatever type the condition is written in", () => {
    const text = 'code=5 ok=true level=error msg="two words" bare empty=';
    const conditions: Array<[where: Parameters<typeof matches>[0], expected: boolean]> = [
      [{ code: 5 }, true],
      [{ code: "5" }, true],
      [{ code: [4, 5] }, true],
      [{ code: 50 }, false],
      [{ ok: true }, true],
      [{ ok: false }, false],
      [{ level: /^err/ }, true],
      [{ msg: "two words" }, true],
      [{ msg: "two" }, false],
      [{ bare: "" }, true],
      [{ empty: "" }, true],
      [{ missing: "" }, false],
      [{ missing: /(?:)/ }, false],
      [{ bare: /^$/ }, true],
    ];
    for (const [where, expected] of conditions) {
      expect([where, matches(where, text)]).toEqual([where, expected]);
    }
  });

  test("sees keys and texts only as they are usually written", () => {
    expect(matches({ event: "query" }, 'event="query"')).toBe(true);
    expect(matches({ event: "query" }, 'event="\\u0071uery"')).toBe(false);
  });

  test("has literals that every usual writer's line holds, whatever the keys and values", () => {
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
      "=",
      "long piece",
      "\n",
      "é😀",
      "",
    ];
    const some = () =>
      Array.from({ length: below(4) }, () => pieces[below(pieces.length)]).join("");
    for (let turn = 0; turn < 3_000; turn++) {
      const key = some().replaceAll(/[\s="]/g, "") || "key";
      const value = some();
      const must = value === "" ? random() < 0.5 : /[\s="\\]/.test(value);
      const written = must || random() < 0.3 ? JSON.stringify(value) : value;
      const text = `app: x=0 ${value === "" && random() < 0.5 ? key : `${key}=${written}`} y=1`;
      expect([text, key, matches({ [key]: value }, text)]).toEqual([text, key, true]);
    }
  });

  test("keeps the literal types of name, labels and value", () => {
    const name: "slow_query" = slow.name;
    const labels: readonly ("database" | "kind")[] = slow.labels;
    const value: "took.ms" | undefined = slow.value;
    expect([name, labels, value]).toEqual(["slow_query", ["database", "kind"], "took.ms"]);
  });
});
