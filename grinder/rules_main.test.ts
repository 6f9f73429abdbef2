import { spawnSync } from "node:child_process";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { FolderStorage } from "../shared/storage/folder.ts";
import { compressFrame } from "../shared/zstd.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { denoPath, root } from "../tests/programs.ts";
import { block, line } from "./fixtures.ts";

const permissions = ["--allow-read", "--allow-env", "--allow-sys"];

function run(...args: string[]) {
  const all = ["run", ...permissions, "grinder/rules_main.ts", ...args];
  return spawnSync(denoPath, all, { cwd: root, encoding: "utf8" });
}

/** A storage with some lines, received an hour ago, and rules files. */
class Bench extends TemporaryFolder {
  readonly storage = new FolderStorage(this.path);
  readonly link = this.rules(
    "old.ts",
    'rule("link", /link (?<way>\\w+) on/, { labels: ["way"], yes: ["link up on a"] })',
  );
  readonly up = this.rules(
    "new.ts",
    'rule("link", /link (?<way>up) on/, { labels: ["way"], yes: ["link up on a"] })',
  );

  rules(name: string, rules: string): string {
    const path = join(this.path, name);
    const from = JSON.stringify(join(root, "grinder/rule.ts"));
    writeFileSync(path, `import { rule } from ${from};\nexport default [${rules}];\n`);
    return path;
  }

  async store(): Promise<void> {
    const epoch = await this.storage.createEpoch("r1");
    const text = block(line(0, "link up on a") + line(1, "link down on a"), {
      recvUs: (Date.now() - 3600e3) * 1000,
    });
    await epoch.commit([compressFrame(Buffer.from(text))]);
    await epoch.close();
  }
}

describe("rules test", () => {
  test("says that yes and no lines hold, or which don't, with status 1", () => {
    using bench = new Bench();
    const good = run("test", "--rules", bench.link);
    expect([good.status, good.stdout, good.stderr]).toEqual([
      0,
      `${bench.link}: 1 rules, their yes and no lines hold\n`,
      "",
    ]);
    const bad = bench.rules("bad.ts", 'rule("x", /aaaaa/, { yes: ["b"] })');
    const refused = run("test", "--rules", bad);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain('rule "x": a yes line must match /aaaaa/: "b" doesn\'t');
  });

  test("tries the rules on a file, and on what is stored of a time", async () => {
    using bench = new Bench();
    await bench.store();
    const file = join(bench.path, "lines");
    writeFileSync(file, "link up on b\nnothing\n");
    const tried = run("test", "--rules", bench.link, "--file", file);
    expect([tried.status, tried.stderr]).toEqual([0, ""]);
    expect(tried.stdout).toMatch(/1 {2}link\n +label way: 1 value: up 1\n +\| link up on b\n/);
    const stored = ["test", "--rules", bench.link, "--data", bench.path];
    expect(run(...stored, "--since", "2h").stdout).toMatch(/2 {2}link\n +label way: 2 values/);
    expect(run(...stored, "--since", "10m").stdout).toContain(`${bench.path}: there is nothing\n`);
  });
});

describe("rules cost", () => {
  test("measures on what is stored, or on made-up lines where nothing is", async () => {
    using bench = new Bench();
    const options = ["cost", "--rules", bench.link, "--data", bench.path, "--sample", "1"];
    const madeUp = run(...options);
    expect([madeUp.status, madeUp.stderr]).toEqual([0, ""]);
    expect(madeUp.stdout).toStartWith("on made-up lines");
    await bench.store();
    const stored = run(...options);
    expect(stored.status).toBe(0);
    expect(stored.stdout).toMatch(/^rule .*\nlink .* 2 +2 +2 {2}"link "\n/);
  });

  test("names rules that look at every record", () => {
    using bench = new Bench();
    const slow = bench.rules("slow.ts", 'rule("slow", /\\d\\w/, { yes: ["1a"] })');
    const { status, stdout } = run("cost", "--rules", slow, "--sample", "1");
    expect(status).toBe(0);
    expect(stdout).toContain("EVERY RECORD");
    expect(stdout).toContain('rule "slow": no plain text of 5 bytes or longer is in everything');
  });
});

describe("rules diff", () => {
  test("says what changes with status 1, and 0 where nothing does", async () => {
    using bench = new Bench();
    await bench.store();
    const options = ["--data", bench.path, "--since", "1d"];
    const differs = run("diff", bench.link, bench.up, ...options);
    expect([differs.status, differs.stderr]).toEqual([1, ""]);
    expect(differs.stdout).toContain('- d1: link down on a  way="down"');
    const same = run("diff", bench.link, bench.link, ...options);
    expect([same.status, same.stdout]).toEqual([0, "2 events are the same under both\n"]);
  });

  test("ends with status 2 where it can't compare", () => {
    using bench = new Bench();
    const bad = bench.rules("bad.ts", 'rule("x", /aaaaa/, { yes: ["b"] })');
    expect(run("diff", bench.link, bad, "--data", bench.path).status).toBe(2);
    const one = run("diff", bench.link);
    expect([one.status, one.stderr]).toEqual([
      2,
      "rules: Cannot compare rules because two files must be named: diff OLD NEW\n",
    ]);
    const since = run("diff", bench.link, bench.up, "--data", bench.path, "--since", "soon");
    expect(since.status).toBe(2);
    expect(since.stderr).toContain("Cannot read --since because it must be a time");
    const other = run("dance");
    expect([other.status, other.stderr]).toEqual([
      2,
      "rules: Cannot do dance because it must be one of test, cost, diff\nTry --help.\n",
    ]);
  });
});
