/** What many tests need: a folder, an identity, a clock that the test moves. */
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { calculateJwkThumbprint } from "jose";
import type { Identity } from "../shared/identity.ts";
import type { LogRecord } from "../shared/record.ts";

/** A folder of the test's own: `using folder = new TemporaryFolder()`. */
export class TemporaryFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "logmill-test-"));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** An identity that is on no disk. */
export async function newIdentity(): Promise<Identity> {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  const publicJwk = { kty: "OKP", crv: "Ed25519", x: x! } as const;
  return { privateKey, publicJwk, thumbprint: await calculateJwkThumbprint(publicJwk) };
}

export function ordinary(seq: number, text = `line ${seq}`): LogRecord {
  return { prio: 6, seq, usec: 1_000 * seq, flag: "-", fields: "", text, more: [] };
}

/** Lets everything run that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((next) => setImmediate(next));
}

/** Time stands still until the test moves it; those who sleep wake in order. */
export class FakeClock {
  #passedMs = 0;
  #sleepers: Array<{ atMs: number; wake: () => void }> = [];
  /** How far the wall clock has been set. */
  setMs = 0;
  /** Every sleep that was asked for. */
  readonly sleeps: number[] = [];

  constructor(readonly startMs = Date.UTC(2026, 10, 22, 12)) {}

  nowMs = () => this.startMs + this.setMs + this.#passedMs;
  monotonicMs = () => this.#passedMs;

  sleep = (ms: number) => {
    this.sleeps.push(ms);
    return new Promise<void>((wake) => this.#sleepers.push({ atMs: this.#passedMs + ms, wake }));
  };

  async advance(ms: number): Promise<void> {
    const untilMs = this.#passedMs + ms;
    await settle();
    for (;;) {
      const next = this.#sleepers.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (!next || next.atMs > untilMs) break;
      this.#sleepers.splice(this.#sleepers.indexOf(next), 1);
      this.#passedMs = next.atMs;
      next.wake();
      await settle();
    }
    this.#passedMs = untilMs;
  }

  /** Moves on step by step until something holds; throws if it doesn't within `maxMs`. */
  async until(holds: () => boolean, maxMs: number, stepMs = 100): Promise<void> {
    const endMs = this.#passedMs + maxMs;
    for (await settle(); !holds(); await this.advance(stepMs)) {
      if (this.#passedMs >= endMs) throw new Error(`it didn't come true in ${maxMs} ms`);
    }
  }
}
