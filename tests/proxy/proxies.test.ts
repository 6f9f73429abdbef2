/** What holds behind either proxy, with the configuration that we ship for it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createIdentity } from "../../shared/identity.ts";
import { signToken } from "../../shared/token.ts";
import { TemporaryFolder } from "../fixtures.ts";
import { killAll } from "../programs.ts";
import { startHaproxy } from "./haproxy.ts";
import { type Proxy, startNginx } from "./nginx.ts";
import {
  type Certified,
  deviceCertificate,
  forgedKey,
  missing,
  opensslCertificate,
  run,
  secret,
  startTrustingReceiver,
  type TrustingReceiver,
} from "./rig.ts";

afterAll(killAll);

const starters = { nginx: startNginx, haproxy: startHaproxy };

for (const [name, start] of Object.entries(starters)) {
  describe.skipIf(missing(name, "curl", "openssl"))(`a receiver behind ${name}`, () => {
    const folder = new TemporaryFolder();
    const path = folder.path;
    let own: Certified;
    let receiver: TrustingReceiver;
    let proxy: Proxy;
    let lines = 0;

    beforeAll(async () => {
      own = opensslCertificate(path, "proxy", "ec");
      receiver = await startTrustingReceiver(join(path, "data"));
      proxy = await start(path, own, receiver.port);
    });

    afterAll(async () => {
      await proxy.stop();
      await receiver.stop();
      folder[Symbol.dispose]();
    });

    /** Sends one line; says the status, the error code, and under whose name it is stored. */
    async function send(by: Certified | undefined, ...more: string[]) {
      const line = `line ${++lines} to ${name}`;
      const certificate = by ? ["--cert", by.cert, "--key", by.key] : [];
      const url = `https://localhost:${proxy.port}/v1/logs`;
      const end = ["-w", "\n%{http_code}", "-T", "-", url];
      const args = ["-sS", "--cacert", own.cert, ...certificate, ...more, ...end];
      const { stdout, stderr } = await run("curl", args, `${line}\n`);
      const [body, status] = [stdout.slice(0, -4), Number(stdout.slice(-3))];
      const answer = body.startsWith("{") ? JSON.parse(body) : {};
      return {
        status,
        ...(answer.error ? { error: answer.error } : {}),
        sender: receiver.senderOf(line),
        body: body + stderr,
      };
    }
    const taken = (sender: string) => ({ status: 200, sender });

    test("knows a device of `agent identity` by the line that lets in its tokens", async () => {
      const state = join(path, "state");
      const identity = await createIdentity(state, { name: "kiosk" });
      const files = { cert: join(state, "device.crt"), key: join(state, "device.key") };
      const kiosk = { ...files, thumbprint: identity.thumbprint };
      expect((await send(kiosk)).status).toBe(403);
      receiver.allow(identity.thumbprint, "kiosk");
      expect(await send(kiosk)).toMatchObject(taken("kiosk"));
      const token = await signToken(identity, "logmill", Date.now());
      expect(await send(undefined, "-H", `Authorization: Bearer ${token}`)).toMatchObject(
        taken("kiosk"),
      );
    });

    test("knows P-256 and RSA keys made by openssl", async () => {
      for (const [sender, kind] of [["by-p256", "ec"], ["by-rsa", "rsa:2048"]] as const) {
        const device = opensslCertificate(path, sender, kind);
        receiver.allow(device.thumbprint, sender);
        expect(await send(device)).toMatchObject(taken(sender));
      }
    });

    test("knows the certificate that Bun's fetch presents, with a streamed body", async () => {
      const device = deviceCertificate(path, "bun", 2026);
      receiver.allow(device.thumbprint, "bun");
      async function* body() {
        yield Buffer.from(`first from bun to ${name}\n`);
        await Bun.sleep(20);
        yield Buffer.from("second\n");
      }
      const [cert, key, ca] = [device.cert, device.key, own.cert].map((file) =>
        readFileSync(file, "utf8")
      );
      const init = { method: "POST", body: body(), duplex: "half", tls: { cert, key, ca } };
      const url = `https://localhost:${proxy.port}/v1/logs`;
      const response = await fetch(url, init as unknown as RequestInit);
      expect([response.status, receiver.senderOf(`first from bun to ${name}`)]).toEqual([
        200,
        "bun",
      ]);
    });

    test("refuses an unknown certificate, and says its thumbprint for the list", async () => {
      const stranger = deviceCertificate(path, "stranger", 2026);
      const { status, error, sender, body } = await send(stranger);
      expect({ status, error, sender }).toEqual({
        status: 403,
        error: "unknown_device",
        sender: undefined,
      });
      expect(body).toContain(`receiver allow ${stranger.thumbprint} --device NAME`);
    });

    test("says why it refuses, also to one who is still sending a long body", async () => {
      const url = `https://localhost:${proxy.port}/v1/logs`;
      const args = ["-sS", "--cacert", own.cert, "-w", "%{http_code}", "-o", "/dev/null"];
      const long = "a line of some forty bytes, many times.\n".repeat(10_000);
      for (let turn = 0; turn < 12; turn++) {
        const { stdout } = await run("curl", [...args, "-T", "-", url], long);
        expect([turn, stdout]).toEqual([turn, "401"]);
      }
    });

    test("takes certificates that are out of date: not the device's clock but its key counts", async () => {
      for (const year of [1900, 1970, 2040]) {
        const device = deviceCertificate(path, `of-${year}`, year);
        receiver.allow(device.thumbprint, `of-${year}`);
        expect(await send(device)).toMatchObject(taken(`of-${year}`));
      }
    });

    test("gets all of a long body, also from a device whose certificate is out of date", async () => {
      const device = deviceCertificate(path, "long", 1900);
      receiver.allow(device.thumbprint, "long");
      const before = receiver.stored().length;
      const input = "a line of some forty bytes, many times.\n".repeat(100_000);
      const certificate = ["--cert", device.cert, "--key", device.key, "--cacert", own.cert];
      const bulk = ["-H", "Logmill-Mode: bulk"]; // A live stream isn't taken at this speed.
      const url = `https://localhost:${proxy.port}/v1/logs`;
      const { stdout } = await run("curl", ["-sS", ...certificate, ...bulk, "-T", "-", url], input);
      expect(JSON.parse(stdout)).toEqual({ acked: input.length });
      const texts = receiver.stored().slice(before).map(({ text }) => text);
      expect(texts.reduce((bytes, text) => bytes + text.length, 0)).toBe(input.length);
    });

    test("gets nothing of a certificate that a client only says it has", async () => {
      const victim = deviceCertificate(path, "victim", 2026);
      receiver.allow(victim.thumbprint, "victim");
      const pem = readFileSync(victim.cert, "utf8");
      const der = pem.replace(/-----.*-----|\n/g, "");
      const header = (key: string, value: string) => ["-H", `${key}: ${value}`];
      const tries = [
        header("Client-Cert", `:${der}:`),
        header("client-cert", encodeURIComponent(pem)),
        [...header("Client-Cert", `:${der}:`), ...header("CLIENT-CERT", `:${der}:`)],
        header("Client_Cert", `:${der}:`),
        [...header("Client-Cert", `:${der}:`), ...header("Logmill-Proxy-Secret", secret)],
        [...header("Client-Cert", `:${der}:`), ...header("Connection", "Client-Cert")],
      ];
      const self = deviceCertificate(path, "self", 2026);
      receiver.allow(self.thumbprint, "self");
      for (const words of tries) {
        expect(await send(undefined, ...words)).toMatchObject({ status: 401, error: "no_token" });
        expect(await send(self, ...words)).toMatchObject(taken("self"));
      }
    });

    test("lets the token decide where a certificate is presented as well", async () => {
      const identity = await createIdentity(join(path, "other"), { name: "other" });
      receiver.allow(identity.thumbprint, "by-token");
      const device = deviceCertificate(path, "certified", 2026);
      receiver.allow(device.thumbprint, "by-certificate");
      const token = await signToken(identity, "logmill", Date.now());
      const authorization = ["-H", `Authorization: Bearer ${token}`];
      expect(await send(device, ...authorization)).toMatchObject(taken("by-token"));
      const old = await signToken(identity, "logmill", Date.now() - 3_600_000);
      expect(await send(device, "-H", `Authorization: Bearer ${old}`)).toMatchObject({
        status: 401,
        error: "expired_token",
        sender: undefined,
      });
    });

    test("isn't reached by one who has a certificate without its key", async () => {
      const victim = opensslCertificate(path, "robbed", "ec");
      receiver.allow(victim.thumbprint, "robbed");
      const thief = forgedKey(path, victim);
      for (const version of ["1.2", "1.3"]) {
        const tls = [`--tlsv${version}`, "--tls-max", version];
        const { status, sender, body } = await send(thief, ...tls);
        expect({ version, status, sender }).toEqual({ version, status: 0, sender: undefined });
        expect(body).toContain("alert decrypt error");
        expect(await send(victim, ...tls)).toMatchObject(taken("robbed"));
      }
    });

    test("knows the device again when its TLS session is resumed", async () => {
      for (const version of ["tls1_2", "tls1_3"]) {
        const device = deviceCertificate(path, `again-${version}`, 2026);
        receiver.allow(device.thumbprint, `again-${version}`);
        const session = join(path, `session-${version}`);
        const connect = ["s_client", "-connect", `127.0.0.1:${proxy.port}`, `-${version}`];
        const request = (line: string) =>
          "POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
          `Content-Length: ${line.length}\r\n\r\n${line}`;
        for (const turn of ["first", "second"]) {
          const line = `${turn} of ${version} to ${name}\n`;
          const certificate = turn === "first"
            ? ["-sess_out", session, "-cert", device.cert, "-key", device.key]
            : ["-sess_in", session];
          const { stdout } = await run(
            "openssl",
            [...connect, ...certificate, "-ign_eof"],
            request(line),
          );
          expect(stdout).toContain(turn === "first" ? "\nNew, TLS" : "\nReused, TLS");
          expect([turn, receiver.senderOf(line)]).toEqual([turn, `again-${version}`]);
        }
      }
    });

    test("doesn't listen to those who come past the proxy, or who don't have its secret", async () => {
      const device = deviceCertificate(path, "direct", 2026);
      receiver.allow(device.thumbprint, "direct");
      const url = `http://127.0.0.1:${receiver.port}/v1/logs`;
      const cert = ["-H", `Client-Cert: ${encodeURIComponent(readFileSync(device.cert, "utf8"))}`];
      const direct = async (...words: string[]) => {
        const { stdout } = await run("curl", ["-sS", ...cert, ...words, "-T", "-", url], "x\n");
        return JSON.parse(stdout);
      };
      const known = ["-H", `Logmill-Proxy-Secret: ${secret}`];
      expect(await direct(...known)).toEqual({ acked: 2 });
      expect(await direct()).toMatchObject({ error: "no_token" });
      const elsewhere = ["--interface", "127.0.0.9"];
      expect(await direct(...known, ...elsewhere)).toMatchObject({ error: "no_token" });
    });
  });
}
