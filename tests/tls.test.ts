/** https from end to end: a receiver's process with a certificate of its own, and who uploads to it. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "bun:test";
import { parseAck } from "../shared/acks.ts";
import { addDevice } from "../shared/allowlist_edit.ts";
import { FilePlace } from "../shared/allowlist_file.ts";
import { readBlocks } from "../shared/block.ts";
import { createIdentity } from "../shared/identity.ts";
import { forEachRecord } from "../shared/record.ts";
import { readNew } from "../shared/segment_reader.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { signToken } from "../shared/token.ts";
import { compressFrame } from "../shared/zstd.ts";
import { fetchOf } from "../agent/pin.ts";
import { TemporaryFolder } from "./fixtures.ts";
import { bunPath, killAll, Program, root, startReceiver } from "./programs.ts";
import { Eavesdropper, newCertificate } from "./tls_servers.ts";

const agents = new Set<ChildProcess>();
afterAll(() => {
  killAll();
  for (const agent of agents) agent.kill("SIGKILL");
});

const hasCurl = spawnSync("curl", ["--version"]).status === 0;
if (!hasCurl) console.log("tests/tls.test.ts: curl isn't on this machine: its test is left out");

/** A receiver with https, a device that it lets in, and what it has stored. */
async function setUp(folder: TemporaryFolder, ...options: string[]) {
  const [data, state] = [join(folder.path, "data"), join(folder.path, "state")];
  mkdirSync(data);
  const identity = await createIdentity(state);
  await addDevice(new FilePlace(join(data, "devices")), {
    thumbprint: identity.thumbprint,
    name: "kiosk-7",
    labels: {},
  });
  const start = async (port = 0) => {
    const args = ["--port", String(port), "--name", "r1", "--tls", ...options];
    const { program, url } = await startReceiver(data, ...args);
    const [, fingerprint] = await program.says(/certificate: (sha256:[0-9A-F:]{95})/);
    return { program, url: new URL(url), fingerprint: fingerprint! };
  };
  const texts = async () => {
    const texts: string[] = [];
    for await (const { text } of readNew(new FolderStorage(data), new Map())) {
      for (const block of readBlocks(text ?? "")) {
        const { source } = block.header;
        if (source === "raw") texts.push(...block.text.trimEnd().split("\n"));
        else {forEachRecord(block.text, ({ flag, text }) =>
            flag === "-" && texts.push(text), () => {});}
      }
    }
    return texts;
  };
  const token = () => signToken(identity, "logmill", Date.now());
  return { state, cert: join(data, "tls/cert.pem"), start, texts, token };
}

/** The agent, with a program's lines to ship. */
function startAgent(state: string, ...options: string[]) {
  const source = ["--source", "stdin", "--name", "app"];
  const args = ["agent/main.ts", "--state", state, ...source, ...options];
  const child = spawn(bunPath, args, { cwd: root });
  agents.add(child);
  let said = "";
  child.stderr.on("data", (text) => said += text);
  const ended = new Promise((resolve) => child.on("close", resolve));
  return {
    child,
    said: () => said,
    say: (line: string) => child.stdin.write(`${line}\n`),
    kill: () => void child.kill("SIGKILL"),
    end: async () => {
      child.stdin.end();
      return await ended;
    },
  };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 15_000;
  while (!await holds()) {
    expect(performance.now()).toBeLessThan(endMs);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("the receiver with --tls", () => {
  test("has the same certificate after a restart, and says its fingerprint as openssl does", async () => {
    using folder = new TemporaryFolder();
    const { cert, start } = await setUp(folder);
    const first = await start();
    expect(first.url.protocol).toBe("https:");
    expect(first.fingerprint).toBe(
      `sha256:${new X509Certificate(readFileSync(cert)).fingerprint256}`,
    );
    expect(await first.program.stop()).toBe(0);
    const second = await start();
    expect(second.fingerprint).toBe(first.fingerprint);
    expect(await second.program.stop()).toBe(0);
  });

  test("refuses files that aren't right with a sentence, before it listens", async () => {
    using folder = new TemporaryFolder();
    const args = [
      "receiver/main.ts",
      "--data",
      folder.path,
      "--port",
      "0",
      "--tls-cert",
      "README.md",
    ];
    const receiver = new Program("receiver", bunPath, [...args, "--tls-key", "README.md"]);
    expect(await receiver.exited()).toBeGreaterThan(0);
    expect(receiver.output).toContain(
      "Cannot serve https because README.md must be a certificate in PEM",
    );
    expect(receiver.output.trim().split("\n").length).toBe(1);
  });

  test.skipIf(!hasCurl)(
    "takes uploads of curl, which trusts its file or pins its key",
    async () => {
      using folder = new TemporaryFolder();
      const { cert, start, token, texts } = await setUp(folder);
      const { program, url } = await start();
      const key = new X509Certificate(readFileSync(cert)).publicKey;
      const spki = createHash("sha256").update(key.export({ type: "spki", format: "der" }));
      const pin = ["--insecure", "--pinnedpubkey", `sha256//${spki.digest("base64")}`];
      const wrongPin = ["--insecure", "--pinnedpubkey", `sha256//${"A".repeat(43)}=`];
      const header = ["-H", `Authorization: Bearer ${await token()}`];
      const curl = (trust: string[], input: string) => {
        const args = ["-sS", ...trust, "-T", "-", ...header, `${url}v1/logs`];
        const { status, stdout } = spawnSync("curl", args, { input, encoding: "utf8" });
        return [status, stdout];
      };
      expect(curl(["--cacert", cert], "by file\n")).toEqual([0, '{"acked":8}']);
      expect(curl(pin, "by key\n")).toEqual([0, '{"acked":7}']);
      expect(curl([], "by nothing\n")).toEqual([60, ""]);
      expect(curl(wrongPin, "by another key\n")).toEqual([90, ""]);
      await program.stop();
      expect(await texts()).toEqual(["by file", "by key"]);
    },
  );

  test("acknowledges a live stream while it is open, on the same connection", async () => {
    using folder = new TemporaryFolder();
    const { cert, start, token } = await setUp(folder);
    const { program, url, fingerprint } = await start();
    for (const pin of [cert, fingerprint]) {
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
      const writer = writable.getWriter();
      const frame = (seq: number) =>
        writer.write(compressFrame(Buffer.from(`#0 ${seq} ${seq} 1\n6,${seq},1,-;line ${seq}\n`)));
      const headers = {
        "Authorization": `Bearer ${await token()}`,
        "Content-Encoding": "zstd",
        "Logmill-Boot": "boot-1",
        "Logmill-Source": "kmsg",
        "Logmill-Stream": `stream-${fingerprint === pin}`,
        "Logmill-Ack": "live",
      };
      void frame(0);
      const init = { method: "POST", headers, body: readable, duplex: "half" };
      const pinned = fetchOf([pin], [url.href], fetch);
      const response = await pinned(new URL("/v1/logs", url), init as RequestInit);
      const reader = response.body!.getReader();
      const next = async () => parseAck(new TextDecoder().decode((await reader.read()).value));
      const bytes = "#0 0 0 1\n6,0,1,-;line 0\n".length;
      expect(await next()).toEqual({ acked: 0 });
      expect(await next()).toEqual({ acked: bytes });
      void frame(1);
      expect(await next()).toEqual({ acked: 2 * bytes });
      void writer.close();
      expect(await next()).toEqual({ acked: 2 * bytes, done: true });
    }
    await program.stop();
  });

  test("takes up a renewed certificate while a stream goes on", async () => {
    using folder = new TemporaryFolder();
    const [old, renewed] = [newCertificate("127.0.0.1"), newCertificate("127.0.0.1")];
    const [certFile, keyFile] = [join(folder.path, "cert"), join(folder.path, "key")];
    const write = ({ cert, key }: typeof old) => {
      writeFileSync(certFile, cert);
      writeFileSync(keyFile, key);
    };
    write(old);
    const { state, start, texts } = await setUp(
      folder,
      "--tls-cert",
      certFile,
      "--tls-key",
      keyFile,
    );
    const { program, url } = await start();
    const agent = startAgent(state, "--receiver", url.href, "--pin", `sha256:${old.fingerprint}`);
    agent.say("before");
    await until(async () => (await texts()).includes("before"));
    write(renewed);
    await program.says(new RegExp(`new certificate: sha256:${renewed.fingerprint}`));
    const trusted = { tls: { ca: renewed.cert } };
    expect((await fetch(new URL("/healthz", url), trusted)).status).toBe(200);
    agent.say("after, on the connection of before");
    await until(async () => (await texts()).length === 2);
    expect([agent.said(), await agent.end()]).toEqual([
      expect.not.stringContaining("can't upload"),
      0,
    ]);
    expect(await program.stop()).toBe(0);
  });
});

describe("the agent with --pin", () => {
  test("ships to a receiver that it knows by file or by fingerprint", async () => {
    using folder = new TemporaryFolder();
    const { state, cert, start, texts } = await setUp(folder);
    const { program, url, fingerprint } = await start();
    for (const pin of [cert, fingerprint]) {
      const agent = startAgent(state, "--receiver", url.href, "--pin", pin);
      agent.say(`pinned by ${pin}`);
      await until(async () => (await texts()).includes(`pinned by ${pin}`));
      expect(await agent.end()).toBe(0);
    }
    await program.stop();
  });

  test("says once that it met another one, sends that one nothing, and keeps its lines", async () => {
    using folder = new TemporaryFolder();
    const { state, start, texts } = await setUp(folder);
    const { program, url, fingerprint } = await start();
    await program.stop();
    const port = Number(url.port);
    const wrong = newCertificate("127.0.0.1");
    let agent;
    {
      await using eavesdropper = await Eavesdropper.listen(wrong, port);
      agent = startAgent(state, "--receiver", url.href, "--pin", fingerprint);
      agent.say("a secret line");
      await until(() => eavesdropper.connections >= 2);
      expect(eavesdropper.heard).toBe("");
    }
    const { program: again } = await start(port);
    await until(async () => (await texts()).length > 0);
    expect(await texts()).toEqual(["a secret line"]);
    expect(await agent.end()).toBe(0);
    expect(agent.said().match(/can't upload now: .*/g)).toEqual([
      `can't upload now: Cannot trust ${url.origin} because its certificate must be a pinned one: ` +
      `current value is sha256:${wrong.fingerprint}`,
    ]);
    await again.stop();
  });

  test("without a pin trusts no receiver that signed for itself", async () => {
    using folder = new TemporaryFolder();
    const { state, start, texts } = await setUp(folder);
    const { program, url } = await start();
    const agent = startAgent(state, "--receiver", url.href);
    agent.say("a line");
    await until(() => agent.said().includes("can't upload now"));
    expect(agent.said()).toContain("self signed certificate");
    expect(await texts()).toEqual([]);
    agent.kill();
    await program.stop();
  });

  test.each([
    [["--pin", "/nowhere.pem"], "Cannot use --pin /nowhere.pem because it must be a readable file"],
    [["--pin", `sha256:${"0".repeat(64)}`], "Cannot use --pin because a receiver must be https"],
  ])("that can have no effect doesn't start: %j", async (pin, message) => {
    using folder = new TemporaryFolder();
    const { state } = await setUp(folder);
    const receiver = message.includes("must be https")
      ? "http://127.0.0.1:1"
      : "https://127.0.0.1:1";
    const agent = startAgent(state, "--receiver", receiver, ...pin);
    expect([await agent.end(), agent.said()]).toEqual([1, expect.stringContaining(message)]);
  });
});
