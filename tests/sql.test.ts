/** `deno task sql` as a program. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "bun:test";
import { TemporaryFolder } from "./fixtures.ts";
import { denoPath, grinderPermissions, root } from "./programs.ts";
import { block, lines, Mill } from "../grinder/fixtures.ts";

const permissions = [...grinderPermissions.slice(1), "--allow-ffi"];

function sql(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    denoPath,
    ["run", ...permissions, "grinder/sql/main.ts", ...args],
    { cwd: root, encoding: "utf8" },
  );
  return { status, stdout, stderr };
}

describe("sql as a program", () => {
  test("reads all views of a folder under Deno, as CSV and as JSON", async () => {
    await using mill = new Mill();
    const receiver = await mill.receiver();
    await receiver.store(
      block(lines(0, 2)),
      block(lines(0, 1) + '6,5,5000000,-;say "a, b"\n', { device: "d2" }),
    );
    await mill.grindAll();
    const place = ["--data", mill.folder.path, "--out", mill.out];
    const joined = `select r.device, count(*) as records, any_value(l.unexplained) as unexplained,
      (select count(*) from events e where e.device = r.device) as events
      from records r join ledger l using (device) group by all order by all`;
    expect(sql(joined, ...place)).toEqual({
      status: 0,
      stdout: "device,records,unexplained,events\r\nd1,3,0,3\r\nd2,3,3,2\r\n",
      stderr: "",
    });
    expect(sql("select text, seq from records where seq = 5", ...place, "--csv").stdout)
      .toBe('text,seq\r\n"say ""a, b""",5\r\n');
    expect(sql("select text, seq from records where seq = 5", ...place, "--json").stdout)
      .toBe('{"text":"say \\"a, b\\"","seq":5}\n');
    const [labels] = sql(
      "select labels, sum(count)::bigint as n from aggregates group by labels order by n desc",
      ...place,
      "--json",
    ).stdout.split("\n");
    expect(JSON.parse(labels!)).toEqual({ labels: { way: "up", city: "bern" }, n: 3 });
  }, 60_000);

  test("leaves nothing in the scratch folder, also where it is stopped", async () => {
    using folder = new TemporaryFolder();
    const env = { TMPDIR: join(folder.path, "scratch") };
    mkdirSync(env.TMPDIR);
    const query = "select count(*) from range(1000000000000) t(i) where hash(i) = 1";
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const args = ["run", ...permissions, "grinder/sql/main.ts", query, "--data", folder.path];
      const child = spawn(denoPath, args, { cwd: root, env: { ...process.env, ...env } });
      const exited = once(child, "exit");
      const hung = setTimeout(() => child.kill("SIGKILL"), 20_000);
      while (readdirSync(env.TMPDIR).length === 0) await sleep(20);
      await sleep(300);
      child.kill(signal);
      expect(await exited).toEqual([1, null]);
      clearTimeout(hung);
      expect(readdirSync(env.TMPDIR)).toEqual([]);
    }
    expect(sql("select 1", "--data", folder.path).status).toBe(0);
  }, 60_000);

  test("says in a line what is wrong, with status 1 for the query and 2 for the words", () => {
    using folder = new TemporaryFolder();
    const data = ["--data", join(folder.path, "none")];
    const bad = sql("select nothing", ...data);
    expect([bad.status, bad.stdout]).toEqual([1, ""]);
    expect(bad.stderr).toMatch(/^sql: Cannot run the query because Binder Error: .*"nothing"/);
    // What is wrong comes up only while it runs.
    const late = sql("select (10 - i)::utinyint from range(20) t(i)", ...data);
    expect(late.status).toBe(1);
    expect(late.stderr).toMatch(/^sql: Cannot run the query because Conversion Error: /);
    for (
      const [args, why] of [
        [
          ["select", "1"],
          /^sql: Cannot run a query because it must be one text, in quotes: it is 2/,
        ],
        [["select 1", "--csv", "--json"], /^sql: Cannot use --csv with --json/],
        [["select 1", "--since", "x"], /^sql: Cannot read --since because/],
        [["select 1", "--memory", "1"], /^sql: Cannot use --memory because/],
      ] as const
    ) {
      const { status, stderr } = sql(...args);
      expect([status, stderr]).toEqual([2, expect.stringMatching(why)]);
    }
  }, 60_000);
});
