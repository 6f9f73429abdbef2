/**
 * What a TLS proxy says of a client's certificate goes in, the device comes out. Whoever isn't a
 * proxy that we know isn't listened to.
 *
 * | header, set by the proxy | value |
 * |--------------------------|-------|
 * | Client-Cert              | the certificate whose key the client has shown to hold, in one of two forms: |
 * | - `:BASE64:`             | its DER (RFC 9440); haproxy: `:%[ssl_c_der,base64]:` |
 * | - `-----BEGIN%20...`     | its PEM, URL-encoded; nginx: `$ssl_client_escaped_cert` |
 * | Logmill-Proxy-Secret     | what the file of --trust-proxy-secret holds |
 *
 * Only the certificate's key counts, by the thumbprint that a token of the same key has (RFC 7638), on
 * the same allow-list. Issuer, names and dates mean nothing: a device makes its certificate itself,
 * perhaps before its clock was set. Where there is an Authorization header, it decides alone: a token
 * is the device's own word from end to end, this is the proxy's.
 */
import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { BlockList, isIP } from "node:net";
import type { Device } from "../shared/allowlist.ts";
import { limits } from "../shared/limits.ts";
import { type OptionSpec, UsageError } from "../shared/options.ts";
import { AuthError } from "../shared/token.ts";

export const proxyOptions = {
  "trust-proxy": {
    type: "list",
    unit: "address[/bits]",
    help: "a TLS proxy there may say whose client certificate it saw",
  },
  "trust-proxy-secret": {
    type: "text",
    unit: "file",
    help: "only a proxy that sends this secret may; with --trust-proxy both must hold",
  },
} satisfies Record<string, OptionSpec>;

export interface ProxyCertificatesOptions {
  /** `ADDRESS` or `ADDRESS/BITS` of the proxies; none: the secret alone decides. */
  addresses: readonly string[];
  /** What `readProxySecret` returned; undefined: the address alone decides. Without both, nobody is trusted. */
  secret: string | undefined;
  /** The allow-list's look-up. It is asked for every request. */
  allowed: (thumbprint: string) => Device | undefined;
  /** Certificates to remember, at some 150 bytes each; the oldest is forgotten first. */
  cacheMax?: number;
  /** `certificateThumbprint`: 150 microseconds, where a remembered certificate costs 15. */
  thumbprintOf?: (text: string) => string;
}

export class ProxyCertificates {
  readonly #allowed: ProxyCertificatesOptions["allowed"];
  readonly #addresses: BlockList | undefined;
  readonly #secretHash: Buffer | undefined;
  readonly #cacheMax: number;
  readonly #thumbprintOf: (text: string) => string;
  /** Thumbprints by the hash of the header's exact text, oldest first. */
  readonly #cache = new Map<string, string>();

  /** @throws UsageError for an address that isn't one */
  constructor(options: ProxyCertificatesOptions) {
    this.#allowed = options.allowed;
    this.#addresses = options.addresses.length > 0 ? blockList(options.addresses) : undefined;
    this.#secretHash = options.secret === undefined ? undefined : sha256(options.secret);
    this.#cacheMax = options.cacheMax ?? limits.clientCertificatesCachedMax;
    this.#thumbprintOf = options.thumbprintOf ?? certificateThumbprint;
  }

  /** Certificates remembered now, at most cacheMax. */
  get cacheSize(): number {
    return this.#cache.size;
  }

  /**
   * Says whose certificate a proxy that we know saw; undefined if none did, so that a token must say it.
   *
   * @param peer the address that the request came from
   * @throws AuthError bad_token for what is no certificate, unknown_device for one that isn't allowed
   */
  identify(
    headers: Headers,
    peer: string | undefined,
  ): { thumbprint: string; device: Device } | undefined {
    const text = headers.get("Client-Cert");
    if (text === null || headers.has("Authorization") || !this.#trusts(headers, peer)) return;
    if (text.length > limits.clientCertificateBytesMax) throw tooLong(text.length);
    const hash = sha256(text).toString("base64");
    const thumbprint = this.#cache.get(hash) ?? this.#thumbprintOf(text);
    const device = this.#allowed(thumbprint);
    if (device === undefined) throw unknownDevice(thumbprint);
    // Only for devices we know: strangers must not push their certificates out.
    this.#remember(hash, thumbprint);
    return { thumbprint, device };
  }

  #trusts(headers: Headers, peer: string | undefined): boolean {
    if (this.#addresses && !holds(this.#addresses, peer)) return false;
    // Two of these headers, joined by a comma, aren't the secret either.
    const secret = headers.get("Logmill-Proxy-Secret") ?? "";
    if (this.#secretHash && !timingSafeEqual(this.#secretHash, sha256(secret))) return false;
    return this.#addresses !== undefined || this.#secretHash !== undefined;
  }

  #remember(hash: string, thumbprint: string): void {
    if (this.#cache.has(hash) || this.#cacheMax < 1) return;
    if (this.#cache.size >= this.#cacheMax) this.#cache.delete(this.#cache.keys().next().value!);
    this.#cache.set(hash, thumbprint);
  }
}

/**
 * Reads the secret that a proxy shares with us.
 *
 * @throws UsageError if the file can't be read, or holds what doesn't fit a header or can be guessed
 */
export function readProxySecret(path: string): string {
  let secret;
  try {
    secret = readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch (error) {
    throw new UsageError(
      `Cannot read proxy secret because ${path} must be readable: ` +
        `current value is ${(error as Error).message}`,
    );
  }
  if (/^[A-Za-z0-9+/=_.~-]{16,256}$/.test(secret)) return secret;
  throw new UsageError(
    `Cannot use proxy secret because ${path} must hold one line of 16 to 256 of ` +
      `A-Z a-z 0-9 + / = _ . ~ -: current value is ${secret.length} characters`,
  );
}

/**
 * The RFC 7638 thumbprint of the key in a Client-Cert header's certificate.
 *
 * @throws AuthError bad_token, whatever the text
 */
export function certificateThumbprint(text: string): string {
  const der = certificateBytes(text);
  try {
    const certificate = new X509Certificate(der);
    // What comes after the certificate is passed over in silence by the parser, and would be by nobody else.
    if (certificate.raw.equals(der)) {
      return keyThumbprint(certificate.publicKey.export({ format: "jwk" }));
    }
  } catch { /* Each runtime has its own words for what is wrong. */ }
  throw badCertificate(
    "it must be one X.509 certificate of an Ed25519, EC or RSA key",
    `${der.length} bytes that aren't`,
  );
}

/** DER out of either form. A comma is in neither: two headers, which arrive joined by one, fit no form. */
function certificateBytes(text: string): Buffer {
  const [, base64] = /^:([A-Za-z0-9+/]+={0,2}):$/.exec(text) ?? pemForm.exec(unescaped(text)) ?? [];
  const digits = base64?.replaceAll("\n", "");
  const der = Buffer.from(digits ?? "", "base64");
  // Decoders pass over what isn't base64: only what encodes to the same again was.
  if (digits && der.toString("base64") === digits) return der;
  throw badCertificate(
    "it must be `:BASE64 of DER:` or a URL-encoded PEM certificate",
    `${text.length} characters that are neither`,
  );
}

const pemForm = /^-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]+)\n-----END CERTIFICATE-----\n?$/;

function unescaped(text: string): string {
  return /^(?:[A-Za-z0-9._~-]|%[0-7][0-9A-Fa-f])+$/.test(text) ? decodeURIComponent(text) : "";
}

/** RFC 7638, 3.2: the required members of each kind of key, in the order in which they are hashed. */
const thumbprintMembers = new Map([
  ["OKP", ["crv", "kty", "x"]],
  ["EC", ["crv", "kty", "x", "y"]],
  ["RSA", ["e", "kty", "n"]],
]);

function keyThumbprint(jwk: object): string {
  const all = new Map<string, unknown>(Object.entries(jwk));
  const members = thumbprintMembers.get(String(all.get("kty")));
  if (!members) throw new TypeError("a kind of key that has no thumbprint here");
  const hashed = JSON.stringify(Object.fromEntries(members.map((name) => [name, all.get(name)])));
  return sha256(hashed).toString("base64url");
}

function blockList(addresses: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of addresses) {
    const [, address = "", bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
    const version = isIP(address);
    const most = version === 6 ? 128 : 32;
    const prefix = Number(bits ?? most);
    if (version === 0 || address.includes("%") || prefix < 1 || prefix > most) {
      throw new UsageError(
        "Cannot trust proxy because --trust-proxy must be an IP address, or one with /BITS of 1 " +
          `to 32, or 128: current value is ${text}`,
      );
    }
    list.addSubnet(address, prefix, version === 6 ? "ipv6" : "ipv4");
  }
  return list;
}

/** A BlockList knows that `::ffff:192.0.2.1`, which came in on an IPv6 socket, is 192.0.2.1. */
function holds(list: BlockList, peer = ""): boolean {
  const version = isIP(peer);
  return version !== 0 && list.check(peer, version === 6 ? "ipv6" : "ipv4");
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function badCertificate(rule: string, value: string): AuthError {
  return new AuthError(
    "bad_token",
    `Cannot accept Client-Cert because ${rule}: current value is ${value}`,
  );
}

function tooLong(length: number): AuthError {
  return badCertificate(
    `it must be at most ${limits.clientCertificateBytesMax} bytes`,
    String(length),
  );
}

function unknownDevice(thumbprint: string): AuthError {
  return new AuthError(
    "unknown_device",
    `Cannot accept client certificate because its key must be on the allow-list: ` +
      `current value is ${thumbprint}; run \`receiver allow ${thumbprint} --device NAME\``,
    thumbprint,
  );
}
