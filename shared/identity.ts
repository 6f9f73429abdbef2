/**
 * A directory goes in, a device's identity comes out: its Ed25519 key, kept in two files.
 *
 *   DIR/device.key   private key, PKCS#8 PEM, mode 0600; made once, never overwritten
 *   DIR/device.crt   self-signed certificate of the same key, for TLS proxies that ask for one
 *
 * The key's appearance is the commit: a run that was killed before it left nothing, and one that
 * was killed after it is finished by the next.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { calculateJwkThumbprint } from "jose";
import { selfSignedCertificate } from "./certificate.ts";

export interface Identity {
  privateKey: KeyObject;
  /** Public part only (RFC 8037): x is 43 characters of base64url. */
  publicJwk: { kty: "OKP"; crv: "Ed25519"; x: string };
  /**
   * RFC 7638 thumbprint of publicJwk: SHA-256, 43 characters of base64url. What allow-lists name.
   */
  thumbprint: string;
}

export type IdentityErrorCode =
  | "missing_key"
  | "unreadable_key"
  | "loose_permissions"
  | "bad_key"
  | "wrong_key_type"
  | "key_exists"
  | "unwritable";

/**
 * The key can't be used or made as it is. Trying again doesn't help; the message says what does.
 */
export class IdentityError extends Error {
  override name = "IdentityError";
  readonly code: IdentityErrorCode;

  constructor(code: IdentityErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/**
 * Reads the identity in `dir`.
 *
 * @throws IdentityError missing_key, unreadable_key, loose_permissions, bad_key, wrong_key_type
 */
export async function loadIdentity(dir: string): Promise<Identity> {
  const path = keyPath(dir);
  const privateKey = parseKey(path, readPrivately(path));
  if (privateKey.asymmetricKeyType !== "ed25519") {
    throw new IdentityError(
      "wrong_key_type",
      `Cannot load identity because ${path} must be an Ed25519 key: ` +
        `current value is ${privateKey.asymmetricKeyType}; move it away and run \`agent identity\``,
    );
  }
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  const publicJwk = { kty: "OKP", crv: "Ed25519", x: x as string } as const;
  return { privateKey, publicJwk, thumbprint: await calculateJwkThumbprint(publicJwk) };
}

/**
 * Makes the identity in `dir`, and `dir` itself where it doesn't exist.
 *
 * @param options.name the certificate's subject: the device's name, by default the host's
 * @param options.nowMs Unix time in milliseconds, from which the certificate is valid
 * @throws IdentityError key_exists, unwritable, and whatever loadIdentity throws
 */
export async function createIdentity(
  dir: string,
  { name = hostname() || "localhost", nowMs = Date.now() }: { name?: string; nowMs?: number } = {},
): Promise<Identity> {
  const certificatePath = join(dir, "device.crt");
  const isNew = writing(dir, () => {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return writeKey(keyPath(dir));
  });
  // A key without a certificate is what a run killed in between left: go on from there.
  if (!isNew && existsSync(certificatePath)) {
    throw new IdentityError(
      "key_exists",
      `Cannot create identity because ${keyPath(dir)} must not exist yet: current value is a key ` +
        `that an allow-list may know; move it away first if the device is to be a new one`,
    );
  }
  const identity = await loadIdentity(dir);
  const certificate = selfSignedCertificate(identity.privateKey, name, nowMs);
  writing(dir, () => {
    const temporary = writeTemporary(certificatePath, certificate, 0o644);
    renameSync(temporary, certificatePath);
    syncDirectory(dir);
  });
  return identity;
}

function keyPath(dir: string): string {
  return join(dir, "device.key");
}

/** Checks the permissions of the very file that is read, not of one put in its place meanwhile. */
function readPrivately(path: string): string {
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    const mode = fstatSync(fd).mode & 0o777;
    if ((mode & 0o077) !== 0) throw loosePermissions(path, mode);
    return readFileSync(fd, "utf8");
  } catch (error) {
    throw error instanceof IdentityError ? error : unreadable(path, error as NodeJS.ErrnoException);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function loosePermissions(path: string, mode: number): IdentityError {
  return new IdentityError(
    "loose_permissions",
    `Cannot load identity because ${path} must be readable by its owner only: ` +
      `current value is mode 0${mode.toString(8)}; run \`chmod 600 ${path}\``,
  );
}

function unreadable(path: string, error: NodeJS.ErrnoException): IdentityError {
  if (error.code === "ENOENT") {
    return new IdentityError(
      "missing_key",
      `Cannot load identity because ${path} must exist: current value is no file; ` +
        "run `agent identity`",
      error,
    );
  }
  return new IdentityError(
    "unreadable_key",
    `Cannot load identity because ${path} must be readable: current value is ${error.message}`,
    error,
  );
}

function parseKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new IdentityError(
      "bad_key",
      `Cannot load identity because ${path} must be a private key in PKCS#8 PEM without a ` +
        `passphrase: current value is ${pem.length} characters that aren't; ` +
        "move it away and run `agent identity`",
      error,
    );
  }
}

/** Returns false, and changes nothing, if there is a key already. */
function writeKey(path: string): boolean {
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  const temporary = writeTemporary(path, pem, 0o600);
  try {
    linkSync(temporary, path); // not rename, which would overwrite a key made at the same moment
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(temporary);
    syncDirectory(join(path, ".."));
  }
}

function writeTemporary(path: string, text: string, mode: number): string {
  const temporary = `${path}.${process.pid}.tmp`;
  rmSync(temporary, { force: true }); // of a killed run that had our process id
  const fd = openSync(temporary, "wx", mode);
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return temporary;
}

/** Makes new names in the directory durable. */
function syncDirectory(dir: string): void {
  const fd = openSync(dir, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function writing<T>(dir: string, write: () => T): T {
  try {
    return write();
  } catch (error) {
    throw new IdentityError(
      "unwritable",
      `Cannot create identity because ${dir} must be a writable directory: ` +
        `current value is ${(error as Error).message}`,
      error,
    );
  }
}
