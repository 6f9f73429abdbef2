/** What a proxy says of a client's certificate, and others say who aren't that proxy. */
import { Buffer } from "node:buffer";
import { selfSignedCertificate } from "../../../shared/certificate.ts";
import type { Draw } from "../draw.ts";
import { proxySecret, type Sender } from "../senders.ts";
import type { Upload } from "../upload.ts";
import type { Mutation } from "./mutation.ts";

const made = new Map<string, string>();

/** A sender's certificate, as PEM. */
export function certificateOf({ name, identity }: Sender): string {
  const pem = made.get(name) ??
    selfSignedCertificate(identity.privateKey, name.slice(0, 60), Date.UTC(2026, 0, 1));
  made.set(name, pem);
  return pem;
}

/** In one of the two forms in which proxies write it. */
function header(sender: Sender, draw: Draw): string {
  const pem = certificateOf(sender);
  if (draw.chance(0.5)) return encodeURIComponent(pem);
  return `:${pem.replace(/-----[A-Z ]+-----|\n/g, "")}:`;
}

/** No token; this certificate, and this secret. */
function bySecret(upload: Upload, certificate: string, secret: string | undefined): void {
  upload.set("Authorization", undefined);
  upload.set("Client-Cert", certificate);
  upload.set("Logmill-Proxy-Secret", secret);
}

const wrongSecret = (draw: Draw) =>
  draw.pick([
    undefined,
    "",
    " ",
    `${proxySecret} x`,
    proxySecret.slice(1),
    proxySecret.toUpperCase(),
  ]);

function flipped(text: string, draw: Draw): string {
  const bytes = Buffer.from(text);
  // The key is behind the names: what comes before and behind it means nothing to us.
  const at = draw.between(0, bytes.length);
  bytes[at]! ^= 1 << draw.between(0, 7);
  return bytes[at]! <= 0x20 || bytes[at] === 0x7f ? "" : bytes.toString("latin1");
}

export const proxies: Mutation[] = [
  {
    name: "proxy: our certificate",
    apply: (upload, draw) => bySecret(upload, header(upload.sender, draw), proxySecret),
  },
  {
    name: "proxy: a stranger's certificate",
    apply(upload, draw) {
      bySecret(upload, header(upload.world.stranger, draw), proxySecret);
      upload.refuse("unknown_device");
    },
  },
  {
    name: "proxy: the victim's certificate, another secret",
    weight: 2,
    apply(upload, draw) {
      bySecret(upload, header(upload.world.victim, draw), wrongSecret(draw));
      upload.refuse("no_token");
    },
  },
  {
    name: "proxy: the victim's certificate beside our token",
    weight: 2,
    apply(upload, draw) {
      upload.set("Client-Cert", header(upload.world.victim, draw));
      upload.set("Logmill-Proxy-Secret", draw.pick([proxySecret, wrongSecret(draw)]));
    },
  },
  {
    name: "proxy: two certificates, or two secrets",
    apply(upload, draw) {
      bySecret(upload, header(upload.sender, draw), proxySecret);
      const [name, value] = draw.pick([
        ["Client-Cert", header(upload.world.victim, draw)] as const,
        ["Logmill-Proxy-Secret", "x"] as const,
      ]);
      upload.headers.push([name, value]);
      upload.refuse("bad_token", "no_token");
    },
  },
  {
    name: "proxy: a bit of the certificate flipped",
    weight: 3,
    apply(upload, draw) {
      // A flipped key is nobody's; flipped names and dates mean nothing.
      bySecret(upload, flipped(header(upload.sender, draw), draw), proxySecret);
      upload.mayRefuse("bad_token", "unknown_device");
    },
  },
  {
    name: "proxy: no certificate",
    apply(upload, draw) {
      const odd = [
        "",
        "::",
        ":AAAA:",
        "(null)",
        "-",
        "%",
        "%00",
        "victim",
        ":" + "A".repeat(100_000) + ":",
      ];
      bySecret(upload, draw.pick(odd), proxySecret);
      upload.refuse("bad_token");
    },
  },
];
