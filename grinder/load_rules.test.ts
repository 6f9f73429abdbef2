// deno-lint-ignore-file logmill/rule-fields logmill/rule-literals
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import shipped from "../rules.ts";
import { loadRules, refuseSlowRules, RulesError, slowRules } from "./load_rules.ts";
import { extract, groupNames, json, logfmt, mapper, rule, takeFailures } from "./rule.ts";
import { checkRules } from "./rule_checks.ts";

// With a space: a path is no URL.
const folder = await mkdtemp(join(tmpdir(), "logmill rules "));
afterAll(() => rm(folder, { recursive: true }));

const ruleModule = new URL("./rule.ts", import.meta.url).href;
let files = 0;

async function rulesFile(body: string): Promise<string> {
  const path = join(folder, `rules${files++}.ts`);
  await writeFile(path, `import { rule } from ${JSON.stringify(ruleModule)};\n${body}\n`);
  return path;
}

async function refusal(body: string): Promise<{ path: string; message: string }> {
  const path = await rulesFile(body);
  const error = await loadRules(path).then(() => undefined, (error) => error);
  expect(error).toBeInstanceOf(RulesError);
  expect(error.code).toBe("rules");
  expect(error.message).toStartWith(`Cannot load rules from ${path} because `);
  return { path, message: error.message };
}

/** The refusal of a file with one rule, given by its regex and options as source text. */
async function ruleRefusal(regex: string, options: string, name = "x"): Promise<string> {
  const { message } = await refusal(`export default [rule("${name}", ${regex}, ${options})];`);
  return message;
}

describe("extract", () => {
  const probe = rule("probe", /server=(?<server>\S+) ms=(?<ms>[\w.+-]*)(?: via (?<via>\w+))?/, {
    labels: ["server", "via"],
    value: "ms",
    yes: ["server=a ms=1"],
  });

  test("gives labels and value, and an empty label where the group took no part", () => {
    expect(extract(probe, "server=192.0.2.53 ms=12.5 via eth0")).toEqual({
      labels: { server: "192.0.2.53", via: "eth0" },
      value: 12.5,
    });
    expect(extract(probe, "server=a ms=-3")).toEqual({
      labels: { server: "a", via: "" },
      value: -3,
    });
  });

  test("gives null where the regex doesn't match", () => {
    expect(extract(probe, "server= ms=1")).toBeNull();
  });

  test("gives no value where the text is no finite decimal number", () => {
    for (const text of ["", "0x10", "1e3", "Infinity", "NaN", "1.2.3", "9".repeat(400)]) {
      expect(extract(probe, `server=a ms=${text}`)).toEqual({ labels: { server: "a", via: "" } });
    }
  });

  test("keeps the literal types of name, labels and value", () => {
    const name: "probe" = probe.name;
    const labels: readonly ("server" | "via")[] = probe.labels;
    const value: "ms" | undefined = probe.value;
    expect([name, labels, value]).toEqual(["probe", ["server", "via"], "ms"]);
  });
});

describe("groupNames", () => {
  test("lists the groups in order, also of a regex that needs text or has flags", () => {
    expect(groupNames(/^(?<b>x+)(y)(?<a>z)$/gi)).toEqual(["b", "a"]);
    expect(groupNames(/(?<year>\d{4})-\p{L}/u)).toEqual(["year"]);
    expect(groupNames(/(x)/)).toEqual([]);
  });
});

describe("loadRules", () => {
  test("gives the rules of a right file", async () => {
    const path = await rulesFile(
      'export default [rule("a", /took (?<ms>\\d+) ms/, { value: "ms", yes: ["took 3 ms"] })];',
    );
    const rules = await loadRules(path);
    expect(rules.map((rule) => [rule.kind, rule.name])).toEqual([["regex", "a"]]);
    expect(extract(rules[0]!, "it took 7 ms")).toEqual({ labels: {}, value: 7 });
  });

  test("reads the file again after a change, and only then", async () => {
    const path = await rulesFile('export default [rule("a", /aaaaa/, { yes: ["aaaaa"] })];');
    const first = await loadRules(path);
    expect((await loadRules(path))[0]).toBe(first[0]!);
    await writeFile(
      path,
      `import { rule } from ${JSON.stringify(ruleModule)};
       export default [rule("b", /bbbbb/, { yes: ["bbbbb"] })];`,
    );
    // Two writes can fall into one tick of the file system's clock; an editor's don't.
    await utimes(path, new Date(), new Date(Date.now() + 1000));
    expect((await loadRules(path)).map((rule) => rule.name)).toEqual(["b"]);
  });

  test("can load a file that was corrected after a refusal", async () => {
    const { path } = await refusal("export default [;");
    await writeFile(path, "export default [];");
    await utimes(path, new Date(), new Date(Date.now() + 1000));
    expect(await loadRules(path)).toEqual([]);
  });

  test("refuses a module that throws, and says what it threw", async () => {
    const { message } = await refusal('throw new Error("no such city");');
    expect(message).toContain("Error: no such city");
  });

  test("refuses a syntax error, an invalid regex and a missing file", async () => {
    for (const body of ["export default [;", 'export default [rule("a", /(/, { yes: [] })];']) {
      expect((await refusal(body)).message).toContain("it must be a module that can be imported: ");
    }
    const missing = await loadRules(join(folder, "none.ts")).then(
      () => undefined,
      (error) => error,
    );
    expect(missing).toBeInstanceOf(RulesError);
    expect(missing.message).toContain("ENOENT");
  });

  test("refuses a module without a default array, and says how it must end", async () => {
    expect((await refusal("export const rules = [];")).message).toContain(
      "its default export must be an array of rules: it is missing. End the file with: export default",
    );
    expect((await refusal("export default rule;")).message).toContain("it is a function");
  });

  test("refuses what rule() didn't make", async () => {
    const { message } = await refusal('export default [{ name: "a", regex: /a/ }, /a/, "a"];');
    const must = "it must be made by rule(...), json(...), logfmt(...) or mapper(...)";
    expect(message).toContain(`rule 1: ${must}: it is an object`);
    expect(message).toContain(`rule 3: ${must}: it is a string`);
  });

  test("refuses a name of another shape and a name that was used before", async () => {
    expect(await ruleRefusal("/aaaaa/", '{ yes: ["aaaaa"] }', "Link-Up")).toContain(
      'rule "Link-Up": its name must match /^[a-z][a-z0-9_]*$/',
    );
    expect(await ruleRefusal("/aaaaa/", '{ yes: ["aaaaa"] }', "gap")).toContain(
      'rule "gap": its name must not be that of a built-in event',
    );
    const one = 'rule("a", /aaaaa/, { yes: ["aaaaa"] })';
    expect((await refusal(`export default [${one}, ${one}];`)).message).toContain(
      'rule "a": its name must be unique',
    );
  });

  test("refuses a label or value that is no group, lists the groups, suggests the nearest", async () => {
    const message = await ruleRefusal(
      "/took (?<millis>\\d+) ms at (?<server>\\w+)/",
      '{ labels: ["sever"], value: "mills", yes: ["took 1 ms at a"] }',
    );
    expect(message).toContain(
      'its label must be a group of the regex: "sever" is none. It has millis, server; ' +
        "did you mean server?",
    );
    expect(message).toContain('"mills" is none. It has millis, server; did you mean millis?');
    expect(await ruleRefusal("/aaaaa/", '{ labels: ["b"], yes: ["aaaaa"] }')).toContain(
      "The regex has no group; name one by (?<b>...)",
    );
  });

  test("refuses a label that is a device label too", async () => {
    expect(
      await ruleRefusal(
        "/aaaaa (?<city>\\w+)/",
        '{ labels: ["city"], device: ["city"], yes: ["aaaaa b"] }',
      ),
    ).toContain('its label must not be a device label too: "city" is both');
  });

  test("refuses the flags g and y, also where the examples match by them", async () => {
    expect(await ruleRefusal("/aaaaa/gi", '{ yes: ["aaaaa", "aaaaa"] }')).toContain("it has g.");
    expect(await ruleRefusal("/aaaaa/gy", '{ yes: ["aaaaa", "aaaaa"] }')).toContain("it has gy.");
  });

  test("refuses a regex that can take for ever, and shows the part", async () => {
    const message = await ruleRefusal("/bomb: (?:a|aa)+b/i", '{ yes: ["bomb: aab"] }');
    expect(message).toContain("it has (?:a|aa)+, which can take for ever.");
  });

  test("refuses a yes line that doesn't match, and shows rule and line", async () => {
    const message = await ruleRefusal("/usb disconnect/", '{ yes: ["usb 1: USB disconnect"] }');
    expect(message).toContain(
      'rule "x": a yes line must match /usb disconnect/: "usb 1: USB disconnect" doesn\'t',
    );
  });

  test("refuses a no line that matches, and shows rule and line", async () => {
    const message = await ruleRefusal("/link up/", '{ yes: ["link up"], no: ["SATA link up"] }');
    expect(message).toContain('rule "x": a no line must not match /link up/: "SATA link up" does');
  });

  test("refuses a rule without a yes line", async () => {
    expect(await ruleRefusal("/aaaaa/", "{ yes: [] }")).toContain("it must have a yes line");
  });

  test("refuses a value that is no number in a yes line", async () => {
    expect(
      await ruleRefusal("/took (?<ms>\\w+)/", '{ value: "ms", yes: ["took 3", "took long"] }'),
    ).toContain(
      'its value "ms" must be a decimal number in every yes line: it isn\'t in "took long"',
    );
  });

  test("lists all problems of all rules in one error", async () => {
    const { message } = await refusal(
      'export default [rule("A", /aaaaa/g, { yes: [] }), rule("b", /b/, { yes: ["c"] })];',
    );
    expect(message).toContain("4 problems\n");
    expect(message.split("\n")).toHaveLength(5);
  });
});

describe("checkRules", () => {
  const yes = ['{"event":"x","ms":1}'];
  const map = () => ({});
  const wrong: Array<[what: string, rule: unknown, said: string]> = [
    [
      "a json rule without a condition",
      json("a", { where: {}, yes }),
      "its where must have a cond",
    ],
    [
      "a logfmt rule without a where",
      logfmt("a", { yes } as unknown as Parameters<typeof logfmt>[1]),
      "its where must have a condition",
    ],
    [
      "a path with an empty key",
      json("a", { where: { event: "x" }, labels: ["a..b"], yes }),
      'a field must be keys with dots between them: current value is "a..b"',
    ],
    [
      "a logfmt key with a blank",
      logfmt("a", { where: { event: "x" }, labels: { b: "a b" }, yes: ["event=x"] }),
      'a field must be without blanks, = and ": current value is "a b"',
    ],
    [
      "a condition that is an object",
      json("a", { where: { event: { is: "x" } as unknown as string }, yes }),
      'what "event" must be is to be a string, number, boolean, RegExp, or a list of the first three',
    ],
    [
      "a condition with the flag g",
      json("a", { where: { event: /x/g }, yes }),
      'the regex for "event" must be without the flags g and y: it has g',
    ],
    [
      "a yes line that lacks a text that must be there, which it names",
      json("a", { where: { event: "y" }, yes }),
      '"event\\":\\"y\\"" or "',
    ],
    [
      "a no line that matches",
      json("a", { where: { event: "x" }, yes, no: yes }),
      "does. Make the where narrower",
    ],
    [
      "a value that isn't in a yes line",
      json("a", { where: { event: "x" }, value: "s", yes }),
      'its value "s" must be a decimal number in every yes line',
    ],
    [
      "a label that is a device label too",
      json("a", { where: { event: "x" }, labels: { city: "c" }, device: ["city"], yes }),
      'its label must not be a device label too: "city" is both',
    ],
    ["a mapper without a literal", mapper("a", [], map, { yes }), "it must have a literal"],
    [
      "a mapper with a short literal",
      mapper("a", ["even"], map, { yes }),
      'a literal must be 5 or more characters of printable ASCII without a backslash: current value is "even"',
    ],
    ["a mapper with a backslash", mapper("a", ["C:\\\\dir", "event"], map, { yes }), "C:"],
    [
      "a mapper that throws on a yes line",
      mapper("a", ["event"], () => JSON.parse("-"), { yes }),
      "doesn't, since the function failed: SyntaxError",
    ],
    [
      "a mapper that throws on a no line",
      mapper("a", ["event"], (text) => text === "event" ? JSON.parse("-") : {}, {
        yes,
        no: ["event"],
      }),
      '"event" can\'t be told, since the function failed: SyntaxError',
    ],
  ];
  for (const [what, rule, said] of wrong) {
    test(`refuses ${what}`, () => {
      const problems = checkRules([rule]);
      expect(problems.length).toBeGreaterThan(0);
      expect(problems.join("\n")).toContain(said);
      expect(problems[0]).toStartWith('rule "a": ');
    });
  }

  test("leaves no failures behind: those of examples aren't the log's", () => {
    const fails = mapper("a", ["event"], () => JSON.parse("-"), { yes, no: ["event"] });
    expect(checkRules([fails])).toHaveLength(2);
    expect(takeFailures([fails])).toEqual([]);
  });

  test("takes right rules of every kind", () => {
    expect(checkRules([
      json("a", { where: { event: "x" }, labels: ["a.b"], value: "ms", yes, no: ["{}"] }),
      logfmt("b", { where: { event: /^x/ }, yes: ["event=x"], no: ["event=y"] }),
      mapper("c", ["event"], map, { yes, no: ["even"] }),
    ])).toEqual([]);
  });
});

describe("slow rules", () => {
  const rules = ["a", "b"].map((name) => rule(name, /aaaaa/, { yes: [] }));
  const plans = [{ rule: 0, literals: ["aaaaa"], cost: 1e3 }, {
    rule: 1,
    literals: undefined,
    cost: 6.2e6,
  }];

  test("are named with what they cost", () => {
    expect(slowRules(rules, plans)).toEqual([
      'rule "b": no plain text of 5 bytes or longer is in everything it matches, so it looks at every ' +
      "record: some 6.2 ms for each MiB of log text",
    ]);
  });

  test("are refused where that is asked for", () => {
    expect(() => refuseSlowRules("x.ts", rules, plans)).toThrow(RulesError);
    expect(() => refuseSlowRules("x.ts", rules, plans)).toThrow(
      /^Cannot load rules from x\.ts because .* 1 of 2 don't\nrule "b": /,
    );
    refuseSlowRules("x.ts", rules, [plans[0]!]);
  });
});

describe("the shipped rules", () => {
  test("load without a problem, and there are 26 or more", async () => {
    expect(checkRules(shipped)).toEqual([]);
    const path = fileURLToPath(new URL("../rules.ts", import.meta.url).href);
    expect((await loadRules(path)).length).toBeGreaterThanOrEqual(26);
  });

  test("have each two yes lines that match and a no line that doesn't", () => {
    for (const rule of shipped) {
      expect([rule.name, rule.yes.length >= 2, rule.no.length >= 1]).toEqual([
        rule.name,
        true,
        true,
      ]);
      for (const line of rule.yes) {
        expect([line, extract(rule, line) !== null]).toEqual([line, true]);
      }
      for (const line of rule.no) {
        expect([line, extract(rule, line) !== null]).toEqual([line, false]);
      }
    }
  });

  test("say each yes line by no other rule: one line is one event", () => {
    for (const rule of shipped) {
      for (const line of rule.yes) {
        const names = shipped.filter((other) => extract(other, line)).map((other) => other.name);
        expect([line, ...names]).toEqual([line, rule.name]);
      }
    }
  });
});
