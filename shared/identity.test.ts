import { createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { calculateJwkThumbprint } from "jose";
import { createIdentity, IdentityError, loadIdentity } from "./identity.ts";

const NOW_MS = Date.UTC(2026, 10, 22);
let dir = "";
beforeEach(() => dir = mkdtempSync(join(tmpdir(), "identity-")));
afterEach(() => rmSync(dir, { recursive: true }));

async function errorOf(promise: Promise<unknown>): Promise<IdentityError> {
  const error = await promise.then(() => undefined, (error) => error);
  expect(error).toBeInstanceOf(IdentityError);
  return error;
}

test("an identity that was created is the one that is loaded", async () => {
  const created = await createIdentity(dir, { name: "kiosk-7", nowMs: NOW_MS });
  const loaded = await loadIdentity(dir);
  expect(loaded.thumbprint).toBe(created.thumbprint);
  expect(loaded.publicJwk).toEqual(created.publicJwk);
});

test("an identity's public key has no private part and its thumbprint is RFC 7638's", async () => {
  const { publicJwk, thumbprint } = await createIdentity(dir);
  expect(Object.keys(publicJwk).sort()).toEqual(["crv", "kty", "x"]);
  expect(thumbprint).toBe(await calculateJwkThumbprint(publicJwk, "sha256"));
  expect(thumbprint).toMatch(/^[A-Za-z0-9_-]{43}$/);
});

test("an identity's thumbprint of RFC 8037's example key is the RFC's", async () => {
  const pkcs8 = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
  const pem = `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`;
  writeFileSync(join(dir, "device.key"), pem, { mode: 0o600 });
  const { thumbprint } = await loadIdentity(dir);
  expect(thumbprint).toBe("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
});

test("an identity's directory holds a private key of mode 0600, a certificate and no more", async () => {
  const { publicJwk } = await createIdentity(dir, { name: "kiosk-7", nowMs: NOW_MS });
  expect(readdirSync(dir).sort()).toEqual(["device.crt", "device.key"]);
  expect(statSync(join(dir, "device.key")).mode & 0o777).toBe(0o600);
  expect(readFileSync(join(dir, "device.key"), "utf8")).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
  const certificate = new X509Certificate(readFileSync(join(dir, "device.crt")));
  expect(certificate.subject).toBe("CN=kiosk-7");
  expect(
    createPublicKey(certificate.publicKey.export({ type: "spki", format: "pem" })).export({
      format: "jwk",
    }),
  ).toEqual({ ...publicJwk });
});

test("an identity is created in a directory that doesn't exist yet, closed to others", async () => {
  const deeper = join(dir, "a", "b");
  await createIdentity(deeper);
  expect(statSync(deeper).mode & 0o777).toBe(0o700);
});

test("an identity is never overwritten", async () => {
  const { thumbprint } = await createIdentity(dir);
  const error = await errorOf(createIdentity(dir));
  expect(error.code).toBe("key_exists");
  expect((await loadIdentity(dir)).thumbprint).toBe(thumbprint);
  expect(readdirSync(dir).sort()).toEqual(["device.crt", "device.key"]);
});

test("an identity whose making was killed before the certificate is finished with its own key", async () => {
  const { thumbprint } = await createIdentity(dir);
  rmSync(join(dir, "device.crt"));
  expect((await createIdentity(dir)).thumbprint).toBe(thumbprint);
  expect(existsSync(join(dir, "device.crt"))).toBe(true);
});

test("an identity that is missing is refused with the command that makes it", async () => {
  const error = await errorOf(loadIdentity(dir));
  expect(error.code).toBe("missing_key");
  expect(error.message).toContain("run `agent identity`");
});

test("an identity that others can read is refused with the command that closes it", async () => {
  await createIdentity(dir);
  const path = join(dir, "device.key");
  for (const mode of [0o640, 0o604, 0o610]) {
    chmodSync(path, mode);
    const error = await errorOf(loadIdentity(dir));
    expect(error.code).toBe("loose_permissions");
    expect(error.message).toContain(`current value is mode 0${mode.toString(8)}`);
    expect(error.message).toContain(`chmod 600 ${path}`);
  }
  chmodSync(path, 0o400);
  await loadIdentity(dir);
});

test("an identity that is no key is refused, without its text in the message", async () => {
  writeFileSync(join(dir, "device.key"), "half of a secr", { mode: 0o600 });
  const error = await errorOf(loadIdentity(dir));
  expect(error.code).toBe("bad_key");
  expect(error.message).not.toContain("secr");
});

test("an identity with a key of another kind is refused with its kind", async () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  writeFileSync(join(dir, "device.key"), pem, { mode: 0o600 });
  const error = await errorOf(loadIdentity(dir));
  expect(error.code).toBe("wrong_key_type");
  expect(error.message).toContain("current value is ec");
});

test("an identity that can't be read or written says what is in the way", async () => {
  writeFileSync(join(dir, "file"), "");
  expect((await errorOf(loadIdentity(join(dir, "file")))).code).toBe("unreadable_key");
  expect((await errorOf(createIdentity(join(dir, "file")))).code).toBe("unwritable");
});
