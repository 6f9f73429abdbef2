/**
 * Pins in, a `fetch` out that talks https to nobody but the servers that they name. The others get no
 * byte of a request, so no token either.
 *
 *   FILE          PEM: certificates that sign themselves: a receiver's, or an authority's, which then
 *                 vouches for what it signed
 *   sha256:HEX    SHA-256 of a receiver's certificate (DER), with or without colons: the certificate
 *                 itself is asked of the server, and compared, before it is trusted
 *
 * What is pinned is all that is trusted: the system's authorities aren't. A certificate that is pinned
 * needn't name the host in the URL. `rejectUnauthorized: false` would be no pinning at all in Bun: it calls
 * nobody to check; so it is only used to ask for a certificate, and nothing is sent there.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { checkServerIdentity, connect, type PeerCertificate, type TLSSocket } from "node:tls";
import { limits } from "../shared/limits.ts";

export interface Pins {
  /** Whole certificates, from files: nothing needs to be asked of a server. */
  certificates: X509Certificate[];
  /** `AB:CD:...`, of the certificates that aren't in files. */
  fingerprints: string[];
}

/** The server isn't the one that is pinned. For the uploader it is a failure as any other. */
export class PinError extends Error {
  override name = "PinError";
  readonly code = "not_pinned";
}

/**
 * Reads what `--pin` was given.
 *
 * @throws Error for a file that can't be read, holds no certificate or one that somebody else signed
 */
export function parsePins(words: string[]): Pins {
  const pins: Pins = { certificates: [], fingerprints: [] };
  for (const word of words) {
    if (word.startsWith("sha256:")) pins.fingerprints.push(parseFingerprint(word));
    else pins.certificates.push(...readCertificates(word));
  }
  return pins;
}

function parseFingerprint(word: string): string {
  const hex = word.slice("sha256:".length).replaceAll(":", "").toUpperCase();
  if (/^[0-9A-F]{64}$/.test(hex)) return hex.match(/../g)!.join(":");
  throw new Error(`Cannot use --pin ${word} because it must be sha256: and 64 hexadecimal digits`);
}

function readCertificates(path: string): X509Certificate[] {
  let certificates;
  try {
    const blocks = readFileSync(path, "utf8").match(/-----BEGIN CERT[^]*?-----END CERT[^\n]*/g) ??
      [];
    certificates = blocks.map((pem) => new X509Certificate(pem));
  } catch (error) {
    throw new Error(
      `Cannot use --pin ${path} because it must be a readable file of certificates in PEM: ` +
        `current value is ${(error as Error).message}`,
    );
  }
  if (certificates.length === 0) {
    throw new Error(
      `Cannot use --pin ${path} because it must hold a certificate in PEM: it has none`,
    );
  }
  // Those between an authority and a server are sent by the server: they say nothing of their own.
  if (!certificates.some(signsItself)) {
    throw new Error(`Cannot use --pin ${path} because ${mustSignItself(certificates[0]!.issuer)}`);
  }
  return certificates.filter(signsItself);
}

const signsItself = (certificate: X509Certificate) => certificate.checkIssued(certificate);

function mustSignItself(issuer: string): string {
  return "a pinned certificate must sign itself: " +
    `current value is one of ${issuer.replaceAll("\n", ", ")}; ` +
    "pin that authority by a file, or, where it is a public one, pin nothing";
}

/**
 * The fetch for these receivers: the given one if nothing is pinned.
 *
 * @throws Error where a pin would have no effect, and what `parsePins` throws
 */
export function fetchOf(words: string[], receivers: string[], plain: typeof fetch): typeof fetch {
  if (words.length === 0) return plain;
  if (!receivers.some((url) => /^https:/i.test(url))) {
    throw new Error(
      `Cannot use --pin because a receiver must be https: current value is ${receivers.join(", ")}`,
    );
  }
  return pinnedFetch(parsePins(words), plain);
}

/** `plain`, for http as it is, and for https with nobody but the pinned. */
export function pinnedFetch(pins: Pins, plain: typeof fetch): typeof fetch {
  const servers = new Map<string, PinnedServer>();
  const pinned = (input: string | URL | Request, init?: RequestInit) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.protocol !== "https:") return plain(input, init);
    let server = servers.get(url.host);
    if (!server) servers.set(url.host, server = new PinnedServer(url, pins));
    return server.fetch((tls) => plain(input, { ...init, tls } as RequestInit));
  };
  return pinned as typeof fetch;
}

interface BunTls {
  ca: string[];
  checkServerIdentity?: typeof checkServerIdentity;
}

/** One host and port, and what is known of its certificate. */
class PinnedServer {
  /** Undefined: it must be asked first. */
  #trusted: X509Certificate[] | undefined;
  /** Certificates that it, or one of several behind its name, has had, and that are pinned. */
  readonly #found: X509Certificate[] = [];
  /** Its certificate names the host of the URL. */
  #named = false;

  constructor(private readonly url: URL, private readonly pins: Pins) {}

  async fetch(request: (tls: BunTls) => Promise<Response>): Promise<Response> {
    this.#trusted ??= await this.#find();
    try {
      return await request(this.#tls(this.#trusted));
    } catch (error) {
      if (!isAboutCertificate(error)) throw error;
      // The next try asks anew: the certificate may have been changed for another one that is pinned.
      this.#trusted = undefined;
      this.#named = false;
      throw await this.#explained(error as Error);
    }
  }

  /** Bun keeps no connection that was made with a check of our own: none where its own will do. */
  #tls(trusted: X509Certificate[]): BunTls {
    const ca = trusted.map(String);
    if (this.#named) return { ca };
    const pinned = trusted.map(({ fingerprint256 }) => fingerprint256);
    const check = (host: string, peer: PeerCertificate) => {
      const wrong = checkServerIdentity(host, peer);
      this.#named = wrong === undefined;
      return pinned.includes(peer.fingerprint256) ? undefined : wrong;
    };
    return { ca, checkServerIdentity: check };
  }

  async #find(): Promise<X509Certificate[]> {
    const { certificates, fingerprints } = this.pins;
    if (fingerprints.length === 0) return certificates;
    const peer = await askForCertificate(this.url);
    if (!fingerprints.includes(peer.fingerprint256)) {
      // With files as well, it may be one of theirs: TLS itself will see.
      if (certificates.length === 0) throw notPinned(this.url, peer);
    } else if (!signsItself(peer)) {
      throw new PinError(`Cannot trust ${this.url.origin} because ${mustSignItself(peer.issuer)}`);
    } else if (!this.#found.some(({ raw }) => raw.equals(peer.raw))) this.#found.push(peer);
    return [...certificates, ...this.#found];
  }

  /** TLS says what is wrong with a certificate, not whose it is. */
  async #explained(error: Error): Promise<Error> {
    const peer = await askForCertificate(this.url).catch(() => undefined);
    const all = [...this.pins.certificates.map((c) => c.fingerprint256), ...this.pins.fingerprints];
    return !peer || all.includes(peer.fingerprint256) ? error : notPinned(this.url, peer);
  }
}

function notPinned({ origin }: URL, peer: X509Certificate): PinError {
  return new PinError(
    `Cannot trust ${origin} because its certificate must be a pinned one: ` +
      `current value is sha256:${peer.fingerprint256}`,
  );
}

/** OpenSSL's names: DEPTH_ZERO_SELF_SIGNED_CERT, UNABLE_TO_VERIFY_LEAF_SIGNATURE ... */
function isAboutCertificate(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return /CERT|SIGNATURE|ERR_TLS/.test(String(code));
}

/** A handshake, and nothing after it. */
function askForCertificate({ hostname, port }: URL): Promise<X509Certificate> {
  const host = hostname.replace(/^\[|\]$/g, "");
  const name = isIP(host) ? {} : { servername: host };
  return new Promise((resolve, reject) => {
    const options = { host, port: Number(port || 443), ...name, rejectUnauthorized: false };
    const socket: TLSSocket = connect(options, () => {
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      resolve(new X509Certificate(raw));
    });
    socket.setTimeout(limits.ackTimeoutMs, () => socket.destroy(new Error("no answer in time")));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the connection was closed before its handshake")));
  });
}
