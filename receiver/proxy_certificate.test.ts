import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { calculateJwkThumbprint } from "jose";
import { describe, expect, test } from "bun:test";
import type { Device } from "../shared/allowlist.ts";
import { selfSignedCertificate } from "../shared/certificate.ts";
import { limits } from "../shared/limits.ts";
import { parseOptions, UsageError } from "../shared/options.ts";
import { AuthError } from "../shared/token.ts";
import { newIdentity, TemporaryFolder } from "../tests/fixtures.ts";
import {
  certificateThumbprint,
  ProxyCertificates,
  proxyOptions,
  readProxySecret,
} from "./proxy_certificate.ts";

/** By `openssl req -x509`, with its usual extensions. */
const p256 = `-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIUel6jssZA5FYVEgB/iENh/hVZwPgwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBZDAeFw0yNjExMjIyMzMzMDBaFw0zNjExMTkyMzMzMDBaMAwx
CjAIBgNVBAMMAWQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASw/i+yCoAbGHnn
6hbX+TRIjYNe7kjBp55/VUgUhI+CbrTuBk0Q0jFJTXjsbB5DpVhx7RegoLRRNEzf
cUxRTpL8o1MwUTAdBgNVHQ4EFgQU8m/69k67JfF8ReKH7FKhQmB9JdIwHwYDVR0j
BBgwFoAU8m/69k67JfF8ReKH7FKhQmB9JdIwDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiBXS4gic/fKtNZ3vSvJwCaS1zGTCIHsxnl+PflanPHEsQIh
AIHPoRg2LvdwsAFpbTYEnmBUJJkCUeRGwbvTphgH5cZx
-----END CERTIFICATE-----
`;
const rsa = `-----BEGIN CERTIFICATE-----
MIIB9TCCAV6gAwIBAgITU8cCz0Pi63qhsuW4rCh9npy9WjANBgkqhkiG9w0BAQsF
ADAMMQowCAYDVQQDDAFkMCAXDTI2MTEyMjIzNDUxNVoYDzIxMjYxMDI5MjM0NTE1
WjAMMQowCAYDVQQDDAFkMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC3s/4f
gQnF/L+lCvZHrDUquyHsgs5wOtYSRkucuAkOZgnklifh848EYV6IaUdtbdaqjGiV
nRr/xyJ95WYVG0bRPTIExz8155Oem9tfa6TUoRm3raWM+wqfquOa5FNWiAEyKJA0
ijPz0COaPMnNEKc3+bY/FfoLK+gfvs47ba1O5QIDAQABo1MwUTAdBgNVHQ4EFgQU
taIP/HfLPBwQdc4CvTTETvv4UwkwHwYDVR0jBBgwFoAUtaIP/HfLPBwQdc4CvTTE
Tvv4UwkwDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOBgQCKxMAzBnb9
ev3XxAZ4/OCunAQC9ZxJHvJ4TOd1lQGk8tLSjz9QnCAdE0aaUguzcr4heKXMmfZi
/YSLNvv7ChkZOQ/dFljzNGxROGJBK0QzauIp9NG4iM63co3xrc7d2ePEmT9rTO4m
hjNNvshDgy1U+YaiBwv/ZMbv7ZG9LDu1ow==
-----END CERTIFICATE-----
`;

const kiosk = await newIdentity();
const router = await newIdentity();
const stranger = await newIdentity();
const certificateOf = ({ privateKey }: typeof kiosk, atMs = Date.UTC(2026, 10, 22)) =>
  selfSignedCertificate(privateKey, "device", atMs);

const derOf = (pem: string) => Buffer.from(new X509Certificate(pem).raw);
/** As haproxy writes it (RFC 9440), and as nginx does. */
const structured = (der: Uint8Array) => `:${Buffer.from(der).toString("base64")}:`;
const escaped = (pem: string) => encodeURIComponent(pem);
const bothForms = (pem: string) => [structured(derOf(pem)), escaped(pem)];
const kioskCert = structured(derOf(certificateOf(kiosk)));

function devicesOf(...identities: Array<{ thumbprint: string }>) {
  const device = ({ thumbprint }: { thumbprint: string }, n: number): [string, Device] => [
    thumbprint,
    { thumbprint, name: `device-${n}`, labels: {} },
  ];
  return new Map(identities.map(device));
}

/** A proxy that `setUp` trusts. */
const known = { peer: "192.0.2.1" };

function setUp({
  addresses = ["192.0.2.1"],
  secret,
  devices = devicesOf(kiosk, router),
  cacheMax = 10,
  thumbprintOf = certificateThumbprint,
}: Partial<{
  addresses: string[];
  secret: string;
  devices: Map<string, Device>;
  cacheMax: number;
  thumbprintOf: (text: string) => string;
}> = {}) {
  const allowed = (thumbprint: string) => devices.get(thumbprint);
  const proxies = new ProxyCertificates({ addresses, secret, allowed, cacheMax, thumbprintOf });
  const identify = (headers: HeadersInit, from: { peer?: string | undefined } = known) =>
    proxies.identify(new Headers(headers), from.peer);
  return { proxies, identify, devices };
}

function refusal(work: () => unknown): AuthError {
  try {
    const result = work();
    throw new Error(`it was taken: ${JSON.stringify(result)}`);
  } catch (error) {
    expect(error).toBeInstanceOf(AuthError);
    return error as AuthError;
  }
}

describe("certificateThumbprint", () => {
  test("gives what the tokens of the same Ed25519 key have, from either form", () => {
    for (const text of bothForms(certificateOf(kiosk))) {
      expect(certificateThumbprint(text)).toBe(kiosk.thumbprint);
    }
  });

  test("gives RFC 7638's thumbprint of P-256 and RSA keys made by openssl", async () => {
    const known = [
      { pem: p256, thumbprint: "UPlwwRsP7qus5-y415W_kecBnq76CujIhZH2NXYZ2Ws" },
      { pem: rsa, thumbprint: "UnwHegvOixQ47ukhbfYvlmuqvkQzKp7fRXiMBec-Ovo" },
    ];
    for (const { pem, thumbprint } of known) {
      const jwk = new X509Certificate(pem).publicKey.export({ format: "jwk" });
      expect(await calculateJwkThumbprint(jwk as { kty: string })).toBe(thumbprint);
      for (const text of bothForms(pem)) expect(certificateThumbprint(text)).toBe(thumbprint);
    }
  });

  test("doesn't look at the dates: the clock that made the certificate may have been wrong", () => {
    for (const year of [1970, 2000, 2040, 2300]) {
      const pem = certificateOf(kiosk, Date.UTC(year, 0, 1));
      for (const text of bothForms(pem)) expect(certificateThumbprint(text)).toBe(kiosk.thumbprint);
    }
  });

  const pem = certificateOf(kiosk);
  const der = derOf(pem);
  const malformed: Record<string, string> = {
    "nothing": "",
    "two headers, joined by a comma": `${kioskCert}, ${kioskCert}`,
    "two headers, the second empty": `${kioskCert}, `,
    "two headers of nginx's form": `${escaped(pem)}, ${escaped(pem)}`,
    "no bytes": "::",
    "bytes that are no certificate": ":AAAA:",
    "no colon at the end": kioskCert.slice(0, -1),
    "a parameter after it": `${kioskCert};a=1`,
    "base64 with a blank in it": kioskCert.replace(/^(.{20})/, "$1 "),
    "base64url": structured(Buffer.from([251, 255])).replaceAll("+", "-").replaceAll("/", "_"),
    "base64 with bits after its end": structured(derOf(rsa)).replace(/w==:$/, "x==:"),
    "base64 that ends twice": escaped(rsa.replace("ow==", "ow==\nAAAA")),
    "something after the certificate": structured(Buffer.concat([der, Buffer.of(0)])),
    "two certificates, one after the other": structured(Buffer.concat([der, der])),
    "half a certificate": structured(der.subarray(0, der.length / 2)),
    "PEM inside base64": structured(Buffer.from(pem)),
    "PEM that isn't escaped": pem.replaceAll("\n", " "),
    "two certificates as PEM": escaped(pem + pem),
    "text before the PEM": escaped(`x\n${pem}`),
    "text after the PEM": escaped(`${pem}x`),
    "a key in place of a certificate": escaped(pem.replaceAll("CERTIFICATE", "PRIVATE KEY")),
    "an escape that isn't one": escaped(pem).replace("%0A", "%0G"),
    "an escape cut off": "-----BEGIN%20CERTIFICATE-----%0",
    "an escape that isn't UTF-8": escaped(pem).replace("%0A", "%ff"),
  };
  for (const [what, text] of Object.entries(malformed)) {
    test(`refuses ${what}`, () => {
      const { code, status, message } = refusal(() => certificateThumbprint(text));
      expect({ code, status }).toEqual({ code: "bad_token", status: 401 });
      expect(message).toStartWith("Cannot accept Client-Cert because it must be ");
      expect(message.length).toBeLessThan(200);
    });
  }

  test("throws nothing but AuthError, whatever is done to a header", () => {
    let state = 1;
    const random = (below: number) => (state = (state * 48_271) % 0x7fff_ffff) % below;
    const sound = [certificateOf(kiosk), p256, rsa].flatMap(bothForms);
    let taken = 0;
    for (let round = 0; round < 6_000; round++) {
      const text = sound[random(sound.length)]!;
      const [from, length] = [random(text.length), random(4)];
      const put = String.fromCharCode(...Array.from({ length: random(4) }, () => 1 + random(255)));
      try {
        certificateThumbprint(text.slice(0, from) + put + text.slice(from + length));
        taken++;
      } catch (error) {
        if (!(error instanceof AuthError)) throw error;
      }
    }
    // What changes names, dates or the signature changes no key.
    expect(taken).toBeGreaterThan(100);
    expect(taken).toBeLessThan(3_000);
  });
});

describe("ProxyCertificates", () => {
  test("says which device the certificate's key belongs to", () => {
    const { identify, devices } = setUp();
    const { thumbprint } = router;
    for (const text of bothForms(certificateOf(router))) {
      expect(identify({ "Client-Cert": text })).toEqual({
        thumbprint,
        device: devices.get(thumbprint)!,
      });
    }
  });

  test("says nothing without a certificate, so that a token must say it", () => {
    const { identify } = setUp();
    expect(identify({})).toBeUndefined();
    expect(identify({ "Client_Cert": kioskCert, "X-Client-Cert": kioskCert })).toBeUndefined();
  });

  test("leaves it to the Authorization header where there is one, be it bad", () => {
    const { identify } = setUp();
    for (const authorization of ["Bearer token", "Basic x", ""]) {
      const headers = { "Client-Cert": kioskCert, "Authorization": authorization };
      expect(identify(headers)).toBeUndefined();
      expect(identify({ ...headers, "Client-Cert": "nonsense" })).toBeUndefined();
    }
  });

  test("refuses a key that isn't on the list, and names it for the operator", () => {
    const { identify, proxies } = setUp();
    const text = structured(derOf(certificateOf(stranger)));
    const { code, status, thumbprint, message } = refusal(() => identify({ "Client-Cert": text }));
    expect({ code, status, thumbprint }).toEqual({
      code: "unknown_device",
      status: 403,
      thumbprint: stranger.thumbprint,
    });
    expect(message).toContain(`receiver allow ${stranger.thumbprint}`);
    expect(proxies.cacheSize).toBe(0);
  });

  const peers: Array<[string[], string | undefined, boolean]> = [
    [["192.0.2.1"], "192.0.2.1", true],
    [["192.0.2.1"], "::ffff:192.0.2.1", true],
    [["192.0.2.1"], "::FFFF:192.0.2.1", true],
    [["192.0.2.1"], "192.0.2.10", false],
    [["192.0.2.1"], undefined, false],
    [["192.0.2.1"], "", false],
    [["192.0.2.1"], "localhost", false],
    [["192.0.2.1", "198.51.100.0/24"], "198.51.100.77", true],
    [["198.51.100.9/24"], "198.51.100.77", true],
    [["198.51.100.0/24"], "198.51.101.1", false],
    [["2001:db8::/32"], "2001:db8:1::2", true],
    [["2001:db8::/32"], "2001:db9::", false],
    [["2001:db8::1"], "2001:DB8:0:0:0:0:0:1", true],
    [["fe80::1"], "fe80::1%eth0", true],
    [["0.0.0.0/1"], "::1", false],
  ];
  for (const [addresses, peer, trusted] of peers) {
    const verb = trusted ? "listens" : "doesn't listen";
    test(`with --trust-proxy ${addresses.join(" and ")} ${verb} to ${peer}`, () => {
      const { identify } = setUp({ addresses });
      expect(identify({ "Client-Cert": kioskCert }, { peer }) !== undefined).toBe(trusted);
    });
  }

  test("listens to nobody where no proxy is trusted, not even to refuse", () => {
    const { identify } = setUp({ addresses: [] });
    expect(identify({ "Client-Cert": kioskCert })).toBeUndefined();
    expect(identify({ "Client-Cert": "nonsense", "Logmill-Proxy-Secret": "" })).toBeUndefined();
    expect(identify({ "Client-Cert": kioskCert, "Logmill-Proxy-Secret": "undefined" }))
      .toBeUndefined();
  });

  test("with a secret listens to whoever sends it, from wherever", () => {
    const { identify } = setUp({ addresses: [], secret: "correct-horse-battery" });
    const from = (secret: string) => {
      const headers = { "Client-Cert": kioskCert, "Logmill-Proxy-Secret": secret };
      return identify(headers, { peer: "203.0.113.9" }) !== undefined;
    };
    expect(from("correct-horse-battery")).toBe(true);
    expect(from("correct-horse-batterx")).toBe(false);
    expect(from("correct-horse")).toBe(false);
    expect(from("correct-horse-battery, correct-horse-battery")).toBe(false);
    expect(identify({ "Client-Cert": kioskCert })).toBeUndefined();
  });

  test("with an address and a secret wants both", () => {
    const secret = "correct-horse-battery";
    const { identify } = setUp({ secret });
    const right = { "Client-Cert": kioskCert, "Logmill-Proxy-Secret": secret };
    expect(identify(right)).toBeDefined();
    expect(identify(right, { peer: "192.0.2.2" })).toBeUndefined();
    expect(identify({ "Client-Cert": kioskCert })).toBeUndefined();
  });

  test("asks the list every time: a revoked device is out at its next request", () => {
    const { identify, devices, proxies } = setUp();
    identify({ "Client-Cert": kioskCert });
    expect(proxies.cacheSize).toBe(1);
    devices.delete(kiosk.thumbprint);
    expect(refusal(() => identify({ "Client-Cert": kioskCert })).code).toBe("unknown_device");
  });

  test("reads a certificate once, and knows its device by the header's text from then on", () => {
    let reads = 0;
    const thumbprintOf = (text: string) => (reads++, certificateThumbprint(text));
    const { identify } = setUp({ thumbprintOf });
    const [first, second] = bothForms(certificateOf(kiosk)) as [string, string];
    for (const text of [first, first, second, first, second]) {
      expect(identify({ "Client-Cert": text })?.device.name).toBe("device-0");
    }
    expect(reads).toBe(2);
  });

  test("refuses a header that is longer than any certificate, before it is read", () => {
    const { identify } = setUp({ thumbprintOf: () => kiosk.thumbprint });
    const most = limits.clientCertificateBytesMax;
    expect(identify({ "Client-Cert": "x".repeat(most) })).toBeDefined();
    const { code, message } = refusal(() => identify({ "Client-Cert": "x".repeat(most + 1) }));
    expect(code).toBe("bad_token");
    expect(message).toContain(`must be at most ${most} bytes: current value is ${most + 1}`);
  });

  test("remembers a bounded number of certificates, and forgets the oldest first", async () => {
    const many = await Promise.all(Array.from({ length: 5 }, newIdentity));
    const { identify, proxies } = setUp({ devices: devicesOf(...many), cacheMax: 3 });
    for (const turn of [0, 1, 2, 3, 4, 4, 0]) {
      const text = structured(derOf(certificateOf(many[turn]!)));
      expect(identify({ "Client-Cert": text })?.device.name).toBe(`device-${turn}`);
      expect(proxies.cacheSize).toBeLessThanOrEqual(3);
    }
    expect(proxies.cacheSize).toBe(3);
  });

  test("refuses an address that isn't one when it is made", () => {
    const wrong = [
      "",
      "proxy",
      "192.0.2",
      "192.0.2.1/33",
      "192.0.2.1/0",
      "::/129",
      "1.2.3.4/",
      "/8",
    ];
    for (const address of [...wrong, "fe80::1%eth0", "192.0.2.1/8/8", "192.0.2.1/-1"]) {
      expect(() => setUp({ addresses: [address] })).toThrow(UsageError);
    }
  });
});

describe("proxyOptions", () => {
  test("take any number of addresses, and one file", () => {
    const words = [
      "--trust-proxy",
      "::1",
      "--trust-proxy",
      "10.0.0.0/8",
      "--trust-proxy-secret",
      "f",
    ];
    expect(parseOptions(proxyOptions, words).values).toEqual({
      "trust-proxy": ["::1", "10.0.0.0/8"],
      "trust-proxy-secret": "f",
    });
  });
});

describe("readProxySecret", () => {
  test("reads one line", () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "secret");
    for (const end of ["", "\n", "\r\n"]) {
      writeFileSync(path, `0123456789abcde=${end}`);
      expect(readProxySecret(path)).toBe("0123456789abcde=");
    }
  });

  test("refuses what is short, doesn't fit a header or isn't there, and never shows it", () => {
    using folder = new TemporaryFolder();
    const path = join(folder.path, "secret");
    const wrong = ["", "fifteen-letters", "two\nlines-of-letters", "x".repeat(257)];
    for (const content of [...wrong, "a comma, and blanks", "nineteen\0characters"]) {
      writeFileSync(path, content);
      const message = `because ${path} must hold one line of 16 to 256`;
      expect(() => readProxySecret(path)).toThrow(message);
      expect(() => readProxySecret(path)).toThrow(`current value is ${content.length} characters`);
    }
    const missing = join(folder.path, "missing");
    expect(() => readProxySecret(missing)).toThrow(`because ${missing} must be readable`);
    expect(() => readProxySecret(missing)).toThrow(UsageError);
  });
});
