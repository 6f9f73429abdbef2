/** `deno task grep` as a program. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { closeSync, constants, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { indexPath } from "../grinder/index/index_file.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { compressFrame } from "../shared/zstd.ts";
import { TemporaryFolder } from "./fixtures.ts";
import { denoPath, grinderPermissions, root } from "./programs.ts";
import { block, lines, noonUs, syncLine } from "../grinder/fixtures.ts";

const program = ["run", ...grinderPermissions, "grinder/grep/main.ts"];
const folder = new TemporaryFolder();
const children: ChildProcess[] = [];
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  folder[Symbol.dispose]();
});

function run(...words: string[]) {
  return spawnSync(denoPath, [...program, "--data", folder.path, ...words], {
    cwd: root,
    encoding: "utf8",
  });
}

/** Two minutes of two devices, and a lot of what nobody looks for at first. */
beforeAll(async () => {
  const epoch = await new FolderStorage(folder.path).createEpoch("r1");
  const sync = (usec: number) => syncLine(0, usec, noonUs + usec);
  const error = lines(3, 3, "disk failed\\x0a\\x1b[31mred").replace("6,3", "3,3");
  const one = block(sync(5e6) + lines(0, 2) + error + lines(4, 5), { recvUs: noonUs + 6e6 });
  const two = block(sync(9e6) + lines(0, 9, "disk is fine"), {
    device: "d2",
    recvUs: noonUs + 10e6,
  });
  await epoch.commit([one + two, one].map((text) => compressFrame(Buffer.from(text, "latin1"))));
  for (let i = 0; i < 40; i++) {
    const many = block(lines(1_000 * i, 1_000 * i + 999, "said again and again"), { device: "d3" });
    await epoch.commit([compressFrame(Buffer.from(many, "latin1"))]);
  }
  await epoch.close();
  writeFileSync(join(folder.path, "devices"), "");
});

/** So many bytes are there now. */
function read(fd: number): number {
  try {
    return readSync(fd, new Uint8Array(4_096));
  } catch {
    return 0;
  }
}

describe("grep as a program", () => {
  test("shows wall time, device, source, level and text, each record once, and nothing a terminal obeys", () => {
    const { status, stdout, stderr } = run("disk f(ailed|ull)");
    expect(stdout).toBe(
      "2026-11-22T12:00:03.000000Z  d1 kmsg err: disk failed\n    \\x1b[31mred\n",
    );
    expect([status, stderr]).toEqual([0, ""]);
  });

  test("shows what is around a match, and groups apart", () => {
    const { stdout } = run("-C1", "disk failed|d[i]sk is fine$", "--until", "2026-11-22T12:00:05Z");
    const shown = stdout.split("\n").filter((line) => !line.startsWith("    ")).slice(0, -1);
    expect(shown.slice(0, 5).map((line) => line.slice(11))).toEqual([
      "12:00:02.000000Z  d1 kmsg info- link up on eth0",
      "12:00:03.000000Z  d1 kmsg err: disk failed",
      "12:00:04.000000Z  d1 kmsg info- link up on eth0",
      "",
      "12:00:00.000000Z  d2 kmsg info: disk is fine",
    ]);
    // Up to then, and one behind it.
    expect(shown.length).toBe(3 + 1 + 5 + 1);
  });

  test("tells all of a record as JSON", () => {
    const { stdout } = run("disk failed", "--json");
    const { segment, offset, line, ...told } = JSON.parse(stdout);
    expect(told).toEqual({
      kind: "match",
      time: "2026-11-22T12:00:03.000000Z",
      time_error_us: expect.any(Number),
      ...{
        device: "d1",
        boot: "b1",
        source: "kmsg",
        stream: "b1",
        seq: 3,
        usec: 3_000_000,
        prio: 3,
        flag: "-",
      },
      text: "disk failed\n\u001b[31mred",
      recv_us: noonUs + 6e6,
    });
    expect(segment).toMatch(/^r1\/.*\/00000000$/);
    expect([offset, line > 0]).toEqual([0, true]);
  });

  for (
    const [words, count] of [
      [["disk"], 11],
      [["disk", "--level", "err"], 1],
      [["DISK", "-i", "--devices", "d2"], 10],
      [["disk", "--since", "2026-11-22T12:00:08Z"], 2],
      [["disk", "--source", "app:x"], 0],
      [["d.s."], 11],
    ] as const
  ) {
    test(`counts ${count} for ${words.join(" ")}`, () => {
      const { status, stdout } = run("-c", ...words);
      expect([stdout, status]).toEqual([`${count}\n`, count > 0 ? 0 : 1]);
    });
  }

  test("shows the same once what can be in the frames is noted, and isn't misled by a wrong note", () => {
    const asked = [["disk f(ailed|ull)"], ["-c", "again and"], ["-C1", "disk failed"], [
      "never said",
    ]];
    const shown = () =>
      asked.map((words) => run(...words)).map(({ status, stdout }) => [status, stdout]);
    const before = shown();
    const index = ["run", ...grinderPermissions, "grinder/index/main.ts", "--data", folder.path];
    const { stderr } = spawnSync(denoPath, index, { cwd: root, encoding: "utf8" });
    expect(stderr).toMatch(/index: [\d.]+ MB noted of what can be in [1-9][\d.]* MB of text/);
    expect(shown()).toEqual(before);
    const db = new DatabaseSync(indexPath(folder.path));
    expect(db.prepare("UPDATE grams SET bits = zeroblob(length(bits))").run().changes)
      .toBeGreaterThan(0);
    db.close();
    expect(shown()).toEqual(before);
    expect(run("never said").stderr).toMatch(
      /the index of grams can't be used: .* All is read there/,
    );
    for (const end of ["", "-wal", "-shm"]) rmSync(indexPath(folder.path) + end, { force: true });
  });

  test("says what a regex without a literal costs", () => {
    expect(run("-c", "d.s.").stderr).toMatch(
      /so every record is looked at: some \d+ ms for each MiB/,
    );
  });

  for (
    const [words, why] of [
      [["link (up"], /must be a regular expression/],
      [["(?=x)(a+)+b"], /must not repeat what can be repeated/],
      [["disk", "--since", "2026-11-23", "--until", "2026-11-22"], /must be before --until/],
      [["disk", "--level", "loud"], /must be 0 to 7 or one of/],
      [["disk", "-A", "5000"], /at most 1000: it is 5000/],
      [["disk", "--devices", "d 1"], /must be names .* or labels/],
      [["disk", "--devices", "city=Bern"], /some device must have the labels/],
      [[], /there must be one regex: none is there/],
      [["nothing", "--devices", "d7"], /d7 is in no list of devices and in no index/],
    ] as const
  ) {
    test(`ends with status 2 for ${words.join(" ") || "no words"}`, () => {
      const { status, stdout, stderr } = run(...words);
      expect(stderr).toMatch(why);
      expect([status, stdout]).toEqual([2, ""]);
    });
  }

  test("is stopped by Ctrl-C, says how much it has found until then, and ends with status 130", async () => {
    // A pipe that is full long before all is written, since nobody reads it until then.
    const pipe = join(folder.path, "pipe");
    spawnSync("mkfifo", [pipe]);
    const fd = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const end = openSync(pipe, constants.O_WRONLY);
    const words = [...program, "--data", folder.path, "again and"];
    const child = spawn(denoPath, words, { cwd: root, stdio: ["ignore", end, "pipe"] });
    children.push(child);
    closeSync(end);
    let said = "";
    child.stderr!.on("data", (text) => said += text);
    const exited = once(child, "exit");
    while (read(fd) === 0) await sleep(5);
    child.kill("SIGINT");
    await sleep(50);
    for (; child.exitCode === null; await sleep(5)) while (read(fd) > 0);
    const [status] = await exited;
    closeSync(fd);
    expect(status).toBe(130);
    const [, matches] = /^grep: stopped: (\d+) matches so far$/m.exec(said)!;
    expect(Number(matches)).toBeGreaterThan(0);
    expect(Number(matches)).toBeLessThan(40_000);
  });
});
