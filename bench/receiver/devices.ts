/**
 * A device's number in, its identity out, the same one each time: keys come from the number, so that
 * no process has to hand any to another.
 */
import { Buffer } from "node:buffer";
import { createHash, createPrivateKey, createPublicKey } from "node:crypto";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { calculateJwkThumbprint } from "jose";
import type { Identity } from "../../shared/identity.ts";

/** An Ed25519 private key in PKCS#8 (RFC 8410, section 7): this, and 32 bytes that anything may be. */
const pkcs8Head = Buffer.from("302e020100300506032b657004220420", "hex");

export function deviceName(device: number): string {
  return `d${device}`;
}

export async function identities(from: number, to: number): Promise<Identity[]> {
  const made: Identity[] = [];
  for (let device = from; device < to; device++) {
    const seed = createHash("sha256").update(`logmill bench ${device}`).digest();
    const key = Buffer.concat([pkcs8Head, seed]);
    const privateKey = createPrivateKey({ key, format: "der", type: "pkcs8" });
    const { x } = createPublicKey(privateKey).export({ format: "jwk" });
    const publicJwk = { kty: "OKP", crv: "Ed25519", x: x! } as const;
    made.push({ privateKey, publicJwk, thumbprint: await calculateJwkThumbprint(publicJwk) });
  }
  return made;
}

/** Writes the allow-list anew, with the devices `first` and up. */
export function allow(path: string, devices: Identity[], first = 0): void {
  const lines = devices.map(({ thumbprint }, i) => `${thumbprint} ${deviceName(first + i)}\n`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.tmp`, lines.join(""));
  renameSync(`${path}.tmp`, path);
}
