/** The real rsyslogd, the real receiver, and the program between them killed again and again. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "bun:test";
import { addDevice } from "../shared/allowlist_edit.ts";
import { FilePlace } from "../shared/allowlist_file.ts";
import { createIdentity } from "../shared/identity.ts";
import { forEachRecord, type LogRecord } from "../shared/record.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { bunPath, type Program, root, startReceiver } from "../tests/programs.ts";
import { DiskQueue } from "./disk_queue.ts";
import { decodeSegment } from "../shared/segment_reader.ts";
import { readBlocks } from "../shared/block.ts";

const rsyslogd = ["/usr/sbin/rsyslogd", "/usr/bin/rsyslogd"].find((path) => existsSync(path));
if (!rsyslogd) console.log("skipped: rsyslogd isn't installed, so omprog isn't tested against it");

const programs: Program[] = [];
const children: ChildProcess[] = [];
afterAll(async () => {
  for (const program of programs) if (program.running) await program.kill();
  for (const child of children) if (child.exitCode === null) child.kill("SIGKILL");
});

/** What `agent omprog` will be: a program of its own, and a way to find its process. */
function program(folder: TemporaryFolder, url: string, ...options: string[]): string {
  const pids = join(folder.path, "pids");
  const entry = join(folder.path, "entry.ts");
  writeFileSync(
    entry,
    `import { appendFileSync } from "node:fs";
     import { runOmprog } from "${root}agent/omprog.ts";
     appendFileSync(${JSON.stringify(pids)}, process.pid + "\\n");
     await runOmprog(process.argv.slice(2));
     process.exit(0);`,
  );
  const state = join(folder.path, "state");
  return [bunPath, entry, "--state", state, "--receiver", url, ...options].join(" ");
}

function startRsyslogd(folder: TemporaryFolder, binary: string): ChildProcess {
  const config = join(folder.path, "rsyslog.conf");
  writeFileSync(
    config,
    `global(workDirectory="${folder.path}" debug.onShutdown="off")
module(load="omprog")
module(load="imtcp")
input(type="imtcp" port="0" address="127.0.0.1" listenPortFileName="${folder.path}/port")
template(name="logmill" type="string"
         string="<%PRI%>%syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\\n")
action(type="omprog" binary="${binary}" confirmMessages="on" forceSingleInstance="on"
       template="logmill" action.resumeRetryCount="-1" action.resumeInterval="1"
       output="${folder.path}/program.err" confirmTimeout="20000")
`,
  );
  const args = ["-n", "-f", config, "-i", join(folder.path, "rsyslogd.pid")];
  const child = spawn(rsyslogd!, args, { stdio: "ignore" });
  children.push(child);
  return child;
}

async function until(holds: () => unknown, what: string, seconds = 30): Promise<void> {
  for (let turn = 0; !(await holds()); turn++) {
    if (turn > seconds * 20) throw new Error(`it didn't come true: ${what}`);
    await new Promise((next) => setTimeout(next, 50));
  }
}

/** Sends lines as a device's syslog would, `from` up to `to`. */
async function send(folder: TemporaryFolder, from: number, to: number): Promise<void> {
  const port = () => {
    const file = join(folder.path, "port");
    return existsSync(file) ? readFileSync(file, "utf8").trim() : "";
  };
  await until(port, "rsyslogd listens");
  const socket = connect(Number(port()), "127.0.0.1");
  await once(socket, "connect");
  for (let n = from; n < to; n++) {
    socket.write(`<30>Jan  2 03:04:05 router udhcpd[7]: message ${n}.\n`);
    if (n % 10 === 0) await new Promise((next) => setTimeout(next, 3));
  }
  socket.end();
  await once(socket, "close");
}

function stored(data: string): LogRecord[] {
  const records: LogRecord[] = [];
  const files = readdirSync(data, { recursive: true, encoding: "utf8" });
  for (const file of files.filter((name) => name.endsWith(".zst"))) {
    for (const { text = "" } of decodeSegment(readFileSync(join(data, file)))) {
      for (const block of readBlocks(text)) {
        forEachRecord(block.text, (record) => records.push(record), () => {});
      }
    }
  }
  return records.filter(({ flag }) => flag === "-");
}

const numbers = (records: LogRecord[]) =>
  new Set(records.flatMap(({ text }) => /message (\d+)\./.exec(text)?.[1] ?? []).map(Number));

const killLast = (folder: TemporaryFolder) => {
  const pids = readFileSync(join(folder.path, "pids"), "utf8").trim().split("\n");
  try {
    process.kill(Number(pids.at(-1)), "SIGKILL");
  } catch { /* it has just ended */ }
  return pids.length;
};

describe.skipIf(!rsyslogd)("omprog behind the real rsyslogd", () => {
  test("loses no message when its program is killed in the middle, again and again", async () => {
    using folder = new TemporaryFolder();
    const data = join(folder.path, "data");
    const receiver = await startReceiver(data, "--port", "0");
    programs.push(receiver.program);
    const { thumbprint } = await createIdentity(join(folder.path, "state"));
    const allowed = new FilePlace(join(data, "devices"));
    await addDevice(allowed, { thumbprint, name: "router", labels: {} });
    const binary = program(folder, receiver.url);
    const daemon = startRsyslogd(folder, binary);
    const total = 4_000;
    const sending = send(folder, 0, total);
    // With the first message rsyslogd starts it.
    await until(() => existsSync(join(folder.path, "pids")), "the program runs");
    const starts = () => readFileSync(join(folder.path, "pids"), "utf8").trim().split("\n").length;
    for (let kills = 1; kills <= 3; kills++) {
      // In the middle of its work, wherever that is.
      await new Promise((next) => setTimeout(next, 150 + 50 * kills));
      killLast(folder);
      await until(() => starts() > kills, "rsyslogd has started it again");
    }
    await sending;
    await until(() => numbers(stored(data)).size === total, "all are stored");
    const records = stored(data);
    expect(records[0]).toMatchObject({ prio: 30, text: "udhcpd[7]: message 0." });
    daemon.kill("SIGTERM");
    await once(daemon, "close");
  }, 120_000);

  test("keeps what comes without a network, and leaves to rsyslogd what has no room", async () => {
    using folder = new TemporaryFolder();
    await createIdentity(join(folder.path, "state"));
    const queueBytes = 20_000;
    const binary = program(folder, "http://127.0.0.1:9", "--queue-bytes", String(queueBytes));
    const daemon = startRsyslogd(folder, binary);
    await send(folder, 0, 1_000);
    const folderOfQueue = join(folder.path, "state", "queue-rsyslog");
    const size = () =>
      !existsSync(folderOfQueue) ? 0 : readdirSync(folderOfQueue)
        .filter((name) => name.endsWith(".queue"))
        .reduce((sum, name) => sum + readFileSync(join(folderOfQueue, name)).length, 0);
    await until(() => size() > queueBytes - 200, "the queue is full");
    expect(size()).toBeLessThanOrEqual(queueBytes);
    killLast(folder);
    daemon.kill("SIGKILL");
    await once(daemon, "close");
    await using queue = await DiskQueue.open(folderOfQueue);
    const records = (await queue.read(queue.start, 1e6)).flatMap(({ records }) => records);
    const found = numbers(records);
    expect([...found].sort((a, b) => a - b)).toEqual(
      Array.from({ length: found.size }, (_, n) => n),
    );
    expect(found.size).toBeGreaterThan(100);
  }, 120_000);
});

test("omprog refuses a queue that another process has", async () => {
  using folder = new TemporaryFolder();
  await createIdentity(join(folder.path, "state"));
  const command = program(folder, "http://127.0.0.1:9");
  const first = spawn("sh", ["-c", `exec ${command}`]);
  children.push(first);
  await once(first.stdout, "data");
  const second = spawnSync("sh", ["-c", `${command} < /dev/null`]);
  expect(second.status).not.toBe(0);
  expect(second.stderr.toString()).toContain('rsyslog\'s action needs forceSingleInstance="on"');
  first.stdin.end();
  expect(await once(first, "close")).toEqual([0, null]);
});
