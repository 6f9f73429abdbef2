import { spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { afterAll, describe, expect, test } from "bun:test";
import { SlowMatcher } from "../../grinder/match.ts";
import rules from "../../rules.ts";
import { ordinary, TemporaryFolder } from "../../tests/fixtures.ts";

const script = join(import.meta.dirname, "probe.sh");
const missing = spawnSync("busybox", ["true"]).status === 0 ? undefined : "there is no busybox";
if (missing) console.log(`the probe isn't run here: ${missing}`);

/** In the place of the network: shell functions come before busybox's own ping and nslookup. */
const stubs = {
  ping: `case $* in
    *192.0.2.1) echo "64 bytes from 192.0.2.1: seq=0 ttl=64 time=12.345 ms" ;;
    *gw) echo "64 bytes from gw (192.0.2.9): icmp_seq=1 ttl=64 time=8 ms"; echo "time=9 ms" ;;
    *) return 1 ;; esac`,
  nslookup: `echo "$@" >> $ASKED; case $* in *192.0.2.53) ;; *) return 1 ;; esac`,
};

interface Result {
  lines: string[];
  asked: string[];
}

/** What the probe prints once; `files` are below /sys. */
function probe(
  args: string[],
  files: Record<string, string> = {},
  given: object = stubs,
  before = "",
): Result {
  using folder = new TemporaryFolder();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder.path, path)), { recursive: true });
    writeFileSync(join(folder.path, path), `${text}\n`);
  }
  const functions = Object.entries(given).map(([name, body]) => `${name}() { ${body}\n}\n`).join(
    "",
  );
  const asked = join(folder.path, "asked");
  writeFileSync(asked, "");
  const resolv = join(folder.path, "resolv.conf");
  writeFileSync(resolv, "search example.org\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n");
  const { stdout, stderr, status } = spawnSync(
    "busybox",
    ["sh", "-c", `${functions} ${before}\n. ${script}`, "probe.sh", "-1", ...args],
    {
      encoding: "utf8",
      env: { ...process.env, SYS: folder.path, RESOLV_CONF: resolv, ASKED: asked },
    },
  );
  expect([stderr, status]).toEqual(["", 0]);
  const { stdout: log } = spawnSync("cat", [asked], { encoding: "utf8" });
  return { lines: stdout.split("\n").slice(0, -1), asked: log.split("\n").slice(0, -1) };
}

/** What the rules make of lines that came through logos: the rule's name, labels and value. */
function ruled(lines: string[]) {
  const matcher = new SlowMatcher(rules);
  return lines.map((line, seq) =>
    matcher.match(ordinary(seq, `probe: ${line}`)).map(({ rule, labels, value }) => ({
      name: rule.name,
      labels: { ...labels },
      value,
    }))
  );
}

const someChip = {
  "class/hwmon/hwmon0/name": "nct6775",
  "class/hwmon/hwmon0/temp1_input": "41500",
  "class/hwmon/hwmon0/temp1_label": "CPU Tdie",
  "class/hwmon/hwmon0/temp2_input": "-3200",
  "class/hwmon/hwmon0/fan1_input": "1180",
  "class/hwmon/hwmon1/name": "pwmfan",
  "class/hwmon/hwmon1/fan1_input": "900",
};

describe.skipIf(missing !== undefined)("the probe", () => {
  test("prints a line for each target, and one where nothing answers", () => {
    const { lines } = probe(["-d", "192.0.2.53", "192.0.2.1", "gw", "192.0.2.2"]);
    expect(lines.slice(0, 3)).toEqual([
      "ping server=192.0.2.1 ms=12.345",
      "ping server=gw ms=8",
      "ping server=192.0.2.2 error=timeout",
    ]);
    expect(lines[3]).toMatch(/^dns server=192\.0\.2\.53 ms=\d+\.\d$/);
    expect(lines.length).toBe(4);
  });

  test("asks the name servers that it is given for a name, else the first one of resolv.conf", () => {
    const given = probe(["-n", "name.example", "-d", "192.0.2.53", "-d", "192.0.2.54"]);
    expect(given.asked).toEqual([
      "-timeout=2 -retry=1 name.example 192.0.2.53",
      "-timeout=2 -retry=1 name.example 192.0.2.54",
    ]);
    expect(given.lines[1]).toBe("dns server=192.0.2.54 error=failed");
    expect(probe([]).asked).toEqual(["-timeout=2 -retry=1 example.org 192.0.2.53"]);
  });

  test("measures from the question to the answer", () => {
    const slow = { ...stubs, nslookup: "sleep 0.2" };
    const [line] = probe(["-d", "192.0.2.53"], {}, slow).lines;
    const ms = Number(/ms=(\d+\.\d)$/.exec(line!)![1]);
    expect(ms).toBeGreaterThanOrEqual(200);
    expect(ms).toBeLessThan(2_000);
  });

  test("measures in steps of 10 ms where the shell and date have no finer clock", () => {
    const coarse = { ...stubs, nslookup: "sleep 0.2", date: "echo 1795400000%6N" };
    const { lines } = probe(["-d", "192.0.2.53"], {}, coarse, "unset EPOCHREALTIME");
    expect(lines[0]).toMatch(/ms=\d+0\.0$/);
    expect(Number(/ms=(\d+\.\d)$/.exec(lines[0]!)![1])).toBeGreaterThanOrEqual(190);
  });

  test("says what thermal zones say, and asks no chip for it then", () => {
    const { lines } = probe(["-d", "192.0.2.53"], {
      ...someChip,
      "class/thermal/thermal_zone0/type": "cpu-thermal",
      "class/thermal/thermal_zone0/temp": "54250",
    });
    expect(lines.slice(1)).toEqual([
      "sensor=cpu-thermal celsius=54.2",
      "fan1_nct6775 rpm=1180",
      "fan1_pwmfan rpm=900",
    ]);
  });

  test("says what chips say where there is no thermal zone", () => {
    expect(probe(["-d", "192.0.2.53"], someChip).lines.slice(1, 3)).toEqual([
      "sensor=nct6775_CPU_Tdie celsius=41.5",
      "sensor=nct6775_temp2 celsius=-3.2",
    ]);
  });

  test("has lines that the rules know, each once, with the labels to count by", () => {
    const { lines } = probe(["-d", "192.0.2.53", "-d", "192.0.2.54", "192.0.2.1", "192.0.2.2"], {
      ...someChip,
      "class/thermal/thermal_zone0/type": "cpu-thermal",
      "class/thermal/thermal_zone0/temp": "54250",
    });
    expect(ruled(lines)).toEqual([
      [{ name: "ping_latency", labels: { server: "192.0.2.1" }, value: 12.345 }],
      [{ name: "ping_failure", labels: { server: "192.0.2.2" }, value: undefined }],
      [{ name: "dns_latency", labels: { server: "192.0.2.53" }, value: expect.any(Number) }],
      [{
        name: "dns_failure",
        labels: { problem: "dns server=192.0.2.54 error=failed" },
        value: undefined,
      }],
      [{ name: "temperature", labels: { sensor: "cpu-thermal" }, value: 54.2 }],
      [{ name: "fan_speed", labels: { fan: "fan1_nct6775" }, value: 1180 }],
      [{ name: "fan_speed", labels: { fan: "fan1_pwmfan" }, value: 900 }],
    ]);
    const byCity = rules.filter(({ device }) => device?.includes("city")).map(({ name }) => name);
    expect(byCity).toContain("dns_latency");
    expect(byCity).toContain("ping_latency");
  });
});

/** A name server that answers every question with 192.0.2.7, on the port that nslookup asks. */
function nameServer(address: string): Promise<{ close(): void } | Error> {
  const socket = createSocket("udp4");
  socket.on("message", (question, from) => {
    const type = question.readUInt16BE(question.length - 4);
    const isA = type === 1;
    const answer = Buffer.from([
      ...[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4],
      ...[192, 0, 2, 7],
    ]);
    const reply = Buffer.concat(isA ? [question, answer] : [question]);
    reply.writeUInt16BE(0x8180, 2);
    reply.writeUInt16BE(isA ? 1 : 0, 6);
    socket.send(reply, from.port, from.address);
  });
  return new Promise((resolve) => {
    socket.once("error", resolve);
    socket.bind(53, address, () => resolve({ close: () => void socket.close() }));
  });
}

const address = "127.0.0.153";
const server = missing ? new Error(missing) : await nameServer(address);
afterAll(() => server instanceof Error || server.close());
const canPing = spawnSync("busybox", ["ping", "-c", "1", "-W", "2", "127.0.0.1"]).status === 0;
const problem = server instanceof Error
  ? `Cannot serve names on ${address}: ${server.message}`
  : canPing
  ? undefined
  : "Cannot ping 127.0.0.1";
if (problem) console.log(`the probe measures no real network here: ${problem}`);

test.skipIf(problem !== undefined)("the probe measures a real network, with busybox", async () => {
  const child = spawn("busybox", ["sh", script, "-1", "-d", address, "127.0.0.1"], {
    env: { ...process.env, SYS: "/nowhere" },
  });
  let output = "";
  child.stdout.on("data", (text) => output += text);
  child.stderr.on("data", (text) => output += text);
  await new Promise((resolve) => child.on("close", resolve));
  const lines = output.split("\n").slice(0, -1);
  expect(lines.map((line) => line.replace(/ms=\d+(\.\d+)?$/, "ms=N"))).toEqual([
    "ping server=127.0.0.1 ms=N",
    `dns server=${address} ms=N`,
  ]);
  expect(ruled(lines).map((matches) => matches.map(({ name }) => name))).toEqual([
    ["ping_latency"],
    ["dns_latency"],
  ]);
});
