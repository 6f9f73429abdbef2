/**
 * A device's identity goes in, a bearer token comes out; on the server a token goes in and the
 * device that signed it comes out. A token is a compact JWS (RFC 7515) with a JWT's claims (RFC
 * 7519):
 *
 *   part       field  value
 *   header     alg    "EdDSA", nothing else (RFC 8037)
 *              kid    the device: RFC 7638 thumbprint of its public key
 *              jwk    that public key: kty "OKP", crv "Ed25519", x
 *   claims     aud    the service's name, so that a token for one service is worth nothing to another
 *              iat    Unix time in seconds, when it was signed
 *              exp    at most iat + 300
 *   signature         Ed25519 by that key
 *
 * The key comes with the token, so it proves only that the sender holds it: what says whether that
 * key is one of ours is the allow-list, and nothing else is trusted.
 */
import {
  calculateJwkThumbprint,
  errors,
  importJWK,
  type JWTHeaderParameters,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from "jose";
import type { Device } from "./allowlist.ts";
import type { Identity } from "./identity.ts";
import { limits } from "./limits.ts";

/** A stolen token is of use for so long; a device signs every 30-90 s anyway, once per POST. */
const tokenAgeSecMax = 300;
/** With `clockToleranceSec` on either side a token stays well within its time. */
const tokenReuseMs = 120_000;
/** Clocks that NTP keeps are within milliseconds; this also covers those set by hand. */
const clockToleranceSec = 30;

export type AuthErrorCode =
  | "no_token"
  | "bad_token"
  | "expired_token"
  | "future_token"
  | "wrong_audience"
  | "unknown_device";

/**
 * The sender isn't let in. expired_token and future_token: sign again by the Date of the answer;
 * unknown_device: an operator must admit `thumbprint`, whose key did sign; else the sender is
 * wrong.
 */
export class AuthError extends Error {
  override name = "AuthError";
  readonly code: AuthErrorCode;
  readonly status: 401 | 403;
  readonly thumbprint: string | undefined;

  constructor(code: AuthErrorCode, message: string, thumbprint?: string) {
    super(message);
    this.code = code;
    this.status = code === "unknown_device" ? 403 : 401;
    this.thumbprint = thumbprint;
  }
}

/**
 * Signs a token that is good for five minutes.
 *
 * @param audience the service's name, as the server's verifier has it
 * @param nowMs Unix time in milliseconds; where the device's own clock is wrong, the server's
 */
export function signToken(identity: Identity, audience: string, nowMs: number): Promise<string> {
  const issuedAtSec = Math.floor(nowMs / 1000);
  return new SignJWT()
    .setProtectedHeader({ alg: "EdDSA", kid: identity.thumbprint, jwk: identity.publicJwk })
    .setAudience(audience)
    .setIssuedAt(issuedAtSec)
    .setExpirationTime(issuedAtSec + tokenAgeSecMax)
    .sign(identity.privateKey);
}

/**
 * Tokens of one device, each used for two minutes of its five: a receiver remembers those that it has
 * verified, and a signature costs either side a hundred times as much as that.
 *
 * @returns a token that is good at the given Unix time in milliseconds
 */
export function tokenSource(
  identity: Identity,
  audience: string,
): (nowMs: number) => Promise<string> {
  let token: Promise<string> | undefined;
  let signedMs = 0;
  return (nowMs) => {
    // A clock that was set back makes a token of the future of it.
    const fresh = nowMs >= signedMs && nowMs - signedMs < tokenReuseMs;
    if (!token || !fresh) {
      token = signToken(identity, audience, nowMs);
      signedMs = nowMs;
    }
    return token;
  };
}

export interface TokenVerifierOptions {
  audience: string;
  /** The allow-list's look-up. It is asked for every request, cached token or not. */
  allowed: (thumbprint: string) => Device | undefined;
  /** Unix time in milliseconds. */
  now: () => number;
  /** Verified tokens to remember, at some 500 bytes each; the oldest is forgotten first. */
  cacheMax: number;
}

interface VerifiedToken {
  thumbprint: string;
  /** Unix time in milliseconds, clock tolerance included. */
  goodUntilMs: number;
}

export class TokenVerifier {
  readonly #options: TokenVerifierOptions;
  /**
   * By the token's exact text, oldest first. A signature costs 100 microseconds, this costs one.
   */
  readonly #cache = new Map<string, VerifiedToken>();

  constructor(options: TokenVerifierOptions) {
    this.#options = options;
  }

  /** Tokens remembered now, at most cacheMax. */
  get cacheSize(): number {
    return this.#cache.size;
  }

  /**
   * Says who sent this Authorization header.
   *
   * @throws AuthError with the code for the client, and the status for the answer
   */
  async verify(
    authorizationHeader: string | null | undefined,
  ): Promise<{ thumbprint: string; device: Device }> {
    const token = bearerToken(authorizationHeader);
    const verified = this.#recall(token) ?? await this.#check(token);
    const { thumbprint } = verified;
    // After the signature: else anyone could put another's thumbprint on the list of who knocked.
    const device = this.#options.allowed(thumbprint);
    if (device === undefined) throw unknownDevice(thumbprint);
    // Only for devices we know: strangers must not push their tokens out of the cache.
    this.#remember(token, verified);
    return { thumbprint, device };
  }

  #recall(token: string): VerifiedToken | undefined {
    const verified = this.#cache.get(token);
    if (verified === undefined || this.#options.now() < verified.goodUntilMs) return verified;
    this.#cache.delete(token);
    return undefined;
  }

  #remember(token: string, verified: VerifiedToken): void {
    if (this.#cache.has(token) || this.#options.cacheMax < 1) return;
    if (this.#cache.size >= this.#options.cacheMax) {
      this.#cache.delete(this.#cache.keys().next().value!);
    }
    this.#cache.set(token, verified);
  }

  async #check(token: string): Promise<VerifiedToken> {
    const { audience, now } = this.#options;
    const nowMs = now();
    try {
      const { payload, protectedHeader } = await jwtVerify(token, embeddedKey, {
        algorithms: ["EdDSA"],
        audience,
        requiredClaims: ["iat", "exp"],
        maxTokenAge: tokenAgeSecMax,
        clockTolerance: clockToleranceSec,
        currentDate: new Date(nowMs),
      });
      return {
        thumbprint: protectedHeader.kid!, // embeddedKey saw to it
        goodUntilMs: (expirySec(payload) + clockToleranceSec) * 1000,
      };
    } catch (error) {
      throw error instanceof AuthError ? error : authError(error, audience, nowMs);
    }
  }
}

function bearerToken(header: string | null | undefined): string {
  if (!header || !/^Bearer(?: |$)/i.test(header)) {
    throw new AuthError(
      "no_token",
      "Cannot verify sender because Authorization must be `Bearer TOKEN`: current value is " +
        (header ? "another scheme" : "no header"),
    );
  }
  if (header.length > limits.tokenBytesMax) {
    throw badToken(
      `Authorization must be at most ${limits.tokenBytesMax} bytes: ` +
        `current value is ${header.length}`,
    );
  }
  return header.slice("Bearer ".length).trim();
}

/** The key in the header, once it is shown to be the one that the header's kid names. */
async function embeddedKey({ kid, jwk }: JWTHeaderParameters) {
  if (jwk?.kty !== "OKP" || jwk.crv !== "Ed25519" || !/^[\w-]{43}$/.test(String(jwk.x))) {
    throw badToken(`jwk must be an Ed25519 public key: current value is kty ${quoted(jwk?.kty)}`);
  }
  if ("d" in jwk) {
    throw badToken(
      "jwk must hold no private key: current value holds one, which is now known; make a new one",
    );
  }
  const publicJwk = { kty: "OKP", crv: "Ed25519", x: jwk.x! };
  const thumbprint = await calculateJwkThumbprint(publicJwk);
  if (kid !== thumbprint) {
    throw badToken(
      `kid must be its jwk's thumbprint, ${thumbprint}: current value is ${quoted(kid)}`,
    );
  }
  return importJWK(publicJwk, "EdDSA");
}

/** Returns the token's exp; throws if a device gave itself more time than tokens have. */
function expirySec({ iat, exp }: JWTPayload): number {
  const lifeSec = exp! - iat!;
  if (lifeSec <= tokenAgeSecMax) return exp!;
  throw badToken(
    `exp must be at most ${tokenAgeSecMax} s after iat: current value is ${lifeSec} s`,
  );
}

/** Somebody else's words, kept short for a message. */
function quoted(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 64);
}

function badToken(rule: string): AuthError {
  return new AuthError("bad_token", `Cannot accept token because ${rule}`);
}

function unknownDevice(thumbprint: string): AuthError {
  return new AuthError(
    "unknown_device",
    `Cannot accept token because its device must be on the allow-list: ` +
      `current value is ${thumbprint}; run \`receiver allow ${thumbprint} --device NAME\``,
    thumbprint,
  );
}

/** What jose found wrong, in our words: its claim checks come after its signature check. */
function authError(error: unknown, audience: string, nowMs: number): AuthError {
  if (error instanceof errors.JWTExpired) {
    return wrongTime("expired_token", "not be older than 5 minutes", error.payload, nowMs);
  }
  if (error instanceof errors.JWTClaimValidationFailed && error.reason === "check_failed") {
    if (error.claim === "iat") {
      return wrongTime("future_token", "not be signed in the future", error.payload, nowMs);
    }
    if (error.claim === "aud") {
      return new AuthError(
        "wrong_audience",
        `Cannot accept token because its aud must be ${audience}: ` +
          `current value is ${quoted(error.payload.aud)}; set the agent's audience`,
      );
    }
  }
  const found = error instanceof Error ? error.message : String(error);
  return badToken(
    `it must be an EdDSA JWT with its key in it: current value fails with "${found}"`,
  );
}

function wrongTime(
  code: "expired_token" | "future_token",
  rule: string,
  { iat }: JWTPayload,
  nowMs: number,
): AuthError {
  const nowSec = Math.floor(nowMs / 1000);
  return new AuthError(
    code,
    `Cannot accept token because it must ${rule}: current value is iat ${iat}, here it is ` +
      `${nowSec}; sign again by this answer's Date`,
  );
}
