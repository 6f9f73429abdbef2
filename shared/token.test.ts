import { Buffer } from "node:buffer";
import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { expect, test } from "bun:test";
import { calculateJwkThumbprint } from "jose";
import type { Device } from "./allowlist.ts";
import type { Identity } from "./identity.ts";
import { AuthError, signToken, tokenSource, TokenVerifier } from "./token.ts";

const NOW_MS = Date.UTC(2026, 10, 22, 12);
const NOW_SEC = NOW_MS / 1000;
const SECOND = 1000;

async function newIdentity(): Promise<Identity> {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  const publicJwk = { kty: "OKP", crv: "Ed25519", x: x! } as const;
  return { privateKey, publicJwk, thumbprint: await calculateJwkThumbprint(publicJwk) };
}

const identity = await newIdentity();
const stranger = await newIdentity();

/** A verifier that knows `identity`, with its clock and its list as values. */
function setUp({ cacheMax = 100 } = {}) {
  const devices = new Map<string, Device>();
  devices.set(identity.thumbprint, { thumbprint: identity.thumbprint, name: "kiosk", labels: {} });
  const clock = { nowMs: NOW_MS };
  const asked: string[] = [];
  const verifier = new TokenVerifier({
    audience: "logmill",
    allowed: (thumbprint) => (asked.push(thumbprint), devices.get(thumbprint)),
    now: () => clock.nowMs,
    cacheMax,
  });
  return { verifier, devices, clock, asked };
}

async function errorOf(
  token: string | null | undefined,
  { verifier } = setUp(),
): Promise<AuthError> {
  const header = token && (token.includes(" ") ? token : `Bearer ${token}`);
  const error = await verifier.verify(header).then(() => undefined, (error) => error);
  expect(error).toBeInstanceOf(AuthError);
  expect(error.message).toMatch(/^Cannot .* because .*: current value /);
  return error;
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token made by hand, so that it can be wrong in one place; signed by `by`. */
function forge(
  { header = {}, claims = {}, by = identity, of = by }: {
    header?: Record<string, unknown>;
    claims?: Record<string, unknown>;
    by?: Identity;
    of?: Identity;
  } = {},
): string {
  const protectedHeader = { alg: "EdDSA", kid: of.thumbprint, jwk: of.publicJwk, ...header };
  const payload = { aud: "logmill", iat: NOW_SEC, exp: NOW_SEC + 300, ...claims };
  const signed = `${encode(protectedHeader)}.${encode(payload)}`;
  return `${signed}.${sign(null, Buffer.from(signed), by.privateKey).toString("base64url")}`;
}

test("a token's form is the one in the table", async () => {
  const parts = (await signToken(identity, "logmill", NOW_MS + 999)).split(".");
  const [header, claims] = parts.slice(0, 2).map((part) =>
    JSON.parse(Buffer.from(part!, "base64url").toString())
  );
  expect(header).toEqual({ alg: "EdDSA", kid: identity.thumbprint, jwk: identity.publicJwk });
  expect(claims).toEqual({ aud: "logmill", iat: NOW_SEC, exp: NOW_SEC + 300 });
});

test("a token tells which device sent it", async () => {
  const token = await signToken(identity, "logmill", NOW_MS);
  const { thumbprint, device } = await setUp().verifier.verify(`Bearer ${token}`);
  expect(thumbprint).toBe(identity.thumbprint);
  expect(device.name).toBe("kiosk");
});

test("a token made by hand after the table is accepted, in any spelling of Bearer", async () => {
  await setUp().verifier.verify(`bearer  ${forge()}`);
});

test("a token that is missing is asked for", async () => {
  for (const header of [undefined, null, "", "Basic dXNlcjpwYXNz", "Bearers x"]) {
    const error = await errorOf(header);
    expect([error.code, error.status]).toEqual(["no_token", 401]);
  }
});

test("a token that is garbage is refused", async () => {
  const good = forge();
  const [header, claims, signature] = good.split(".");
  const garbage = [
    "Bearer ",
    "x",
    "a.b.c",
    "a.b",
    `${good}.x`,
    good.slice(0, -2),
    `Bearer ${good} x`,
  ];
  garbage.push(`${header}.${claims}.`, `..${signature}`, `${header}.${encode([])}.${signature}`);
  for (const token of garbage) {
    const error = await errorOf(token);
    expect([token, error.code, error.status]).toEqual([token, "bad_token", 401]);
  }
});

test("a token that is over-long is refused unread", async () => {
  const claims = { pad: "x".repeat(4096) };
  const error = await errorOf(forge({ claims }));
  expect(error.code).toBe("bad_token");
  expect(error.message).toContain("must be at most 4096 bytes");
});

test("a token of another algorithm is refused", async () => {
  for (const alg of ["none", "HS256", "ES256", "RS256", "Ed25519", undefined]) {
    expect((await errorOf(forge({ header: { alg } }))).code).toBe("bad_token");
  }
  const unsigned = `${encode({ alg: "none" })}.${encode({ aud: "logmill" })}.`;
  expect((await errorOf(unsigned)).code).toBe("bad_token");
});

test("a token whose key isn't a public Ed25519 key is refused", async () => {
  const { publicJwk } = identity;
  const keys = [undefined, null, "key", {}, { ...publicJwk, crv: "X25519" }];
  keys.push({ ...publicJwk, kty: "EC" }, { ...publicJwk, x: "short" }, { ...publicJwk, d: "x" });
  for (const jwk of keys) {
    expect((await errorOf(forge({ header: { jwk } }))).code).toBe("bad_token");
  }
});

test("a token whose kid isn't its key's thumbprint is refused", async () => {
  for (const kid of [stranger.thumbprint, undefined, "", 7]) {
    const error = await errorOf(forge({ header: { kid } }));
    expect([error.code, error.thumbprint]).toEqual(["bad_token", undefined]);
  }
});

test("a token signed by another key is refused before its device is looked up", async () => {
  const world = setUp();
  const error = await errorOf(forge({ of: identity, by: stranger }), world);
  expect([error.code, error.thumbprint]).toEqual(["bad_token", undefined]);
  expect(world.asked).toEqual([]);
});

test("a token of an unknown device is refused with its thumbprint, which did sign", async () => {
  const error = await errorOf(forge({ by: stranger }));
  expect([error.code, error.status]).toEqual(["unknown_device", 403]);
  expect(error.thumbprint).toBe(stranger.thumbprint);
  expect(error.message).toContain(`receiver allow ${stranger.thumbprint}`);
});

test("a token for another audience is refused", async () => {
  const error = await errorOf(await signToken(identity, "elsewhere", NOW_MS));
  expect([error.code, error.status]).toEqual(["wrong_audience", 401]);
  expect(error.message).toContain('current value is "elsewhere"');
});

test("a token is good for five minutes and half a minute of clock tolerance, cached or not", async () => {
  const token = await signToken(identity, "logmill", NOW_MS);
  const cached = setUp();
  for (const afterMs of [0, 300 * SECOND, 330 * SECOND - 1]) {
    cached.clock.nowMs = NOW_MS + afterMs;
    await cached.verifier.verify(`Bearer ${token}`);
    const fresh = setUp();
    fresh.clock.nowMs = NOW_MS + afterMs;
    await fresh.verifier.verify(`Bearer ${token}`);
  }
  for (const world of [cached, setUp()]) {
    world.clock.nowMs = NOW_MS + 330 * SECOND;
    const error = await errorOf(token, world);
    expect([error.code, error.status]).toEqual(["expired_token", 401]);
    expect(error.message).toContain("sign again");
  }
  expect(cached.verifier.cacheSize).toBe(0);
});

test("a token from the future is refused beyond the clock tolerance", async () => {
  await setUp().verifier.verify(`Bearer ${await signToken(identity, "logmill", NOW_MS + 30_000)}`);
  const error = await errorOf(await signToken(identity, "logmill", NOW_MS + 31_000));
  expect([error.code, error.status]).toEqual(["future_token", 401]);
});

test("a token that gives itself more than five minutes is refused", async () => {
  const error = await errorOf(forge({ claims: { exp: NOW_SEC + 301 } }));
  expect(error.code).toBe("bad_token");
  expect(error.message).toContain("current value is 301 s");
});

test("a token without one of its claims, or with one that isn't a number, is refused", async () => {
  for (const claim of ["aud", "iat", "exp"]) {
    expect((await errorOf(forge({ claims: { [claim]: undefined } }))).code).toBe("bad_token");
  }
  expect((await errorOf(forge({ claims: { iat: "now" } }))).code).toBe("bad_token");
  expect((await errorOf(forge({ claims: { exp: null } }))).code).toBe("bad_token");
});

test("a token that was cached is refused at once when its device is revoked", async () => {
  const world = setUp();
  const token = forge();
  await world.verifier.verify(`Bearer ${token}`);
  expect(world.verifier.cacheSize).toBe(1);
  world.devices.clear();
  expect((await errorOf(token, world)).code).toBe("unknown_device");
  expect(world.asked.length).toBe(2);
});

test("a token's cache has a bound, forgets the oldest first and keeps no stranger's", async () => {
  const world = setUp({ cacheMax: 3 });
  const tokens = [0, 1, 2, 3, 4].map((i) => forge({ claims: { jti: i } }));
  for (const token of tokens) await world.verifier.verify(`Bearer ${token}`);
  expect(world.verifier.cacheSize).toBe(3);
  await errorOf(forge({ by: stranger }), world);
  expect(world.verifier.cacheSize).toBe(3);
  await world.verifier.verify(`Bearer ${tokens[0]}`);
  expect(world.verifier.cacheSize).toBe(3);
});

test("a token that was refused is not cached", async () => {
  const world = setUp();
  await errorOf("a.b.c", world);
  expect(world.verifier.cacheSize).toBe(0);
});

test("a source of tokens uses one for two minutes, and signs again where the clock was set", async () => {
  const token = tokenSource(identity, "logmill");
  const { verifier, clock } = setUp();
  const first = await token(NOW_MS);
  expect(await token(NOW_MS + 119 * SECOND)).toBe(first);
  const second = await token(NOW_MS + 120 * SECOND);
  expect(second).not.toBe(first);
  const earlier = await token(NOW_MS - 3600 * SECOND);
  expect([first, second].includes(earlier)).toBe(false);
  clock.nowMs = NOW_MS - 3600 * SECOND;
  expect((await verifier.verify(`Bearer ${earlier}`)).device.name).toBe("kiosk");
});
