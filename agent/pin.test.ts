import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { bunPath, root } from "../tests/programs.ts";
import {
  Authority,
  type Certified,
  Eavesdropper,
  hasOpenssl,
  newCertificate,
  TcpProxy,
} from "../tests/tls_servers.ts";
import { fetchOf, parsePins, pinnedFetch } from "./pin.ts";

if (!hasOpenssl) console.log("agent/pin.test.ts: there is no openssl here: two tests are left out");

/** Answers with what it got. */
function serve({ cert, key }: Certified, port = 0) {
  const server = Bun.serve({
    port,
    hostname: "127.0.0.1",
    tls: { cert, key },
    fetch: async (request) =>
      new Response(`${request.headers.get("authorization")} ${await request.text()}`),
  });
  const stop = () => server.stop(true);
  return { port: server.port!, stop, [Symbol.asyncDispose]: stop };
}

/** By the file and by the fingerprint: what holds for one holds for the other. */
function bothPins(folder: TemporaryFolder, { cert, fingerprint }: Certified) {
  const file = join(folder.path, "pinned.pem");
  writeFileSync(file, cert);
  return { "a file": file, "a fingerprint": `sha256:${fingerprint}` };
}

const post = async (pinned: typeof fetch, port: number, host = "127.0.0.1") => {
  const init = { method: "POST", headers: { authorization: "secret" }, body: "lines" };
  return await (await pinned(`https://${host}:${port}/v1/logs`, init)).text();
};
const pinnedTo = (...words: string[]) => pinnedFetch(parsePins(words), fetch);
const code = async (promise: Promise<unknown>) => {
  const error = await promise.then(() => expect.unreachable("it was trusted"), (error) => error);
  return error.code;
};

describe("pins", () => {
  test("are fingerprints with and without colons, in either case, and all certificates of a file", () => {
    using folder = new TemporaryFolder();
    const [one, two] = [newCertificate("one"), newCertificate("two")];
    const file = join(folder.path, "both.pem");
    writeFileSync(file, `from the receiver:\n${one.cert}${two.cert}`);
    const bare = one.fingerprint.replaceAll(":", "").toLowerCase();
    const pins = parsePins([`sha256:${bare}`, `sha256:${two.fingerprint}`, file]);
    expect(pins.fingerprints).toEqual([one.fingerprint, two.fingerprint]);
    expect(pins.certificates.map(String)).toEqual([one.cert, two.cert]);
  });

  test.each([
    ["sha256:AB:CD", "must be sha256: and 64 hexadecimal digits"],
    ["sha256:" + "0".repeat(63) + "g", "must be sha256: and 64 hexadecimal digits"],
    ["/nowhere/cert.pem", "must be a readable file"],
    ["README.md", "must hold a certificate in PEM: it has none"],
  ])("that aren't any are refused: %s", (word, message) => {
    expect(() => parsePins([word])).toThrow(message);
  });

  test("in a file that is torn are refused", () => {
    using folder = new TemporaryFolder();
    const file = join(folder.path, "torn.pem");
    const lines = newCertificate("one").cert.split("\n");
    writeFileSync(file, lines.toSpliced(2, 3).join("\n"));
    expect(() => parsePins([file])).toThrow("must be a readable file of certificates in PEM");
  });

  test.skipIf(!hasOpenssl)("are an authority's, not of those that it signed", () => {
    using folder = new TemporaryFolder();
    const authority = new Authority(folder.path);
    const { cert } = authority.issue("IP:127.0.0.1");
    expect(() => parsePins([join(folder.path, "leaf.pem")])).toThrow(
      "a pinned certificate must sign itself: current value is one of CN=ca",
    );
    writeFileSync(join(folder.path, "chain.pem"), cert + parsePins([authority.file]).certificates);
    const { certificates } = parsePins([join(folder.path, "chain.pem")]);
    expect(certificates.map(({ subject }) => subject)).toEqual(["CN=ca"]);
  });

  test("leave fetch alone where there are none, and must have an https receiver", () => {
    const pin = `sha256:${newCertificate("one").fingerprint}`;
    expect(fetchOf([], ["http://a"], fetch)).toBe(fetch);
    expect(() => fetchOf([pin], ["http://a", "http://b"], fetch)).toThrow(
      "Cannot use --pin because a receiver must be https: current value is http://a, http://b",
    );
    expect(fetchOf([pin], ["http://a", "https://b"], fetch)).not.toBe(fetch);
  });
});

describe("a pinned fetch", () => {
  test("reaches the pinned server, by file and by fingerprint, be it named in the URL or not", async () => {
    using folder = new TemporaryFolder();
    for (const name of ["127.0.0.1", "elsewhere.example"]) {
      const certified = newCertificate(name);
      await using server = serve(certified);
      for (const [by, pin] of Object.entries(bothPins(folder, certified))) {
        const pinned = pinnedTo(pin);
        for (const time of [1, 2, 3]) {
          expect([name, by, time, await post(pinned, server.port)])
            .toEqual([name, by, time, "secret lines"]);
        }
      }
    }
  });

  test("keeps its connection where the certificate names the host", async () => {
    using folder = new TemporaryFolder();
    const certified = newCertificate("127.0.0.1");
    await using server = serve(certified);
    for (const pin of Object.values(bothPins(folder, certified))) {
      await using proxy = await TcpProxy.listen(() => server.port);
      const pinned = pinnedTo(pin);
      for (let time = 0; time < 8; time++) await post(pinned, proxy.port);
      // One to ask for the certificate, one with a check of our own, and the one that stays.
      expect(proxy.connections).toBeLessThanOrEqual(3);
    }
  });

  test("gives http to the plain one as it is", async () => {
    const calls: unknown[] = [];
    const plain = ((...args: unknown[]) => {
      calls.push(args);
      return Promise.resolve(new Response());
    }) as unknown as typeof fetch;
    const init = { method: "POST" };
    await pinnedFetch({ certificates: [], fingerprints: [] }, plain)("http://a/v1/logs", init);
    expect(calls).toEqual([["http://a/v1/logs", init]]);
  });

  test("gives a man in the middle nothing, says who it met, and goes on with the right one", async () => {
    using folder = new TemporaryFolder();
    const [right, wrong] = [newCertificate("127.0.0.1"), newCertificate("127.0.0.1")];
    for (const pin of Object.values(bothPins(folder, right))) {
      const pinned = pinnedTo(pin);
      let port;
      {
        await using eavesdropper = await Eavesdropper.listen(wrong);
        port = eavesdropper.port;
        await expect(post(pinned, port)).rejects.toThrow(
          `Cannot trust https://127.0.0.1:${port} because its certificate must be a pinned one: ` +
            `current value is sha256:${wrong.fingerprint}`,
        );
        expect([eavesdropper.connections > 0, eavesdropper.heard]).toEqual([true, ""]);
      }
      await using _server = serve(right, port);
      expect(await post(pinned, port)).toBe("secret lines");
    }
  });

  test("gives nothing to one who takes the right server's place later", async () => {
    using folder = new TemporaryFolder();
    const [right, wrong] = [newCertificate("127.0.0.1"), newCertificate("127.0.0.1")];
    for (const pin of Object.values(bothPins(folder, right))) {
      const pinned = pinnedTo(pin);
      const server = serve(right);
      for (let time = 0; time < 3; time++) await post(pinned, server.port);
      await server.stop();
      await using eavesdropper = await Eavesdropper.listen(wrong, server.port);
      for (let time = 0; time < 3; time++) {
        expect(await code(post(pinned, server.port))).toBe("not_pinned");
      }
      expect([eavesdropper.connections > 0, eavesdropper.heard]).toEqual([true, ""]);
    }
  });

  test("gives nothing to one who lets the right server answer for its certificate", async () => {
    const [right, wrong] = [newCertificate("127.0.0.1"), newCertificate("127.0.0.1")];
    await using server = serve(right);
    await using eavesdropper = await Eavesdropper.listen(wrong);
    await using proxy = await TcpProxy.listen((n) => n === 1 ? server.port : eavesdropper.port);
    const pinned = pinnedTo(`sha256:${right.fingerprint}`);
    expect(await code(post(pinned, proxy.port))).toBe("not_pinned");
    expect([eavesdropper.connections > 0, eavesdropper.heard]).toEqual([true, ""]);
  });

  test("goes over to the next pin when the server does", async () => {
    using folder = new TemporaryFolder();
    const [old, next] = [newCertificate("127.0.0.1"), newCertificate("elsewhere.example")];
    const [file] = Object.values(bothPins(folder, next)) as [string];
    const ways = [[`sha256:${old.fingerprint}`, `sha256:${next.fingerprint}`], [
      `sha256:${old.fingerprint}`,
      file,
    ]];
    for (const words of ways) {
      const pinned = pinnedTo(...words);
      const before = serve(old);
      for (let time = 0; time < 3; time++) await post(pinned, before.port);
      await before.stop();
      await using after = serve(next, before.port);
      // The first that meets the new one fails, as any upload may; the uploader comes again.
      const answers = [await post(pinned, after.port).catch(() => "failed")];
      answers.push(await post(pinned, after.port), await post(pinned, after.port));
      expect(answers.slice(1)).toEqual(["secret lines", "secret lines"]);
    }
  });

  test("asks again where nobody answered the first time", async () => {
    const certified = newCertificate("127.0.0.1");
    const server = serve(certified);
    await server.stop();
    const pinned = pinnedTo(`sha256:${certified.fingerprint}`);
    expect(await code(post(pinned, server.port))).toMatch(/REFUSED/i);
    await using again = serve(certified, server.port);
    expect(await post(pinned, again.port)).toBe("secret lines");
  });

  test("trusts none of the authorities that the runtime trusts", () => {
    using folder = new TemporaryFolder();
    const [known, pinned] = [newCertificate("127.0.0.1"), newCertificate("127.0.0.1")];
    const [knownFile, pinnedFile] = ["known", "pinned"].map((name) => join(folder.path, name));
    writeFileSync(knownFile!, known.cert);
    writeFileSync(pinnedFile!, pinned.cert);
    writeFileSync(join(folder.path, "key"), known.key);
    const script = `
      import { parsePins, pinnedFetch } from "./agent/pin.ts";
      const tls = { cert: Bun.file(process.argv[1]), key: Bun.file(process.argv[2]) };
      const server = Bun.serve({ port: 0, hostname: "127.0.0.1", tls, fetch: () => new Response() });
      const said = (promise) => promise.then(({ status }) => status, ({ code }) => code);
      console.log(await said(fetch(server.url)));
      console.log(await said(pinnedFetch(parsePins([process.argv[3]]), fetch)(server.url)));
      process.exit();`;
    const { stdout } = spawnSync(
      bunPath,
      ["-e", script, knownFile!, join(folder.path, "key"), pinnedFile!],
      { cwd: root, env: { ...process.env, NODE_EXTRA_CA_CERTS: knownFile }, encoding: "utf8" },
    );
    expect(stdout).toBe("200\nnot_pinned\n");
  });

  test.skipIf(!hasOpenssl)(
    "takes what a pinned authority signed for the URL's host, and no other",
    async () => {
      using folder = new TemporaryFolder();
      const authority = new Authority(folder.path);
      const pinned = pinnedTo(authority.file);
      const [here, elsewhere] = ["IP:127.0.0.1", "DNS:elsewhere"].map((name) =>
        authority.issue(name)
      );
      await using server = serve(here!);
      for (let time = 0; time < 3; time++) {
        expect(await post(pinned, server.port)).toBe("secret lines");
      }
      await using eavesdropper = await Eavesdropper.listen(elsewhere!);
      await expect(post(pinned, eavesdropper.port)).rejects.toThrow("Cannot trust");
      expect(eavesdropper.heard).toBe("");
      // Nor by its own fingerprint: it can't be trusted without its authority.
      await expect(post(pinnedTo(`sha256:${here!.fingerprint}`), server.port)).rejects.toThrow(
        "a pinned certificate must sign itself: current value is one of CN=ca",
      );
    },
  );
});
