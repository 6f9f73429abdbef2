/**
 * What the tests of both proxies share: a receiver in the test's own process that trusts a proxy at
 * this machine's address, devices with key and certificate in files, and clients.
 */
import { spawn, spawnSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { delimiter, join } from "node:path";
import process from "node:process";
import { certificateThumbprint, ProxyCertificates } from "../../receiver/proxy_certificate.ts";
import type { Device } from "../../shared/allowlist.ts";
import { readBlocks } from "../../shared/block.ts";
import { selfSignedCertificate } from "../../shared/certificate.ts";
import { decodeSegment } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { TokenVerifier } from "../../shared/token.ts";
import { newReceiver } from "../receiver.ts";

export const secret = "a-secret-of-the-tests";
/** Debian keeps servers where not everybody looks. */
const env = { ...process.env, PATH: `${process.env["PATH"]}${delimiter}/usr/sbin` };

/** Says what is missing, for tests that are skipped. */
export function missing(...programs: string[]): boolean {
  const gone = programs.filter((name) =>
    spawnSync("sh", ["-c", `command -v ${name}`], { env }).status
  );
  if (gone.length > 0) console.log(`proxies: skipped, since there is no ${gone.join(", no ")}`);
  return gone.length > 0;
}

/** A receiver that believes the proxy. `senderOf` is the device under whose name a line is stored. */
export async function startTrustingReceiver(data: string) {
  const devices = new Map<string, Device>();
  const allowed = (thumbprint: string) => devices.get(thumbprint);
  const proxies = new ProxyCertificates({ addresses: ["127.0.0.1"], secret, allowed });
  const tokens = new TokenVerifier({ audience: "logmill", allowed, now: Date.now, cacheMax: 9 });
  const sink = await new FolderStorage(data).createEpoch("receiver");
  const { receiver, admission, commits } = newReceiver({
    sink,
    allowed,
    identify: async (headers, peer) =>
      proxies.identify(headers, peer()) ?? await tokens.verify(headers.get("Authorization")),
  });
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 10,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: (request, bun) => receiver.fetch(request, bun),
  });
  return {
    port: server.port!,
    allow: (thumbprint: string, name: string) =>
      devices.set(thumbprint, { thumbprint, name, labels: {} }),
    senderOf: (line: string) => storedBlocks(data).find(({ text }) => text.includes(line))?.device,
    stored: () => storedBlocks(data),
    async stop() {
      await admission.stop();
      await server.stop(true);
      await commits.close();
    },
  };
}

export type TrustingReceiver = Awaited<ReturnType<typeof startTrustingReceiver>>;

function storedBlocks(data: string): Array<{ device: string; text: string }> {
  const files = readdirSync(data, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".zst")
  );
  const texts = files.flatMap((path) => decodeSegment(readFileSync(join(data, path))));
  const fail = (bad: string) => {
    throw new Error(`no block: ${bad}`);
  };
  return texts.flatMap(({ text: frame }) =>
    [...readBlocks(frame!, fail)].map(({ header, text }) => ({ device: header.device, text }))
  );
}

/** Paths of two PEM files, and the thumbprint of their key. */
export interface Certified {
  cert: string;
  key: string;
  thumbprint: string;
}

/** Signs itself, as `openssl req -x509` makes it: `ed25519`, `rsa:2048`, `ec` ... */
export function opensslCertificate(folder: string, name: string, kind: string): Certified {
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const curve = kind === "ec" ? ["-pkeyopt", "ec_paramgen_curve:P-256"] : [];
  const names = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const files = ["-nodes", "-keyout", key, "-out", cert];
  const made = spawnSync(
    "openssl",
    ["req", "-x509", "-newkey", kind, ...curve, "-days", "30", ...names, ...files],
    { encoding: "utf8" },
  );
  if (made.status !== 0) throw new Error(made.stderr);
  return { cert, key, thumbprint: thumbprintOf(cert) };
}

/** As a device makes it whose clock stands at `year`. */
export function deviceCertificate(folder: string, name: string, year: number): Certified {
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const { privateKey } = generateKeyPairSync("ed25519");
  writeFileSync(key, privateKey.export({ type: "pkcs8", format: "pem" }));
  writeFileSync(cert, selfSignedCertificate(privateKey, name, Date.UTC(year, 5, 1)));
  return { cert, key, thumbprint: thumbprintOf(cert) };
}

/** The victim's P-256 certificate with a key of the thief's own, in a file that says it is the victim's. */
export function forgedKey(folder: string, victim: Certified): Certified {
  const theirs = createPrivateKey(readFileSync(victim.key)).export({ type: "sec1", format: "der" });
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const forged = Buffer.from(theirs);
  // RFC 5915: the private number is 32 bytes from the 8th on; the public point stays the victim's.
  privateKey.export({ type: "sec1", format: "der" }).copy(forged, 7, 7, 39);
  const key = join(folder, "forged.key");
  const base64 = forged.toString("base64").replace(/.{1,64}/g, "$&\n");
  writeFileSync(key, `-----BEGIN EC PRIVATE KEY-----\n${base64}-----END EC PRIVATE KEY-----\n`);
  return { ...victim, key };
}

const thumbprintOf = (cert: string) =>
  certificateThumbprint(encodeURIComponent(readFileSync(cert, "utf8")));

/** Runs a client. (Not one that blocks: the receiver lives in this process.) */
export function run(
  command: string,
  args: string[],
  input = "",
): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(command, args, { env, timeout: 20_000 });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => said[name] += text);
  }
  child.stdin.on("error", () => {}); // A client that ends early reads no more.
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, ...said }));
  });
}

/** Resolves when somebody listens there: a proxy doesn't say when it does. */
export async function untilListening(port: number, running: () => boolean): Promise<void> {
  for (let tries = 0; tries < 400 && running(); tries++) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).on(
        "error",
        () => resolve(false),
      );
      socket.on("connect", () => socket.destroy());
    });
    if (up) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`nobody listens on ${port}`);
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.on("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Puts other words into an operator's file. Each must be there: the file can't drift from its test. */
export function adapted(path: string, changes: Record<string, string>): string {
  return Object.entries(changes).reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`Cannot adapt ${path} because it must hold: ${from}`);
    return text.replaceAll(from, to);
  }, readFileSync(path, "utf8"));
}
