/**
 * Options in; a certificate and its key out, for the receiver's server: the operator's own, or one that
 * is made at the first start and kept:
 *
 *   DIR/key.pem    P-256 key, PKCS#8 PEM, mode 0600; made once, never overwritten
 *   DIR/cert.pem   self-signed certificate of it: CA:FALSE, names in its SAN; made once
 *
 * Each file appears whole or not at all. A run that was killed between them is finished by the next.
 */
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  X509Certificate,
} from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { selfSignedCertificate } from "../shared/certificate.ts";
import type { OptionSpec, Values } from "../shared/options.ts";

export const tlsOptions = {
  tls: { type: "flag", unit: "", help: "https, with a certificate made at the first start" },
  "tls-name": {
    type: "list",
    unit: "name",
    help: "a host name or address for that certificate, beside this host's own",
  },
  "tls-dir": {
    type: "text",
    unit: "folder",
    help: "where that certificate is kept (default: `tls` in --data)",
  },
  "tls-cert": { type: "text", unit: "file", help: "https, with this certificate (PEM)" },
  "tls-key": { type: "text", unit: "file", help: "the key of --tls-cert (PEM)" },
} satisfies Record<string, OptionSpec>;

export interface TlsGiven extends Values<typeof tlsOptions> {
  data: string;
  host: string;
}

export interface Tls {
  /** PEM; others may follow the first. */
  cert: string;
  key: string;
  /** SHA-256 of the certificate's DER, as openssl prints it: `AB:CD:...`. */
  fingerprint: string;
  /** What the operator should know, and what doesn't keep the receiver from serving. */
  warnings: string[];
}

export type TlsErrorCode = "usage" | "unreadable" | "bad_certificate" | "bad_key" | "unwritable";

/** The certificate can't be used or made as it is; the message says what would help. */
export class TlsError extends Error {
  override name = "TlsError";
  constructor(readonly code: TlsErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/**
 * A device without a clock of its own thinks that it is 1970 until somebody tells it the time, and what
 * tells it is this receiver: its certificate is valid at every time (RFC 5280, 4.1.2.5).
 */
const always = { fromMs: 0, untilMs: Date.UTC(9999, 11, 31, 23, 59, 59) };

/**
 * The certificate to serve with, or undefined for plain HTTP. Makes it where there is none yet.
 *
 * @throws TlsError
 */
export function tlsOf(given: TlsGiven, nowMs = Date.now()): Tls | undefined {
  const files = tlsFiles(given);
  if (!files) return undefined;
  if (files.own) return readTls(files, nowMs);
  makeTls(files, given);
  const tls = readTls(files, nowMs);
  tls.warnings.push(...namesMissing(tls, files, given["tls-name"]));
  return tls;
}

/** As `tlsOf`, but makes nothing: throws where there is nothing. */
export function readTlsOf(given: TlsGiven, nowMs = Date.now()): Tls {
  const files = tlsFiles({ ...given, tls: true })!;
  return readTls(files, nowMs);
}

interface Files {
  cert: string;
  key: string;
  /** The operator's own: nothing is ever made there. */
  own: boolean;
}

function tlsFiles(given: TlsGiven): Files | undefined {
  const { "tls-cert": cert, "tls-key": key, "tls-dir": dir } = given;
  if (cert !== undefined && key !== undefined) return { cert, key, own: true };
  if (cert !== undefined || key !== undefined) {
    const [is, must] = cert === undefined
      ? ["--tls-key", "--tls-cert"]
      : ["--tls-cert", "--tls-key"];
    throw new TlsError("usage", `Cannot serve https because ${is} must come with ${must}`);
  }
  if (!given.tls) return undefined;
  if (dir === undefined && /^\w+:\/\//.test(given.data)) {
    throw new TlsError(
      "usage",
      `Cannot serve https because --tls needs --tls-dir where --data is no folder: it is ${given.data}`,
    );
  }
  const folder = dir ?? join(given.data, "tls");
  return { cert: join(folder, "cert.pem"), key: join(folder, "key.pem"), own: false };
}

function readTls({ cert, key }: Files, nowMs: number): Tls {
  const [certText, keyText] = [read(cert), read(key)];
  const certificate = parseCertificate(cert, certText);
  const privateKey = parseKey(key, keyText);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new TlsError(
      "bad_key",
      `Cannot serve https because ${key} must be the key of ${cert}: current value is another key`,
    );
  }
  return {
    cert: certText,
    key: keyText,
    fingerprint: certificate.fingerprint256,
    warnings: timesWrong(cert, certificate, nowMs),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "no file" : message;
    throw new TlsError(
      "unreadable",
      `Cannot serve https because ${path} must be readable: current value is ${why}`,
      error,
    );
  }
}

function parseCertificate(path: string, text: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (error) {
    throw new TlsError(
      "bad_certificate",
      `Cannot serve https because ${path} must be a certificate in PEM: ` +
        `current value is ${text.length} characters that aren't`,
      error,
    );
  }
}

function parseKey(path: string, text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw new TlsError(
      "bad_key",
      `Cannot serve https because ${path} must be a private key in PEM without a passphrase: ` +
        `current value is ${text.length} characters that aren't`,
      error,
    );
  }
}

function timesWrong(path: string, certificate: X509Certificate, nowMs: number): string[] {
  const [fromMs, untilMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (nowMs > untilMs) return [`${path} has expired, at ${new Date(untilMs).toISOString()}`];
  if (nowMs < fromMs) return [`${path} isn't valid before ${new Date(fromMs).toISOString()}`];
  return [];
}

/** A name that was thought of later: the certificate stays as agents have pinned it. */
function namesMissing({ cert }: Tls, files: Files, names: string[]): string[] {
  const certificate = new X509Certificate(cert);
  return names.filter((name) =>
    !(isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name))
  ).map(
    (name) =>
      `${files.cert} doesn't name ${name}; agents that pin it don't mind. ` +
      `To make a new one, which must be pinned anew, remove ${dirname(files.cert)}`,
  );
}

function makeTls(files: Files, { host, "tls-name": more }: TlsGiven): void {
  if (existsSync(files.cert) && existsSync(files.key)) return;
  if (existsSync(files.cert)) {
    throw new TlsError(
      "unreadable",
      `Cannot serve https because ${files.key} must be there with ${files.cert}: ` +
        `current value is no file; put it back, or remove ${files.cert} to make both anew`,
    );
  }
  const wrong = more.find((name) => !isCertifiable(name));
  if (wrong !== undefined) {
    throw new TlsError(
      "usage",
      `Cannot make a certificate because --tls-name must be a host name or an address: it is ${wrong}`,
    );
  }
  const own = [hostname(), "localhost", "127.0.0.1", "::1", host].filter(isCertifiable);
  const names = [...new Set([...more, ...own])];
  try {
    mkdirSync(dirname(files.key), { recursive: true, mode: 0o700 });
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeOnce(files.key, privateKey.export({ type: "pkcs8", format: "pem" }) as string, 0o600);
    // The key that is there: a killed run's, or that of one that starts at the same moment.
    const key = parseKey(files.key, read(files.key));
    writeOnce(files.cert, selfSignedCertificate(key, names, always), 0o644);
  } catch (error) {
    if (error instanceof TlsError) throw error;
    throw new TlsError(
      "unwritable",
      `Cannot make a certificate because ${dirname(files.key)} must be a writable folder: ` +
        `current value is ${(error as Error).message}`,
      error,
    );
  }
}

/** 0.0.0.0 and :: are where to listen, and nobody's name. */
function isCertifiable(name: string): boolean {
  return /^[\x21-\x7e]{1,255}$/.test(name) && name !== "0.0.0.0" && name !== "::";
}

/** Whole or not at all, durable, and never over one that is there. */
function writeOnce(path: string, text: string, mode: number): void {
  const temporary = `${path}.${randomUUID()}.tmp`;
  const fd = openSync(temporary, "wx", mode);
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
    linkSync(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    closeSync(fd);
    rmSync(temporary);
  }
  syncFolder(dirname(path));
}

function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  fsyncSync(fd);
  closeSync(fd);
}
