/**
 * A device's or a receiver's key goes in, a self-signed X.509 v3 certificate of that key comes out, as
 * PEM.
 *
 * Nothing trusts this certificate's words, only its key, so it holds the least that TLS libraries
 * take:
 *
 *   subject = issuer  CN = the first name, cut to 64 characters (RFC 5280 ub-common-name)
 *   validity          100 years, since nobody will visit the device to renew it; or as told
 *   extensions        basicConstraints CA:FALSE (critical), subjectAltName = all names, whole:
 *                     iPAddress for those that are addresses, dNSName for the others
 *   signature         Ed25519, or ECDSA with SHA-256 for a P-256 key
 *
 * The DER is made by hand: it is a screen of code, where a library is megabytes on a small device.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, createPublicKey, type KeyObject, sign } from "node:crypto";
import { isIPv4, isIPv6 } from "node:net";

const validYears = 100;
const commonNameCharsMax = 64; // RFC 5280, appendix A.1: ub-common-name
/** How each kind of key signs: its AlgorithmIdentifier, and the hash for node:crypto's `sign`. */
const signatures = {
  /** RFC 8410, 1.3.101.112; the hash is part of it. */
  ed25519: { algorithm: der(0x30, Buffer.from("06032b6570", "hex")), hash: null },
  /** RFC 5758, 1.2.840.10045.4.3.2: ecdsa-with-SHA256. */
  ec: { algorithm: der(0x30, Buffer.from("06082a8648ce3d040302", "hex")), hash: "sha256" },
} as const;
const commonNameId = Buffer.from("0603550403", "hex"); // 2.5.4.3
const basicConstraintsId = Buffer.from("0603551d13", "hex"); // 2.5.29.19
const subjectAltNameId = Buffer.from("0603551d11", "hex"); // 2.5.29.17
const derTrue = Buffer.from("0101ff", "hex");
const version3 = Buffer.from("a003020102", "hex");

/** Unix times in milliseconds, kept in whole seconds. */
export interface Validity {
  fromMs: number;
  untilMs: number;
}

/**
 * Makes the certificate (RFC 5280) of an Ed25519 or P-256 key. With an Ed25519 key the same arguments
 * give the same bytes.
 *
 * @param names host names, addresses or a device's name: each 1 to 255 characters of printable ASCII
 * without spaces; the first is the common name
 * @param validity or the time from which it is valid for 100 years
 * @throws AssertionError for another kind of key or another sort of name
 */
export function selfSignedCertificate(
  privateKey: KeyObject,
  names: string | readonly string[],
  validity: Validity | number,
): string {
  const { algorithm, hash } = signatureOf(privateKey);
  const all = [names].flat();
  const [first = ""] = all;
  for (const name of all) {
    assert.match(name, /^[\x21-\x7e]{1,255}$/, "a certificate's name is printable ASCII");
  }
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const subject = distinguishedName(first.slice(0, commonNameCharsMax));
  const times = typeof validity === "number"
    ? der(0x30, time(validity, 0), time(validity, validYears))
    : der(0x30, time(validity.fromMs, 0), time(validity.untilMs, 0));
  const altName = subjectAltName(all);
  // What the device's golden bytes were made from: their serial number stays.
  const others = all.length > 1 ? [altName] : [];
  const body = der(
    0x30,
    version3,
    serialNumber(publicKey, subject, times, ...others),
    algorithm,
    subject,
    times,
    subject,
    publicKey,
    extensions(altName),
  );
  const signature = der(0x03, Buffer.of(0), sign(hash, body, privateKey));
  return pem(der(0x30, body, algorithm, signature));
}

function signatureOf(key: KeyObject) {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "ed25519") return signatures.ed25519;
  const p256 = type === "ec" && details?.namedCurve === "prime256v1";
  assert(p256, `a certificate's key is an Ed25519 or a P-256 key: it is ${type}`);
  return signatures.ec;
}

/** One DER value: tag, length, contents (X.690, 8.1). */
function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const length = body.length < 0x80
    ? [body.length]
    : body.length < 0x100
    ? [0x81, body.length]
    : [0x82, body.length >> 8, body.length & 0xff];
  assert(body.length < 0x10000, "a certificate's part is shorter than 64 KiB");
  return Buffer.concat([Buffer.of(tag, ...length), body]);
}

function distinguishedName(commonName: string): Buffer {
  const utf8String = der(0x0c, Buffer.from(commonName));
  return der(0x30, der(0x31, der(0x30, commonNameId, utf8String)));
}

/**
 * RFC 5280, 4.1.2.5: two-digit years (UTCTime) through 2049, four digits (GeneralizedTime) after.
 */
function time(unixMs: number, yearsLater: number): Buffer {
  const date = new Date(unixMs);
  date.setUTCFullYear(date.getUTCFullYear() + yearsLater);
  const digits = date.toISOString().replace(/\.\d+Z$|[-:T]/g, "") + "Z";
  return date.getUTCFullYear() < 2050
    ? der(0x17, Buffer.from(digits.slice(2)))
    : der(0x18, Buffer.from(digits));
}

/** A hash, so that a certificate remade at another time or for another name has another number. */
function serialNumber(...contents: Uint8Array[]): Buffer {
  const serial = createHash("sha256").update(Buffer.concat(contents)).digest().subarray(0, 16);
  serial[0] = (serial[0]! & 0x7f) | 0x40; // positive, and no leading zero byte
  return der(0x02, serial);
}

function extensions(altName: Buffer): Buffer {
  const notAnAuthority = der(0x30, basicConstraintsId, derTrue, der(0x04, der(0x30)));
  return der(0xa3, der(0x30, notAnAuthority, altName));
}

/** RFC 5280, 4.2.1.6: an address is not found among the host names. */
function subjectAltName(names: readonly string[]): Buffer {
  const entries = names.map((name) => {
    const address = addressBytes(name);
    return address ? der(0x87, address) : der(0x82, Buffer.from(name));
  });
  return der(0x30, subjectAltNameId, der(0x04, der(0x30, ...entries)));
}

function addressBytes(name: string): Buffer | undefined {
  if (isIPv4(name)) return Buffer.from(name.split(".").map(Number));
  if (!isIPv6(name) || name.includes("%")) return undefined;
  // The URL parser writes each form of an address in one way, without dots and leading zeros.
  const [left = "", right] = new URL(`http://[${name}]`).hostname.slice(1, -1).split("::");
  const groups = (text = "") => text === "" ? [] : text.split(":").map((hex) => parseInt(hex, 16));
  const [before, after] = [groups(left), groups(right)];
  const zeros = new Array<number>(8 - before.length - after.length).fill(0);
  return Buffer.from([...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 255]));
}

function pem(bytes: Uint8Array): string {
  const base64 = Buffer.from(bytes).toString("base64").replace(/.{1,64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${base64}-----END CERTIFICATE-----\n`;
}
