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
  const serialNumber = (name: string, fromMs: number) =>
    new X509Certificate(selfSignedCertificate(KEY, name, fromMs)).serialNumber;
  const numbers = [serialNumber("a", FROM_MS), serialNumber("a", FROM_MS + 1000)];
  numbers.push(serialNumber("b", FROM_MS));
  expect(new Set(numbers).size).toBe(3);
});

test("a certificate is refused for another kind of key and for a name with spaces", () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  expect(() => selfSignedCertificate(privateKey, "kiosk-7", FROM_MS)).toThrow("Ed25519");
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
