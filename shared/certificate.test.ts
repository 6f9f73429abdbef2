import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  X509Certificate,
} from "node:crypto";
import { expect, test } from "bun:test";
import { selfSignedCertificate } from "./certificate.ts";

// The secret key of RFC 8032, 7.1, test 1, in PKCS#8: so that the golden bytes can be made again.
const KEY = createPrivateKey({
  key: Buffer.from(
    "302e020100300506032b657004220420" +
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "hex",
  ),
  format: "der",
  type: "pkcs8",
});
const FROM_MS = Date.UTC(2026, 10, 22, 12, 34, 56, 789);

test("a certificate names its device, its hundred years and that it is no authority", () => {
  const certificate = new X509Certificate(selfSignedCertificate(KEY, "kiosk-7.example", FROM_MS));
  expect(certificate.subject).toBe("CN=kiosk-7.example");
  expect(certificate.issuer).toBe(certificate.subject);
  expect(Date.parse(certificate.validFrom)).toBe(Date.UTC(2026, 10, 22, 12, 34, 56));
  expect(Date.parse(certificate.validTo)).toBe(Date.UTC(2126, 10, 22, 12, 34, 56));
  expect(certificate.ca).toBe(false);
  expect(certificate.subjectAltName).toBe("DNS:kiosk-7.example");
});

test("a certificate holds the device's own key and is signed by it", () => {
  const certificate = new X509Certificate(selfSignedCertificate(KEY, "kiosk-7", FROM_MS));
  const publicKey = createPublicKey(KEY);
  expect(certificate.verify(publicKey)).toBe(true);
  expect(certificate.publicKey.export({ format: "jwk" })).toEqual(
    publicKey.export({ format: "jwk" }),
  );
  const other = generateKeyPairSync("ed25519").publicKey;
  expect(certificate.verify(other)).toBe(false);
});

test("a certificate's bytes are the golden ones", () => {
  expect(selfSignedCertificate(KEY, "kiosk-7", FROM_MS)).toBe(GOLDEN);
});

test("a certificate's common name is cut to 64 characters and its alternative name is whole", () => {
  const name = "n".repeat(200);
  const certificate = new X509Certificate(selfSignedCertificate(KEY, name, FROM_MS));
  expect(certificate.subject).toBe(`CN=${"n".repeat(64)}`);
  expect(certificate.subjectAltName).toBe(`DNS:${name}`);
});

test("a certificate remade a second later or for another name has another serial number", () => {
  const serialNumber = (name: string | string[], fromMs: number) =>
    new X509Certificate(selfSignedCertificate(KEY, name, fromMs)).serialNumber;
  const numbers = [serialNumber("a", FROM_MS), serialNumber("a", FROM_MS + 1000)];
  numbers.push(serialNumber("b", FROM_MS), serialNumber(["b", "c"], FROM_MS));
  expect(new Set(numbers).size).toBe(4);
});

test("a certificate names hosts and addresses, each as what it is", () => {
  const names = ["logs.example", "127.0.0.1", "::1", "2001:db8::203.0.113.7", "fe80::1%eth0"];
  const certificate = new X509Certificate(selfSignedCertificate(KEY, names, FROM_MS));
  expect(certificate.subject).toBe("CN=logs.example");
  expect(certificate.checkHost("logs.example")).toBe("logs.example");
  for (const address of ["127.0.0.1", "::1", "2001:db8::cb00:7107"]) {
    expect([address, certificate.checkIP(address)]).toEqual([address, address]);
  }
  expect(certificate.checkIP("127.0.0.2")).toBeUndefined();
  expect(certificate.subjectAltName).toEndWith("DNS:fe80::1%eth0");
});

test("a certificate of a P-256 key is signed by it and lasts as long as it is told to", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const validity = { fromMs: 0, untilMs: Date.UTC(9999, 11, 31, 23, 59, 59) };
  const pem = selfSignedCertificate(privateKey, "logs.example", validity);
  const certificate = new X509Certificate(pem);
  expect(certificate.verify(publicKey)).toBe(true);
  expect(certificate.checkPrivateKey(privateKey)).toBe(true);
  expect(certificate.ca).toBe(false);
  expect(Date.parse(certificate.validFrom)).toBe(0);
  expect(Date.parse(certificate.validTo)).toBe(validity.untilMs);
});

test("a certificate is refused for another kind of key and for a name with spaces", () => {
  for (const namedCurve of ["P-384", "P-521"]) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve });
    expect(() => selfSignedCertificate(privateKey, "kiosk-7", FROM_MS)).toThrow("P-256");
  }
  expect(() => selfSignedCertificate(KEY, ["kiosk-7", "kiosk 7"], FROM_MS)).toThrow("printable");
  expect(() => selfSignedCertificate(KEY, "kiosk 7", FROM_MS)).toThrow("printable");
  expect(() => selfSignedCertificate(KEY, "", FROM_MS)).toThrow("printable");
});

test("a certificate is read by openssl and verifies against itself", () => {
  if (spawnSync("openssl", ["version"]).status !== 0) {
    return console.log("skipped: openssl is not installed");
  }
  const input = selfSignedCertificate(KEY, "kiosk-7", FROM_MS);
  const x509 = spawnSync("openssl", ["x509", "-noout", "-text"], { input, encoding: "utf8" });
  expect(x509.stderr).toBe("");
  expect(x509.stdout).toContain("Version: 3 (0x2)");
  expect(x509.stdout).toContain("CA:FALSE");
  expect(x509.stdout).toContain("DNS:kiosk-7");
  expect(x509.stdout).toContain("Not After : Nov 22 12:34:56 2126 GMT");
  const key = spawnSync("openssl", ["x509", "-noout", "-pubkey"], { input, encoding: "utf8" });
  expect(key.stdout).toBe(createPublicKey(KEY).export({ type: "spki", format: "pem" }) as string);
});

const GOLDEN = `-----BEGIN CERTIFICATE-----
MIIBBzCBuqADAgECAhBW17sfi32UPm9Bix82/aieMAUGAytlcDASMRAwDgYDVQQD
DAdraW9zay03MCAXDTI2MTEyMjEyMzQ1NloYDzIxMjYxMTIyMTIzNDU2WjASMRAw
DgYDVQQDDAdraW9zay03MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPa
piMlrwIaaPcHURqjJDAiMAwGA1UdEwEB/wQCMAAwEgYDVR0RBAswCYIHa2lvc2st
NzAFBgMrZXADQQAfG+dhTkt2rSpw19mgfJxBEv/KYLQ0eC+RYCMIUrzSNub9hjZ/
SdkCIGe+SNB1mVACWpzlRuyq8kbOiPN4s/4E
-----END CERTIFICATE-----
`;
