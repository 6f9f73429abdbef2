/** Who sends it: tokens that are broken, forged, stolen in part, too old, or for somebody else. */
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import type { Draw } from "../draw.ts";
import { audience, base64url, nowMs, sealed, type Sender } from "../senders.ts";
import type { Upload } from "../upload.ts";
import type { Mutation } from "./mutation.ts";

const nowSec = nowMs / 1000;

/** A token's parts before they are signed; `undefined` leaves a field out. */
type Fields = Record<string, unknown>;

function signed(sender: Sender, header: Fields, claims: Fields): string {
  const { thumbprint: kid, publicJwk: jwk, privateKey } = sender.identity;
  const good = { aud: audience, iat: nowSec, exp: nowSec + 300 };
  return sealed(
    JSON.stringify({ alg: "EdDSA", kid, jwk, ...header }),
    JSON.stringify({ ...good, ...claims }),
    privateKey,
  );
}

/** A mutation that sends another token, which must be refused with one of `codes`. */
function token(
  name: string,
  codes: string[],
  make: (upload: Upload, draw: Draw) => string,
): Mutation {
  const apply = (upload: Upload, draw: Draw) => {
    upload.set("Authorization", make(upload, draw));
    upload.refuse(...codes);
  };
  return { name: `token: ${name}`, apply };
}

const header = (name: string, fields: (upload: Upload, draw: Draw) => Fields) =>
  token(name, ["bad_token"], (u, draw) => `Bearer ${signed(u.sender, fields(u, draw), {})}`);

const claims = (name: string, codes: string[], fields: (draw: Draw) => Fields) =>
  token(name, codes, (u, draw) => `Bearer ${signed(u.sender, {}, fields(draw))}`);

/** Claims as JSON text, for what JSON.stringify doesn't write. */
const payload = (name: string, codes: string[], texts: string[]) =>
  token(name, codes, (u, draw) => {
    const { thumbprint: kid, publicJwk: jwk, privateKey } = u.sender.identity;
    const head = JSON.stringify({ alg: "EdDSA", kid, jwk });
    return `Bearer ${sealed(head, draw.pick(texts), privateKey)}`;
  });

const odd = (draw: Draw) =>
  draw.pick<unknown>([null, true, "", "x", 0, -1, {}, [], "Ed25519", 1e308, ["EdDSA"]]);

export const tokens: Mutation[] = [
  {
    name: "token: a bit flipped",
    weight: 4,
    apply(upload, draw) {
      const text = Buffer.from(upload.sender.token);
      const at = draw.between(0, text.length);
      text[at]! ^= 1 << draw.between(0, 7);
      // What can't stand in a header never gets here. The last character has bits that say nothing.
      if (text[at]! <= 0x20 || text[at] === 0x7f) text[at] = 0x7e;
      upload.set("Authorization", `Bearer ${text}`);
      if (at === text.length - 1) upload.mayRefuse("bad_token");
      else upload.refuse("bad_token");
    },
  },
  {
    name: "token: cut short",
    apply(upload, draw) {
      const { token } = upload.sender;
      upload.set("Authorization", `Bearer ${token.slice(0, draw.between(0, token.length - 1))}`);
      upload.refuse("bad_token");
    },
  },
  {
    name: "token: another audience among ours",
    apply(upload) {
      upload.set(
        "Authorization",
        `Bearer ${signed(upload.sender, {}, { aud: ["other", audience] })}`,
      );
    },
  },
  {
    name: "token: none",
    apply(upload) {
      upload.set("Authorization", undefined);
      upload.refuse("no_token");
    },
  },
  {
    name: "token: two",
    apply(upload) {
      upload.headers.push(["Authorization", `Bearer ${upload.world.victim.token}`]);
      upload.refuse("bad_token");
    },
  },
  token(
    "another scheme",
    ["no_token", "bad_token"],
    (u, draw) =>
      draw.pick([
        "Basic dmljdGltOng=",
        u.sender.token,
        "Bearer",
        `BearerX ${u.sender.token}`,
        "DPoP x",
      ]),
  ),
  token("a stranger's", ["unknown_device"], (u) => `Bearer ${u.world.stranger.token}`),
  token(
    "random bytes",
    ["bad_token", "no_token"],
    (_u, draw) =>
      `Bearer ${base64url(draw.bytes(draw.between(0, 300)))}.${
        draw.pick(["", ".", "e30", "e30.x"])
      }`,
  ),
  token(
    "too long",
    ["bad_token"],
    (u, draw) => `Bearer ${u.sender.token}${"A".repeat(draw.pick([4096, 65_536]))}`,
  ),
  token("its parts in another number", ["bad_token"], (u, draw) => {
    const [head, body, signature] = u.sender.token.split(".");
    return `Bearer ${
      draw.pick([
        [head, body],
        [head, body, signature, ""],
        [head, body, signature, body, head],
        ["", body, signature],
        [head, "", signature],
        [head, body, ""],
        [body, head, signature],
      ]).join(".")
    }`;
  }),
  token("the victim's header, our signature", ["bad_token"], (u) => {
    const [head, body] = u.world.victim.token.split(".");
    return `Bearer ${head}.${body}.${u.sender.token.split(".")[2]}`;
  }),
  header("the victim's kid", (u) => ({ kid: u.world.victim.identity.thumbprint })),
  header("the victim's key and kid", (u) => ({
    kid: u.world.victim.identity.thumbprint,
    jwk: u.world.victim.identity.publicJwk,
  })),
  header("the victim's key", (u) => ({ jwk: u.world.victim.identity.publicJwk })),
  header("no kid", () => ({ kid: undefined })),
  header("an odd kid", (_u, draw) => ({ kid: odd(draw) })),
  header("no key", () => ({ jwk: undefined })),
  header("an odd key", (_u, draw) => ({ jwk: odd(draw) })),
  header("an odd x", (_u, draw) => ({ jwk: { kty: "OKP", crv: "Ed25519", x: odd(draw) } })),
  header("a key of another length", (u, draw) => {
    const x = draw.bytes(draw.pick([0, 16, 31, 33, 57, 1_000]));
    return { jwk: { ...u.sender.identity.publicJwk, x: base64url(x) } };
  }),
  header("a point that is none", (_u, draw) => ({
    jwk: { kty: "OKP", crv: "Ed25519", x: base64url(draw.bytes(32)) },
  })),
  header("another curve or kind of key", (u, draw) => ({
    jwk: {
      ...u.sender.identity.publicJwk,
      ...draw.pick([{ crv: "X25519" }, { kty: "EC" }, { kty: "oct", k: "AA" }, {
        kty: "RSA",
        n: "AQAB",
        e: "AQAB",
      }]),
    },
  })),
  header("the private key in it", (u) => ({
    jwk: { ...u.sender.identity.publicJwk, d: base64url(new Uint8Array(32)) },
  })),
  header("another alg", (_u, draw) => ({
    alg: draw.pick(["none", "None", "HS256", "ES256", "RS256", "Ed448", "eddsa", "", null, 1]),
  })),
  header(
    "crit",
    (_u, draw) => ({ crit: draw.pick<unknown>([["exp"], [], ["b64"], "x", ["kid", "kid"]]) }),
  ),
  header("unencoded payload", () => ({ b64: false, crit: ["b64"] })),
  token("signed with the public key as a secret", ["bad_token"], (u) => {
    const { thumbprint: kid, publicJwk: jwk } = u.world.victim.identity;
    const head = base64url(JSON.stringify({ alg: "HS256", kid, jwk }));
    const body = base64url(JSON.stringify({ aud: audience, iat: nowSec, exp: nowSec + 300 }));
    const mac = createHmac("sha256", Buffer.from(jwk.x, "base64url")).update(`${head}.${body}`);
    return `Bearer ${head}.${body}.${mac.digest("base64url")}`;
  }),
  claims("no exp", ["bad_token"], () => ({ exp: undefined })),
  claims("no iat", ["bad_token"], () => ({ iat: undefined })),
  claims("no aud", ["bad_token"], () => ({ aud: undefined })),
  claims("an odd exp", ["bad_token", "expired_token"], (draw) => ({ exp: odd(draw) })),
  claims("an odd iat", ["bad_token", "expired_token", "future_token"], (draw) => ({
    iat: draw.pick<unknown>([null, true, "", "x", {}, [], String(nowSec), 0, -1, 1e308, -1e308]),
  })),
  claims("an odd aud", ["bad_token", "wrong_audience"], (draw) => ({ aud: odd(draw) })),
  claims("too long a life", ["bad_token"], (draw) => ({
    exp: nowSec + draw.pick([301, 3600, 1e9, Number.MAX_SAFE_INTEGER]),
  })),
  claims("expired", ["expired_token"], (draw) => {
    const iat = nowSec - draw.between(331, 1_000_000);
    return { iat, exp: iat + draw.between(0, 301) };
  }),
  claims("of the future", ["future_token"], (draw) => {
    const iat = nowSec + draw.between(31, 1_000_000);
    return { iat, exp: iat + 300 };
  }),
  claims("for another service", ["wrong_audience"], (draw) => ({
    aud: draw.pick<unknown>(["Logmill", "logmill ", "", ["other"], "logmil", "*"]),
  })),
  claims("not yet good", ["bad_token"], () => ({ nbf: nowSec + 100 })),
  payload("claims that aren't JSON, or no object", ["bad_token"], [
    "",
    "{",
    "null",
    "[]",
    "1",
    '"x"',
    "\u0000",
    "\u00ff{}",
    "[".repeat(2_000),
    '{"exp":NaN}',
  ]),
  payload("numbers beyond all measure", ["bad_token", "expired_token", "future_token"], [
    `{"aud":"logmill","iat":${nowSec},"exp":1e999}`,
    `{"aud":"logmill","iat":-1e999,"exp":${nowSec + 300}}`,
    `{"aud":"logmill","iat":1e999,"exp":1e999}`,
  ]),
];
