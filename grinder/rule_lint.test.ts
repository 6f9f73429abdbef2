import { afterAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url).href);
const folder = mkdtempSync(join(tmpdir(), "logmill-lint-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs `deno lint` with the project's own configuration on one file with this rule. */
function lint(call: string, maker = "rule"): { status: number | null; report: string } {
  const file = join(folder, "rules.ts");
  writeFileSync(file, `import { ${maker} } from "./rule.ts";\nexport default [${call}];\n`);
  const deno = join(root, "node_modules/.bin/deno");
  const args = ["lint", "--config", join(root, "deno.json"), file];
  const { status, stdout, stderr } = spawnSync(deno, args, {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  return { status, report: stdout + stderr };
}

test("deno lint passes a rule whose labels and value are groups of its regex", () => {
  const { status, report } = lint(
    'rule("x", /took (?<ms>\\d+) at (?<server>\\w+)/, { labels: ["server"], value: "ms", yes: [] })',
  );
  expect(report).toContain("Checked 1 file");
  expect(status).toBe(0);
});

test("deno lint reports a label and a value that are no groups of the regex", () => {
  const { status, report } = lint(
    'rule("x", /took (?<ms>\\d+) at (?<server>\\w+)/, { labels: ["sever"], value: "m", yes: [] })',
  );
  expect(status).toBe(1);
  expect(report).toContain("logmill/rule-groups");
  expect(report).toContain('its label must be a group of the regex: "sever" is none.');
  expect(report).toContain("did you mean server?");
  expect(report).toContain('its value must be a group of the regex: "m" is none.');
  expect(report).toContain("Found 2 problems");
});

test("deno lint reports a regex that isn't valid", () => {
  const { status, report } = lint('rule("x", /took (?<ms>\\d+/, { value: "ms", yes: [] })');
  expect(status).toBe(1);
  expect(report).toContain("its regex must be valid: Invalid regular expression");
  expect(report).toContain("Found 1 problem");
});

test("deno lint keeps silent about what isn't written as a literal, and other functions", () => {
  const calls = [
    'rule("x", new RegExp(text), { labels: ["a"], yes: [] })',
    'rule("x", /aaaaa/, { labels: names, value, ...rest })',
    'rule("x", /aaaaa/, options)',
    'role("x", /aaaaa/, { labels: ["a"], yes: [] })',
    'rule("x", json("x", { where, labels: names, value: ms, yes: [] }))',
    'rule("x", mapper("x", [literal, ...more], map, options))',
  ];
  expect(lint(calls.join(", ")).status).toBe(0);
});

test("deno lint passes right rules of every kind", () => {
  const { status, report } = lint(
    [
      'json("a", { where: { event: "x", "a.b": 1 }, labels: ["a.b", "c"], value: "ms", yes: [] })',
      'logfmt("b", { where: { event: "x" }, labels: { city: "at" }, value: "ms", yes: [] })',
      'mapper("c", ["event"], () => null, { yes: [] })',
    ].join(", "),
    "json, logfmt, mapper",
  );
  expect([status, report.includes("Checked 1 file")]).toEqual([0, true]);
});

test("deno lint reports a rule on fields without a condition, and fields that can't be any", () => {
  const { status, report } = lint(
    [
      'json("a", { where: {}, labels: ["a..b"], value: ".ms", yes: [] })',
      'logfmt("b", { where: { "a b": 1 }, labels: { city: "at=" }, yes: [] })',
    ].join(", "),
    "json, logfmt",
  );
  expect(status).toBe(1);
  expect(report).toContain("logmill/rule-fields");
  expect(report).toContain("its where must have a condition");
  for (const field of ["a..b", ".ms", "a b", "at="]) {
    expect(report).toContain(`current value is "${field}"`);
  }
  expect(report).toContain("Found 5 problems");
});

test("deno lint reports a mapper's literal that can't be looked for", () => {
  const { status, report } = lint(
    'mapper("c", ["event", "even"], () => null, { yes: [] })',
    "mapper",
  );
  expect(status).toBe(1);
  expect(report).toContain("logmill/rule-literals");
  expect(report).toContain('current value is "even"');
  expect(report).toContain("Found 1 problem");
});
