/** Who sends: devices that are let in, one whose data nobody may touch, and one that nobody knows. */
import { Buffer } from "node:buffer";
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { calculateJwkThumbprint } from "jose";
import type { Device } from "../../shared/allowlist.ts";
import type { Identity } from "../../shared/identity.ts";
import { signToken } from "../../shared/token.ts";

/** Each upload of a batch has a sender of its own, so that no device's share is ever used up. */
export const sendersMax = 128;
export const audience = "logmill";
/** Of the TLS proxy that the receiver believes. */
export const proxySecret = "a-secret-of-the-proxy";
export const nowMs = Date.UTC(2026, 10, 22, 12);

export interface Sender {
  name: string;
  identity: Identity;
  /** A good one. */
  token: string;
}

export interface World {
  senders: Sender[];
  /** Let in, and never sends: whatever is stored under its name is forged. */
  victim: Sender;
  /** Not let in. */
  stranger: Sender;
  allowed: Map<string, Device>;
}

/** Names that are right, and that a careless table would stumble over. */
const oddNames = ["__proto__", "constructor", "toString", "-", "0", "a:b@c+d", "d".repeat(128)];

let world: Promise<World> | undefined;

/** The same each time. */
export const theWorld = () => world ??= newWorld();

async function newWorld(): Promise<World> {
  const names = Array.from({ length: sendersMax }, (_, i) => oddNames[i] ?? `kiosk-${i}`);
  const senders = await Promise.all(names.map(newSender));
  const victim = await newSender("victim");
  const allowed = new Map([...senders, victim].map(({ name, identity: { thumbprint } }) => {
    return [thumbprint, { thumbprint, name, labels: {} }];
  }));
  return { senders, victim, stranger: await newSender("stranger"), allowed };
}

async function newSender(name: string): Promise<Sender> {
  const identity = await identityOf(name);
  return { name, identity, token: await signToken(identity, audience, nowMs) };
}

/** PKCS #8 (RFC 8410, section 7) of an Ed25519 key, up to the key itself. */
const pkcs8Head = Buffer.from("302e020100300506032b657004220420", "hex");

/** The same key for the same name each time, so that tokens are the same too. */
async function identityOf(name: string): Promise<Identity> {
  const secret = createHash("sha256").update(`fuzz ${name}`).digest();
  const key = Buffer.concat([pkcs8Head, secret]);
  const privateKey = createPrivateKey({ key, format: "der", type: "pkcs8" });
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  const publicJwk = { kty: "OKP", crv: "Ed25519", x: x! } as const;
  return { privateKey, publicJwk, thumbprint: await calculateJwkThumbprint(publicJwk) };
}

export const base64url = (text: string | Uint8Array) => Buffer.from(text).toString("base64url");

/** A compact JWS of any header and payload, as text, by any key. */
export function sealed(header: string, payload: string, key: KeyObject): string {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${base64url(sign(null, Buffer.from(input), key))}`;
}
