/** `deno task ledger` as a program. */
import { spawnSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "bun:test";
import { FolderStorage } from "../shared/storage/folder.ts";
import { TemporaryFolder } from "./fixtures.ts";
import { denoPath, grinderPermissions, killAll, Program, root } from "./programs.ts";
import { block, gapLine, line, lines, TestReceiver } from "../grinder/fixtures.ts";

afterAll(killAll);

/** What the program said, by lines, and its status. */
function ledger(...args: string[]) {
  const permissions = grinderPermissions.slice(1);
  const { status, stdout, stderr } = spawnSync(
    denoPath,
    ["run", ...permissions, "grinder/ledger/main.ts", ...args],
    { cwd: root, encoding: "utf8" },
  );
  return { status, lines: stdout.split("\n").slice(0, -1), stderr };
}

/** A receiver's storage, and a grinder that runs on it. */
class Bench extends TemporaryFolder implements AsyncDisposable {
  readonly rules = join(this.path, "rules.ts");
  receiver!: TestReceiver;
  grinder!: Program;

  static async start(...blocks: string[]): Promise<Bench> {
    const bench = new Bench();
    writeFileSync(bench.rules, "export default [];\n");
    bench.receiver = new TestReceiver(await new FolderStorage(bench.path).createEpoch("r1"));
    await bench.receiver.store(...blocks);
    const options = ["--data", bench.path, "--rules", bench.rules];
    const args = ["run", ...grinderPermissions, "grinder/main.ts", ...options];
    bench.grinder = new Program("grinder", denoPath, args);
    await bench.grinder.says(/\d+ rules, from/);
    return bench;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.grinder.kill();
    await this.receiver.queue.close();
    this[Symbol.dispose]();
  }

  /** The ledger, as soon as the running grinder has so many records in its state. */
  async until(stored: number, ...args: string[]) {
    for (let turn = 0; turn < 50; turn++) {
      const told = ledger("--data", this.path, ...args);
      if (told.lines.at(-1)?.includes(`${stored} records stored`)) return told;
      await sleep(100);
    }
    throw new Error(`the ledger never told of ${stored} records`);
  }
}

describe("the ledger as a program", () => {
  test(
    "tells of a running grinder's devices, and by its status whether all is explained",
    async () => {
      await using bench = await Bench.start(
        block(
          lines(0, 9) + gapLine(20, 1, { first: 10, last: 19, count: 10, cause: "overrun" }) +
            lines(20, 29),
        ),
        block(lines(5, 6), { device: "d2" }),
      );
      expect(await bench.until(22)).toEqual({
        status: 0,
        lines: [
          "d1  1 stream: 20 stored, 10 overwritten on the device",
          "d2  1 stream: 2 stored",
          "fleet of 2 devices: 2 streams, 22 records stored, 10 overwritten on the device, 0 evicted, " +
          "0 rate-limited, 0 refused, 0 lost, 0 unexplained",
        ],
        stderr: "",
      });
      await bench.receiver.store(block(line(9, "x"), { device: "d2" }));
      const { status, lines: told } = await bench.until(23);
      expect([status, told[1]]).toEqual([1, "d2  1 stream: 3 stored, 2 UNEXPLAINED"]);
      // The grinder went on as if nobody had been there.
      await bench.grinder.stop();
      expect(ledger("--data", bench.path)).toEqual({ status, lines: told, stderr: "" });
    },
    60_000,
  );

  test(
    "tells of one device stream by stream, as JSON if asked, and knows names that are near",
    async () => {
      await using bench = await Bench.start(
        block(lines(0, 2) + line(5, "x"), { device: "router-1" }),
        block(lines(0, 1), { device: "router-1", source: "app:x", stream: "s1" }),
        block(lines(0, 1), { device: "other" }),
      );
      const { status, lines: told } = await bench.until(6, "router-1");
      expect([status, ...told]).toEqual([
        1,
        "app:x s1  2 stored; 0-1",
        "kmsg b1  4 stored, 2 UNEXPLAINED; 0-2,5",
        "    never explained: 3-4",
        "router-1: 2 streams, 6 records stored, 0 overwritten on the device, 0 evicted, 0 rate-limited, " +
        "0 refused, 0 lost, 2 unexplained",
      ]);
      const json = ledger("--data", bench.path, "router-1", "--json");
      expect(json.lines.map((text) => JSON.parse(text))).toMatchObject([
        { device: "router-1", boot: "-", source: "app:x", stored: 2, unexplained: 0 },
        { boot: "b1", seqs: "0-2,5", unexplained: 2, unexplainedSeqs: "3-4" },
        { total: { devices: 1, streams: 2, stored: 6, unexplained: 2 } },
      ]);
      expect(ledger("--data", bench.path, "ruoter-1")).toEqual({
        status: 2,
        lines: [],
        stderr:
          "ledger: Cannot tell of ruoter-1 because nothing is stored of it, and no list has it. " +
          "Near to it are router-1\n",
      });
    },
    60_000,
  );

  test("ends with status 2 where it can't tell, and leaves no copy behind", () => {
    using folder = new TemporaryFolder();
    const copies = () => readdirSync(tmpdir()).filter((name) => name.startsWith("logmill-ledger-"));
    const before = copies();
    expect(ledger("--data", folder.path)).toMatchObject({
      status: 2,
      lines: [],
      stderr: expect.stringMatching(
        /^ledger: Cannot tell the ledger because .*sqlite must be there/,
      ),
    });
    expect(ledger("a", "b").stderr).toMatch(/^ledger: Cannot tell .* at most one device/);
    writeFileSync(join(folder.path, "grinder.sqlite"), "no database, but long enough".repeat(300));
    const torn = ledger("--data", folder.path);
    expect([torn.status, torn.stderr]).toEqual([
      2,
      expect.stringMatching(
        /^ledger: Cannot use .*grinder\.sqlite because it must be whole: .*\n$/,
      ),
    ]);
    expect(copies()).toEqual(before);
    expect(readdirSync(folder.path)).toEqual(["grinder.sqlite"]);
  });
});
