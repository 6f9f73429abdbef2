import { spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "bun:test";
import { parseAck } from "../shared/acks.ts";
import { addDevice } from "../shared/allowlist_edit.ts";
import { FilePlace } from "../shared/allowlist_file.ts";
import { readBlocks } from "../shared/block.ts";
import { createIdentity } from "../shared/identity.ts";
import { decodeSegment } from "../shared/segment_reader.ts";
import { readCommitted } from "../shared/storage/folder_files.ts";
import { signToken } from "../shared/token.ts";
import { compressFrame } from "../shared/zstd.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { bunPath, Program, root, startReceiver } from "../tests/programs.ts";

const running: Program[] = [];
afterAll(async () => {
  for (const program of running) if (program.running) await program.kill();
});

/** A folder with a device that is let in, and its Authorization header. */
async function setUp(data: string) {
  const identity = await createIdentity(join(data, "device"));
  await addDevice(new FilePlace(join(data, "devices")), {
    thumbprint: identity.thumbprint,
    name: "kiosk-7",
    labels: {},
  });
  const authorization = async () => `Bearer ${await signToken(identity, "logmill", Date.now())}`;
  return { identity, authorization };
}

async function start(data: string, ...options: string[]) {
  const { program, url } = await startReceiver(data, "--port", "0", "--name", "r1", ...options);
  running.push(program);
  return { program, url };
}

async function run(command: string, args: string[], input = "") {
  const child = spawn(command, args, { cwd: root });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (text) => output.stdout += text);
  child.stderr.on("data", (text) => output.stderr += text);
  child.stdin.end(input);
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { status, ...output };
}

const receiver = (...args: string[]) => run(bunPath, ["receiver/main.ts", ...args]);

function epochs(data: string): string[] {
  return readdirSync(join(data, "segments/r1")).sort();
}

/** The blocks of an epoch's segments; a closed one must end in `#end`. */
function stored(data: string, epoch: string) {
  const folder = join(data, "segments/r1", epoch);
  const committed = readCommitted(folder)!;
  const segments = readdirSync(folder).filter((file) => file.endsWith(".zst")).sort();
  const texts = segments.flatMap((file) => decodeSegment(readFileSync(join(folder, file))))
    .map(({ text, damage }) => text ?? expect.unreachable(damage));
  return { committed, texts, blocks: texts.flatMap((text) => [...readBlocks(text)]) };
}

const headers = {
  "Content-Encoding": "zstd",
  "Logmill-Boot": "boot-1",
  "Logmill-Source": "kmsg",
  "Logmill-Stream": "stream-1",
};
const frame = (seq: number) =>
  new Uint8Array(
    compressFrame(new TextEncoder().encode(`#0 ${seq} ${seq} 1\n6,${seq},1,-;line ${seq}\n`)),
  );

/** Decoded. */
const frame0Bytes = "#0 0 0 1\n6,0,1,-;line 0\n".length;

const post = (url: string, authorization: string, body: Uint8Array<ArrayBuffer>) =>
  fetch(`${url}v1/logs`, { method: "POST", headers: { ...headers, authorization }, body });

/** A live POST that stays open: frames go in, lines come out. */
async function openStream(url: string, authorization: string) {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: (c) => void (controller = c) });
  controller.enqueue(frame(0));
  const init = {
    method: "POST",
    headers: { ...headers, "Authorization": authorization, "Logmill-Ack": "live" },
    body,
    duplex: "half",
  };
  const response = await fetch(`${url}v1/logs`, init as RequestInit);
  expect(response.status).toBe(200);
  const reader = response.body!.getReader();
  const lines = async () => {
    const { done, value } = await reader.read();
    return done ? [] : new TextDecoder().decode(value).trimEnd().split("\n").map(parseAck);
  };
  expect(await lines()).toEqual([{ acked: 0 }]);
  expect((await lines())[0]!.acked).toBeGreaterThan(0);
  return { lines, send: (bytes: Uint8Array) => controller.enqueue(bytes) };
}

const curl = (await run("curl", ["--version"]).catch(() => undefined))?.status === 0;
if (!curl) console.error("receiver/main.test.ts: there is no curl here: its tests are left out");

describe("the receiver's process", () => {
  test("says where it listens and stores an upload, and ends in order at SIGTERM", async () => {
    using folder = new TemporaryFolder();
    const { authorization } = await setUp(folder.path);
    const { program, url } = await start(folder.path);
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    expect(program.output).toContain(" devices=1 ");
    const response = await post(url, await authorization(), frame(0));
    expect([response.status, await response.json()]).toEqual([200, { acked: frame0Bytes }]);
    expect(await (await fetch(`${url}healthz`)).text()).toBe("ok\n");
    const { lines } = await openStream(url, await authorization());
    expect(await Promise.all([program.stop(), lines()])).toEqual([
      0,
      [{ error: "stopping", acked: frame0Bytes }],
    ]);
    const { committed, texts, blocks } = stored(folder.path, epochs(folder.path)[0]!);
    expect(committed).toMatchObject({ segment: 0, ended: true });
    expect(texts.at(-1)).toBe("#end\n");
    expect(blocks.map(({ header: { device, first } }) => [device, first])).toEqual([
      ["kiosk-7", 0],
      ["kiosk-7", 0],
    ]);
  });

  test("ends in order at SIGTERM though nothing was ever stored", async () => {
    using folder = new TemporaryFolder();
    const { program } = await start(folder.path);
    expect(await program.stop()).toBe(0);
    expect(stored(folder.path, epochs(folder.path)[0]!).committed.ended).toBe(true);
  });

  test.skipIf(!curl)("takes what curl -T - sends, which is a PUT of unknown length", async () => {
    using folder = new TemporaryFolder();
    const { authorization } = await setUp(folder.path);
    const { program, url } = await start(folder.path);
    const send = (header: string) =>
      run("curl", ["-sS", "-T", "-", "-H", header, `${url}v1/logs`], "one\n# two\nthree");
    const sent = await send(`Authorization: ${await authorization()}`);
    expect(sent).toEqual({ status: 0, stdout: '{"acked":15}', stderr: "" });
    expect((await send("X-No: token")).stdout).toContain('{"error":"no_token"');
    await program.stop();
    const { blocks } = stored(folder.path, epochs(folder.path)[0]!);
    expect(blocks.map(({ text }) => text)).toEqual(["one\n\\x23 two\nthree\n"]);
    expect(blocks[0]!.header).toMatchObject({ device: "kiosk-7", source: "raw" });
  });

  test("tells a wrong clock the time in the answer's Date", async () => {
    using folder = new TemporaryFolder();
    const { identity } = await setUp(folder.path);
    const { url } = await start(folder.path);
    const token = await signToken(identity, "logmill", 0);
    const response = await post(url, `Bearer ${token}`, frame(0));
    expect(response.status).toBe(401);
    expect(Math.abs(Date.parse(response.headers.get("Date")!) - Date.now())).toBeLessThan(10_000);
  });

  test("killed and started again begins a new epoch, and the old data can be read", async () => {
    using folder = new TemporaryFolder();
    const { authorization } = await setUp(folder.path);
    for (const seq of [0, 1]) {
      const { program, url } = await start(folder.path);
      expect((await post(url, await authorization(), frame(seq))).status).toBe(200);
      await program.kill();
    }
    const names = epochs(folder.path);
    expect(names.length).toBe(2);
    const both = names.map((name) => stored(folder.path, name));
    expect(both.map(({ committed }) => committed.ended)).toEqual([false, false]);
    expect(both.map(({ blocks }) => blocks.map(({ header }) => header.first))).toEqual([[0], [1]]);
  });
});

describe("the allow-list", () => {
  test("is re-read within a second; revocation cuts an open stream", async () => {
    using folder = new TemporaryFolder();
    const { identity, authorization } = await setUp(folder.path);
    const { program, url } = await start(folder.path);
    const stream = await openStream(url, await authorization());
    const data = ["--data", folder.path];
    const revoked = await receiver("revoke", "kiosk-7", ...data);
    expect([revoked.status, revoked.stdout]).toEqual([0, "kiosk-7 is shut out\n"]);
    const atMs = performance.now();
    expect(await stream.lines()).toEqual([{ error: "revoked", acked: frame0Bytes }]);
    expect(performance.now() - atMs).toBeLessThan(1_500);
    const status = async () => (await post(url, await authorization(), frame(1))).status;
    expect(await status()).toBe(403);
    await receiver("allow", identity.thumbprint, "--device", "kiosk-7", ...data);
    const allowedMs = performance.now();
    while (await status() !== 200) expect(performance.now() - allowedMs).toBeLessThan(1_500);
    // What is wrong with it is said once, and when it is right again.
    const list = readFileSync(join(folder.path, "devices"), "utf8");
    writeFileSync(join(folder.path, "devices"), `${list}no thumbprint\n`);
    await program.says(/event=allow_list .*line 2/);
    writeFileSync(join(folder.path, "devices"), list);
    await program.says(/the allow-list is right again/);
  });

  test("that is wrong at the start is told of", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(join(folder.path, "devices"), "no thumbprint\n");
    const { program } = await start(folder.path);
    await program.says(/event=allow_list .*line 1/);
  });
});

describe("the receiver's command line", () => {
  const thumbprint = "A".repeat(43);

  test("lets in, lists and shuts out devices", async () => {
    using folder = new TemporaryFolder();
    const data = ["--data", join(folder.path, "new")];
    expect((await receiver("devices", ...data)).stdout).toMatch(/^no devices in .*devices\n$/);
    const labels = ["--label", "city=Berlin", "--label", "model=k2"];
    const allowed = await receiver("allow", thumbprint, "--device", "kiosk-7", ...labels, ...data);
    expect(allowed).toEqual({ status: 0, stdout: "kiosk-7 is let in\n", stderr: "" });
    expect((await receiver("devices", ...data)).stdout)
      .toBe(`${thumbprint} kiosk-7 city=Berlin model=k2\n`);
    expect((await receiver("revoke", thumbprint, ...data)).stdout).toBe(
      `${thumbprint} is shut out\n`,
    );
    expect((await receiver("devices", ...data)).stdout).toMatch(/^no devices in /);
  });

  test.each([
    [["allow", thumbprint], 2, /^Usage: allow THUMBPRINT --device NAME/],
    [["allow", "short", "--device", "a"], 1, /^Cannot /],
    [["allow", thumbprint, "--device", "a/b"], 1, /^Cannot /],
    [["allow", thumbprint, "--device", "a", "--label", "city"], 2, /must be KEY=VALUE/],
    [["revoke"], 2, /^Usage: revoke/],
    [["revoke", "nobody"], 2, /^Cannot revoke nobody/],
    [["constructor"], 2, /there is no such command/],
    [["start"], 2, /there is no such command/],
    [["--port", "http"], 2, /^Cannot read --port because it must be a number of port/],
    [["--name", "a/b"], 2, /^Cannot use --name a\/b/],
    [["--no-such"], 2, /Try --help/],
  ])("answers %j with status %d and what to do", async (args, status, message) => {
    using folder = new TemporaryFolder();
    const ended = await receiver(...args as string[], "--data", folder.path);
    expect([ended.status, ended.stdout]).toEqual([status as number, ""]);
    expect(ended.stderr).toMatch(message as RegExp);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  test("--help names every option with its unit and its default", async () => {
    const { status, stdout } = await receiver("--help");
    expect(status).toBe(0);
    for (
      const name of ["data PLACE", "host ADDRESS", "port PORT", "memory MIB", "audience NAME"]
    ) {
      expect(stdout).toMatch(new RegExp(`--${name} .*\\(default: [^)]+\\)`));
    }
  });
});
