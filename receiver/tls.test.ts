import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { selfSignedCertificate } from "../shared/certificate.ts";
import { parseOptions } from "../shared/options.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { newCertificate } from "../tests/tls_servers.ts";
import { readTlsOf, TlsError, type TlsGiven, tlsOf, tlsOptions } from "./tls.ts";

const given = (data: string, ...argv: string[]): TlsGiven => ({
  ...parseOptions(tlsOptions, argv).values,
  data,
  host: "192.0.2.7",
});
const readText = (path: string) => readFileSync(path, "utf8");
const codeOf = (call: () => unknown) => {
  try {
    call();
  } catch (error) {
    if (error instanceof TlsError) return [error.code, error.message] as const;
    throw error;
  }
  return expect.unreachable("it was taken");
};

/** The operator's own files. */
function ownFiles(folder: string, cert: string, key: string): string[] {
  writeFileSync(join(folder, "own.pem"), cert);
  writeFileSync(join(folder, "own.key"), key);
  return ["--tls-cert", join(folder, "own.pem"), "--tls-key", join(folder, "own.key")];
}

describe("a receiver's certificate", () => {
  test("isn't there unless it is asked for", () => {
    using folder = new TemporaryFolder();
    expect(tlsOf(given(folder.path))).toBeUndefined();
    expect(readdirSync(folder.path)).toEqual([]);
  });

  test("is made once, closed to others, and used ever after", () => {
    using folder = new TemporaryFolder();
    const data = join(folder.path, "new/data");
    const first = tlsOf(given(data, "--tls"))!;
    expect(first.warnings).toEqual([]);
    expect(readdirSync(join(data, "tls")).sort()).toEqual(["cert.pem", "key.pem"]);
    expect(statSync(join(data, "tls/key.pem")).mode & 0o777).toBe(0o600);
    expect(statSync(join(data, "tls")).mode & 0o777).toBe(0o700);
    expect(tlsOf(given(data, "--tls"))).toEqual(first);
    expect(readTlsOf(given(data))).toEqual(first);
  });

  test("names this host, its addresses and what else it is told, and is no authority", () => {
    using folder = new TemporaryFolder();
    const names = ["--tls-name", "logs.example", "--tls-name", "2001:db8::7"];
    const { cert, fingerprint } = tlsOf(given(folder.path, "--tls", ...names))!;
    const certificate = new X509Certificate(cert);
    for (const name of ["logs.example", "localhost", hostname()]) {
      expect([name, certificate.checkHost(name)]).toEqual([name, name]);
    }
    for (const address of ["2001:db8::7", "127.0.0.1", "::1", "192.0.2.7"]) {
      expect([address, certificate.checkIP(address)]).toEqual([address, address]);
    }
    expect(certificate.ca).toBe(false);
    expect(certificate.fingerprint256).toBe(fingerprint);
    expect(fingerprint).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  });

  test("is valid for a device that thinks it is 1970, and for ever", () => {
    using folder = new TemporaryFolder();
    const certificate = new X509Certificate(tlsOf(given(folder.path, "--tls"))!.cert);
    expect(Date.parse(certificate.validFrom)).toBe(0);
    expect(new Date(certificate.validTo).getUTCFullYear()).toBe(9999);
  });

  test("doesn't name where to listen when that is everywhere", () => {
    using folder = new TemporaryFolder();
    const { cert } = tlsOf({ ...given(folder.path, "--tls"), host: "0.0.0.0" })!;
    expect(new X509Certificate(cert).checkIP("0.0.0.0")).toBeUndefined();
  });

  test("is kept in another folder where one is given", () => {
    using folder = new TemporaryFolder();
    const [data, dir] = [join(folder.path, "data"), join(folder.path, "tls-dir")];
    const made = tlsOf(given(data, "--tls", "--tls-dir", dir));
    expect(readdirSync(folder.path)).toEqual(["tls-dir"]);
    expect(tlsOf(given(data, "--tls", "--tls-dir", dir))).toEqual(made);
  });

  test("must be given a folder where the data aren't in one", () => {
    using folder = new TemporaryFolder();
    const bucket = "s3://logs/logmill";
    expect(codeOf(() => tlsOf(given(bucket, "--tls")))).toEqual([
      "usage",
      `Cannot serve https because --tls needs --tls-dir where --data is no folder: it is ${bucket}`,
    ]);
    expect(tlsOf(given(bucket, "--tls", "--tls-dir", folder.path))).toBeDefined();
  });

  test("whose making was killed after the key is finished with that key", () => {
    using folder = new TemporaryFolder();
    const { key } = tlsOf(given(folder.path, "--tls"))!;
    rmSync(join(folder.path, "tls/cert.pem"));
    // What a killed run leaves of a file that it was writing.
    writeFileSync(join(folder.path, "tls/cert.pem.1.tmp"), "-----BEGIN CERT");
    const again = tlsOf(given(folder.path, "--tls"))!;
    expect(again.key).toBe(key);
    expect(readText(join(folder.path, "tls/cert.pem"))).toBe(again.cert);
  });

  test("without its key is left alone, and says so", () => {
    using folder = new TemporaryFolder();
    const { cert } = tlsOf(given(folder.path, "--tls"))!;
    rmSync(join(folder.path, "tls/key.pem"));
    const [code, message] = codeOf(() => tlsOf(given(folder.path, "--tls")));
    expect([code, readText(join(folder.path, "tls/cert.pem"))]).toEqual(["unreadable", cert]);
    expect(message).toContain("key.pem must be there with");
  });

  test("stays as it is when a name is added, and says so", () => {
    using folder = new TemporaryFolder();
    const { cert } = tlsOf(given(folder.path, "--tls", "--tls-name", "one.example"))!;
    const names = ["one.example", "127.0.0.1", "two.example"].flatMap((
      name,
    ) => ["--tls-name", name]);
    const again = tlsOf(given(folder.path, "--tls", ...names))!;
    expect(again.cert).toBe(cert);
    expect(again.warnings).toEqual([expect.stringContaining("cert.pem doesn't name two.example;")]);
  });

  test("isn't made for a name that is none, nor where nothing can be written", () => {
    using folder = new TemporaryFolder();
    const bad = codeOf(() => tlsOf(given(folder.path, "--tls", "--tls-name", "two words")));
    expect(bad).toEqual([
      "usage",
      "Cannot make a certificate because --tls-name must be a host name or an address: it is two words",
    ]);
    expect(readdirSync(folder.path)).toEqual([]);
    expect(codeOf(() => tlsOf(given("/proc/nowhere", "--tls")))[0]).toBe("unwritable");
  });

  test("isn't made by who only wants to read it", () => {
    using folder = new TemporaryFolder();
    const [code, message] = codeOf(() => readTlsOf(given(folder.path)));
    expect([code, message]).toEqual([
      "unreadable",
      `Cannot serve https because ${folder.path}/tls/cert.pem must be readable: current value is no file`,
    ]);
    expect(readdirSync(folder.path)).toEqual([]);
  });
});

describe("an operator's own certificate", () => {
  test("is served as it is, with what follows it", () => {
    using folder = new TemporaryFolder();
    const { cert, key, fingerprint } = newCertificate("logs.example");
    const chain = cert + newCertificate("authority").cert;
    expect(tlsOf(given(folder.path, ...ownFiles(folder.path, chain, key)))).toEqual({
      cert: chain,
      key,
      fingerprint,
      warnings: [],
    });
    expect(readdirSync(folder.path).sort()).toEqual(["own.key", "own.pem"]);
  });

  test("must come with its key", () => {
    expect(codeOf(() => tlsOf(given("/nowhere", "--tls-cert", "a.pem")))).toEqual([
      "usage",
      "Cannot serve https because --tls-cert must come with --tls-key",
    ]);
    expect(codeOf(() => tlsOf(given("/nowhere", "--tls", "--tls-key", "a.key")))).toEqual([
      "usage",
      "Cannot serve https because --tls-key must come with --tls-cert",
    ]);
  });

  test("that can't be used is refused with what is wrong, and without its text", () => {
    using folder = new TemporaryFolder();
    const [one, other] = [newCertificate("one"), newCertificate("other")];
    const encrypted = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
      .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" }) as string;
    const cases = [
      [one.cert, other.key, "bad_key", "must be the key of"],
      ["", one.key, "bad_certificate", "must be a certificate in PEM"],
      [one.key, one.key, "bad_certificate", "must be a certificate in PEM"],
      [one.cert, one.cert, "bad_key", "must be a private key in PEM"],
      [one.cert, encrypted, "bad_key", "without a passphrase"],
    ] as const;
    for (const [cert, key, expected, words] of cases) {
      const files = ownFiles(folder.path, cert, key);
      const [code, message] = codeOf(() => tlsOf(given(folder.path, ...files)));
      expect([code, message.includes(words), message.includes("BEGIN")])
        .toEqual([expected, true, false]);
    }
    const missing = [
      "--tls-cert",
      join(folder.path, "a.pem"),
      "--tls-key",
      join(folder.path, "a.key"),
    ];
    expect(codeOf(() => tlsOf(given(folder.path, ...missing)))[0]).toBe("unreadable");
    expect(readdirSync(folder.path).sort()).toEqual(["own.key", "own.pem"]); // Nothing was made there.
    mkdirSync(join(folder.path, "folder"));
    const files = ["--tls-cert", join(folder.path, "folder"), "--tls-key", "/nowhere.key"];
    expect(codeOf(() => tlsOf(given(folder.path, ...files)))[0]).toBe("unreadable");
  });

  test("that has expired, or isn't valid yet, is served with a warning", () => {
    using folder = new TemporaryFolder();
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    const fromMs = Date.UTC(2026, 10, 1);
    const untilMs = Date.UTC(2026, 10, 22);
    const cert = selfSignedCertificate(privateKey, "logs.example", { fromMs, untilMs });
    const files = given(folder.path, ...ownFiles(folder.path, cert, key));
    const path = join(folder.path, "own.pem");
    expect(tlsOf(files, untilMs)!.warnings).toEqual([]);
    expect(tlsOf(files, untilMs + 1)!.warnings).toEqual([
      `${path} has expired, at 2026-11-22T00:00:00.000Z`,
    ]);
    expect(tlsOf(files, fromMs - 1)!.warnings).toEqual([
      `${path} isn't valid before 2026-11-01T00:00:00.000Z`,
    ]);
  });
});
