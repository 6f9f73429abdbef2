/**
 * Addresses in a record's text in, pseudonyms of the same shape out: one station can still be followed
 * through the fleet's logs, but who it is only the owner of the key can find out, by trying.
 *
 * | kind | found | becomes | left alone |
 * |------|-------|---------|------------|
 * | mac  | six pairs of hex digits with `:` or with `-` between | `02:` and 40 bits, in the same case | multicast and broadcast; all zeros |
 * | ipv4 | four decimal numbers up to 255 | one of 240.0.0.0 to 254.255.255.255, which nobody has | 127.*, multicast (224 to 239), and what no host can be: 0.*, 255.* |
 *
 * The bits are HMAC-SHA-256 over the kind and the address's bytes, so that each way of writing an
 * address has the same pseudonym. In doubt, something is an address: a longer run of pairs is cut into
 * sixes (netfilter's `MAC=` is two addresses and a type), a fifth number is a port, and a version
 * `1.2.3.4` is replaced, too. Not found: addresses without separators, `aabb.ccdd.eeff`, and IPv6
 * addresses, of which some are made from a MAC.
 *
 * Texts are as stored: an escape `\xNN` is neither changed nor a part of an address.
 */
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import type { LogRecord } from "../shared/record.ts";

export const pseudonymKinds = ["mac", "ipv4"] as const;
export type PseudonymKind = typeof pseudonymKinds[number];

/** As long as the hash: HMAC gains nothing from more, and loses with less (RFC 2104, 3). */
const keyBytesMin = 32;
/** Somebody gave another file. */
const keyBytesMax = 4096;
/** Addresses remembered in each of two generations: some 100 bytes each, and 3 us to make anew. */
const rememberedMax = 2_000;

/** `code`: "bad_kind", "bad_key". Trying again doesn't help. */
export class PseudonymError extends Error {
  override name = "PseudonymError";
  constructor(readonly code: "bad_kind" | "bad_key", message: string) {
    super(message);
  }
}

/** Reads `mac,ipv4`. Throws `PseudonymError`. */
export function parsePseudonymKinds(text: string): PseudonymKind[] {
  return text.split(",").map((word) => {
    const kind = pseudonymKinds.find((kind) => kind === word.trim());
    if (kind) return kind;
    throw new PseudonymError(
      "bad_kind",
      `Cannot pseudonymise because each kind must be mac or ipv4: current value is ${word}`,
    );
  });
}

/** The bytes of a key file, as they are. Throws `PseudonymError`. */
export function readPseudonymKey(path: string): Uint8Array {
  const bad = (must: string, is: string) =>
    new PseudonymError(
      "bad_key",
      `Cannot use the pseudonym key because ${path} must ${must}: current value is ${is}. ` +
        `(umask 077; head -c ${keyBytesMin} /dev/urandom >FILE) makes one; the fleet shares it`,
    );
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw bad("be a file", "something else");
    const mode = stat.mode & 0o777;
    if ((mode & 0o077) !== 0) {
      throw bad("be readable by its owner only", `mode 0${mode.toString(8)}`);
    }
    if (stat.size < keyBytesMin || stat.size > keyBytesMax) {
      throw bad(`have ${keyBytesMin} to ${keyBytesMax} bytes`, `${stat.size} bytes`);
    }
    return readFileSync(fd);
  } catch (error) {
    if (error instanceof PseudonymError) throw error;
    throw bad("be readable", (error as Error).message);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

const pair = "[0-9A-Fa-f]{2}";
/** With dashes, digits on either side make it a date or an id. */
const macs = `${pair}(?::${pair}){5,}|(?<![0-9A-Fa-f])${pair}(?:-${pair}){5,}(?![0-9A-Fa-f])`;
/** Six or more numbers are an SNMP object. */
const ipv4s = String.raw`(?<!\d|\d\.)\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d+\.\d)`;
const patterns = { mac: macs, ipv4: ipv4s };
/** What a text has if it has an address at all. */
const hints = { mac: `[:-]${pair}[:-]${pair}[:-]`, ipv4: String.raw`\.\d+\.\d+\.\d` };

/** Returns the function that replaces the addresses of these kinds; it changes no record in place. */
export function pseudonymiser(
  { kinds, key }: { kinds: readonly PseudonymKind[]; key: Uint8Array },
): (record: LogRecord) => LogRecord {
  const hint = new RegExp(kinds.map((kind) => hints[kind]).join("|"));
  const all = new RegExp(kinds.map((kind) => patterns[kind]).join("|"), "g");
  const pseudonyms = new Pseudonyms(key);
  const piece = (text: string) =>
    text.replace(
      all,
      (found) => found.includes(".") ? pseudonyms.ofIpv4(found) : pseudonyms.ofMacs(found),
    );
  const replace = (text: string) => {
    if (!hint.test(text)) return text;
    if (!text.includes("\\")) return piece(text);
    // The escapes are every second one.
    return text.split(/(\\x[0-9a-f]{2})/).map((part, i) => i % 2 ? part : piece(part)).join("");
  };
  return (record) => {
    const text = replace(record.text);
    if (text === record.text && record.more.length === 0) return record;
    return { ...record, text, more: record.more.map(replace) };
  };
}

class Pseudonyms {
  #young = new Map<string, Buffer>();
  #old = new Map<string, Buffer>();

  constructor(private readonly key: Uint8Array) {}

  /** Pairs of hex digits, six or more. */
  ofMacs(text: string): string {
    return text.replace(/(?:..[:-]){5}../g, (mac) => this.#ofMac(mac));
  }

  #ofMac(mac: string): string {
    const hex = mac.replaceAll(mac[2]!, "").toLowerCase();
    const multicast = (parseInt(hex.slice(0, 2), 16) & 1) !== 0;
    if (multicast || hex === "000000000000") return mac;
    const bytes = this.#bytes(`mac ${hex}`).toString("hex", 0, 5);
    const made = `02${bytes}`.match(/../g)!.join(mac[2]!);
    return /[A-F]/.test(mac) ? made.toUpperCase() : made;
  }

  ofIpv4(text: string): string {
    const numbers = text.split(".").map(Number);
    const first = numbers[0]!;
    const group = first >= 224 && first <= 239;
    if (numbers.some((number) => number > 255)) return text;
    if (first === 0 || first === 127 || first === 255 || group) return text;
    const [a, b, c, d] = this.#bytes(`ipv4 ${numbers.join(".")}`);
    return `${240 + a! % 15}.${b}.${c}.${d}`;
  }

  /** Keyed bytes of a name. What was asked for lately is remembered. */
  #bytes(name: string): Buffer {
    const known = this.#young.get(name);
    if (known) return known;
    const bytes = this.#old.get(name) ??
      createHmac("sha256", this.key).update(name).digest().subarray(0, 5);
    if (this.#young.size >= rememberedMax) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(name, bytes);
    return bytes;
  }
}
