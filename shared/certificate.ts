/**
 * A device's key goes in, a self-signed X.509 v3 certificate of that key comes out, as PEM.
 *
 * Nothing trusts this certificate's words, only its key, so it holds the least that TLS libraries
 * take:
 *
 *   subject = issuer  CN = the name, cut to 64 characters (RFC 5280 ub-common-name)
 *   validity          100 years, since nobody will visit the device to renew it
 *   extensions        basicConstraints CA:FALSE (critical), subjectAltName dNSName = the whole name
 *
 * The DER is made by hand: it is a screen of code, where a library is megabytes on a small device.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, createPublicKey, type KeyObject, sign } from "node:crypto";

const validYears = 100;
const commonNameCharsMax = 64; // RFC 5280, appendix A.1: ub-common-name
const ed25519 = der(0x30, Buffer.from("06032b6570", "hex")); // RFC 8410, 1.3.101.112
const commonNameId = Buffer.from("0603550403", "hex"); // 2.5.4.3
const basicConstraintsId = Buffer.from("0603551d13", "hex"); // 2.5.29.19
const subjectAltNameId = Buffer.from("0603551d11", "hex"); // 2.5.29.17
const derTrue = Buffer.from("0101ff", "hex");
const version3 = Buffer.from("a003020102", "hex");

/**
 * Makes the certificate (RFC 5280) of an Ed25519 key. The same arguments give the same bytes.
 *
 * @param name 1 to 255 characters of printable ASCII without spaces: the device's or the host's
 * name
 * @param validFromMs Unix time in milliseconds, kept in whole seconds
 * @throws AssertionError for another kind of key or another sort of name
 */
export function selfSignedCertificate(
  privateKey: KeyObject,
  name: string,
  validFromMs: number,
): string {
  assert.equal(privateKey.asymmetricKeyType, "ed25519", "a device's key is an Ed25519 key");
  assert.match(name, /^[\x21-\x7e]{1,255}$/, "a certificate's name is printable ASCII");
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const subject = distinguishedName(name.slice(0, commonNameCharsMax));
  const validity = der(0x30, time(validFromMs, 0), time(validFromMs, validYears));
  const body = der(
    0x30,
    version3,
    serialNumber(publicKey, subject, validity),
    ed25519,
    subject,
    validity,
    subject,
    publicKey,
    extensions(name),
  );
  const signature = der(0x03, Buffer.of(0), sign(null, body, privateKey));
  return pem(der(0x30, body, ed25519, signature));
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

function extensions(name: string): Buffer {
  const notAnAuthority = der(0x30, basicConstraintsId, derTrue, der(0x04, der(0x30)));
  const dnsName = der(0x82, Buffer.from(name));
  const altName = der(0x30, subjectAltNameId, der(0x04, der(0x30, dnsName)));
  return der(0xa3, der(0x30, notAnAuthority, altName));
}

function pem(bytes: Uint8Array): string {
  const base64 = Buffer.from(bytes).toString("base64").replace(/.{1,64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${base64}-----END CERTIFICATE-----\n`;
}
