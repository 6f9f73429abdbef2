import { spawn, spawnSync } from "node:child_process";
import { chownSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { afterAll, describe, expect, test } from "bun:test";
import { addDevice } from "../shared/allowlist_edit.ts";
import { FilePlace } from "../shared/allowlist_file.ts";
import { readBlocks } from "../shared/block.ts";
import { loadIdentity } from "../shared/identity.ts";
import { decodeSegment } from "../shared/segment_reader.ts";
import { TokenVerifier } from "../shared/token.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { bunPath, type Program, root, startReceiver } from "../tests/programs.ts";
import { openRing } from "./ring.ts";

const running: Program[] = [];
afterAll(async () => {
  for (const program of running) if (program.running) await program.kill();
});

/** The agent as a process whose stdin the test writes. */
function start(args: string[], before: string[] = []) {
  const [command, ...rest] = [...before, bunPath, "agent/main.ts", ...args];
  const child = spawn(command!, rest, { cwd: root });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (text) => output.stdout += text);
  child.stderr.on("data", (text) => output.stderr += text);
  const ended = new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on("close", (status) => resolve({ status, ...output }))
  );
  return { child, ended, output };
}

function run(args: string[], input = "", before: string[] = []) {
  const { child, ended } = start(args, before);
  child.stdin.end(input);
  return ended;
}

/** A receiver that lets the identity in `state` in. */
async function setUp(folder: TemporaryFolder) {
  const data = join(folder.path, "data");
  const state = join(folder.path, "state");
  const { stdout } = await run(["identity", "--state", state]);
  const { program, url } = await startReceiver(data, "--port", "0", "--name", "r1");
  running.push(program);
  const allowed = new FilePlace(join(data, "devices"));
  await addDevice(allowed, { thumbprint: stdout.trim(), name: "kiosk-7", labels: {} });
  await until(async () => {
    const { stdout: token } = await run(["token", "--state", state]);
    const headers = { Authorization: `Bearer ${token.trim()}` };
    return (await fetch(`${url}v1/logs`, { method: "POST", headers })).status === 200;
  });
  const blocks = () => {
    const [epoch] = readdirSync(join(data, "segments/r1"));
    const at = join(data, "segments/r1", epoch!);
    return readdirSync(at).filter((file) => file.endsWith(".zst")).sort()
      .flatMap((file) => decodeSegment(readFileSync(join(at, file))))
      .flatMap(({ text, damage }) => [...readBlocks(text ?? expect.unreachable(damage))]);
  };
  /** The ordinary records that are stored, without their time. */
  const records = () =>
    blocks().flatMap(({ text }) => text.trimEnd().split("\n"))
      .filter((line) => /^\d+,\d+,\d+,-/.test(line))
      .map((line) => line.replace(/^(\d+,\d+),\d+,/, "$1,"));
  return {
    data,
    state,
    program,
    url,
    blocks,
    records,
    agent: ["--state", state, "--receiver", url],
  };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!await holds()) {
    expect(performance.now()).toBeLessThan(endMs);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("agent identity", () => {
  test("makes the key once and prints the same thumbprint each time", async () => {
    using folder = new TemporaryFolder();
    const state = join(folder.path, "new");
    const first = await run(["identity", "--state", state]);
    expect([first.status, first.stderr]).toEqual([0, ""]);
    expect(first.stdout).toMatch(/^[A-Za-z0-9_-]{43}\n$/);
    expect(await run(["identity", "--state", state])).toEqual(first);
    // Killed between key and certificate, it is finished by the next run.
    rmSync(join(state, "device.crt"));
    expect(await run(["identity", "--state", state])).toEqual(first);
    expect(existsSync(join(state, "device.crt"))).toBe(true);
  });

  test("that can't be made says why", async () => {
    const { status, stderr } = await run(["identity", "--state", "/proc/nowhere"]);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^logmill-agent: Cannot create identity because \/proc\/nowhere must be/,
    );
  });
});

describe("agent token", () => {
  test("prints a token that the receiver takes, and nothing else", async () => {
    using folder = new TemporaryFolder();
    await run(["identity", "--state", folder.path]);
    const { status, stdout, stderr } = await run(["token", "--state", folder.path]);
    expect([status, stderr, stdout.split("\n").length]).toEqual([0, "", 2]);
    const { thumbprint } = await loadIdentity(folder.path);
    const verifier = new TokenVerifier({
      audience: "logmill",
      allowed: (thumbprint) => ({ thumbprint, name: "kiosk-7", labels: {} }),
      now: Date.now,
      cacheMax: 1,
    });
    expect((await verifier.verify(`Bearer ${stdout.trim()}`)).thumbprint).toBe(thumbprint);
  });

  test("without an identity says what to do", async () => {
    using folder = new TemporaryFolder();
    const { status, stdout, stderr } = await run(["token", "--state", folder.path]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("agent identity");
  });
});

describe("the agent's command line", () => {
  test("--help names every option with its unit and its default", async () => {
    const { status, stdout } = await run(["--help"]);
    expect(status).toBe(0);
    for (
      const option of [
        "receiver URL",
        "source SOURCE",
        "state FOLDER",
        "name NAME",
        "audience NAME",
      ]
    ) {
      expect(stdout).toMatch(new RegExp(`--${option} .*\\(default: [^)]+\\)`));
    }
    for (const command of ["[run]", "identity", "token"]) expect(stdout).toContain(command);
  });

  test.each([
    [["fly"], 1, "Cannot run `fly`: there is no such command. Try --help."],
    [["--source", "syslog"], 1, "Cannot ship syslog: a source must be kmsg, stdin or none"],
    [["--source", "stdin", "--name", "my app"], 1, "Cannot use --name my app because it must be"],
    [["--sauce", "stdin"], 2, "Try --help."],
  ])("answers %j with status %d and what to do", async (args, status, message) => {
    using folder = new TemporaryFolder();
    await run(["identity", "--state", folder.path]);
    const ended = await run([...args as string[], "--state", folder.path]);
    expect([ended.status, ended.stdout]).toEqual([status as number, ""]);
    expect(ended.stderr).toContain(message as string);
  });
});

describe("lines on stdin", () => {
  test("are stored, and the agent ends with them", async () => {
    using folder = new TemporaryFolder();
    const { agent, state, blocks, records, program } = await setUp(folder);
    const { status } = await run(
      ["--source", "stdin", "--name", "demo", ...agent],
      "one\n\u00e9\nthree",
    );
    expect(status).toBe(0);
    expect(records()).toEqual(["14,0,-;one", "14,1,-;\\xc3\\xa9", "14,2,-;three"]);
    const { header } = blocks().find(({ header: { count } }) => count === 3)!;
    expect(header).toMatchObject({ device: "kiosk-7", source: "app:demo", first: 0, last: 2 });
    expect(readdirSync(state).sort()).toEqual(["device.crt", "device.key", "status.json"]);
    await program.stop();
  });

  test("that wait for company are sent at SIGTERM, and the agent ends within 5 s", async () => {
    using folder = new TemporaryFolder();
    const { agent, records, program } = await setUp(folder);
    const { child, ended } = start(["--source", "stdin", ...agent]);
    child.stdin.write("first\n");
    await until(() => records().length === 1);
    child.stdin.write("last words\n");
    await new Promise((resolve) => setTimeout(resolve, 50)); // Less than the flush time.
    const startMs = performance.now();
    child.kill("SIGTERM");
    expect((await ended).status).toBe(0);
    expect(performance.now() - startMs).toBeLessThan(5_000);
    expect(records()).toEqual(["14,0,-;first", "14,1,-;last words"]);
    await program.stop();
  });

  test("that nobody takes don't keep the agent from ending within 5 s of SIGTERM", async () => {
    using folder = new TemporaryFolder();
    await run(["identity", "--state", folder.path]);
    const args = ["--source", "stdin", "--state", folder.path, "--receiver", "http://127.0.0.1:1"];
    const { child, ended, output } = start(args);
    child.stdin.write("a line\n");
    await until(() => output.stderr.includes("can't upload now"));
    const startMs = performance.now();
    child.kill("SIGTERM");
    await ended;
    expect(performance.now() - startMs).toBeLessThan(5_000);
    // Each try failed; that was said once.
    expect(output.stderr.match(/can't upload/g)!.length).toBe(1);
  });
});

/** Why the kernel's log can't be used here; undefined if it can. */
function whyNoKmsg(): string | undefined {
  try {
    openRing().close();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** How to run as nobody; undefined where that can't be done, or where nobody may read the log, too. */
function asNobody(): string[] | undefined {
  const nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
  const [command, ...args] = [...nobody, bunPath, "--version"];
  if (process.getuid?.() !== 0 || spawnSync(command!, args).status !== 0) return undefined;
  const restricted = readFileSync("/proc/sys/kernel/dmesg_restrict", "utf8").trim() === "1";
  return restricted ? nobody : undefined;
}

const noKmsg = whyNoKmsg();
if (noKmsg) console.error(`agent/main.test.ts: the kernel's log is left out: ${noKmsg}`);
const nobody = asNobody();
if (!nobody) {
  console.error("agent/main.test.ts: left out: running as a user who may not read /dev/kmsg");
}

describe("the kernel's log", () => {
  test.skipIf(noKmsg !== undefined)(
    "is stored once, though the agent is killed and started again",
    async () => {
      using folder = new TemporaryFolder();
      const { agent, state, records, blocks, program } = await setUp(folder);
      const checkpoint = join(state, "checkpoint-kmsg.json");
      const first = start(agent);
      await until(() => existsSync(checkpoint));
      // All that the ring held is acknowledged when the last records don't change any more.
      const position = () => (JSON.parse(readFileSync(checkpoint, "utf8")) as { seq: number }).seq;
      await until(async () => {
        const before = position();
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        return position() === before;
      });
      first.child.kill("SIGKILL");
      await first.ended;
      const [last, stored] = [position(), records().length];
      const second = start(agent);
      await until(() => second.output.stderr.includes("shipping"));
      await new Promise((resolve) => setTimeout(resolve, 500));
      second.child.kill("SIGTERM");
      expect((await second.ended).status).toBe(0);
      const again = records().slice(stored).map((line) => Number(line.split(",")[1]));
      expect(again.filter((seq) => seq <= last)).toEqual([]);
      expect(new Set(blocks().map(({ header }) => header.source))).toEqual(new Set(["kmsg"]));
      await program.stop();
    },
  );

  test.skipIf(nobody === undefined)(
    "that may not be read is an error with what to do",
    async () => {
      using folder = new TemporaryFolder();
      chownSync(folder.path, 65534, 65534);
      const state = ["--state", join(folder.path, "state")];
      expect((await run(["identity", ...state], "", nobody)).status).toBe(0);
      const { status, stderr } = await run(state, "", nobody);
      expect(status).toBe(1);
      expect(stderr).toMatch(
        /^logmill-agent: Cannot read \/dev\/kmsg because it must be readable: EPERM/,
      );
      expect(stderr).toContain("--source stdin");
    },
  );
});
