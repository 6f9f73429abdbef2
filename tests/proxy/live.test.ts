/**
 * Live acknowledgements on their way back: haproxy lets them through while the body is still being
 * sent. nginx, as we set it up, answers at the end only, and an agent makes do with short POSTs.
 */
import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { frameOf } from "../../agent/encoder.ts";
import { Outbox } from "../../agent/outbox.ts";
import type { Clock } from "../../agent/post.ts";
import { Uploader } from "../../agent/uploader.ts";
import { createIdentity } from "../../shared/identity.ts";
import { limits } from "../../shared/limits.ts";
import { signToken } from "../../shared/token.ts";
import { ordinary, TemporaryFolder } from "../fixtures.ts";
import { killAll } from "../programs.ts";
import { startHaproxy } from "./haproxy.ts";
import { startNginx } from "./nginx.ts";
import { missing, opensslCertificate, startTrustingReceiver } from "./rig.ts";

afterAll(killAll);

/** Time that goes `haste` times as fast: no test waits for an agent's intervals. */
const clockOf = (haste: number): Clock => ({
  nowMs: Date.now,
  monotonicMs: () => performance.now() * haste,
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms / haste)),
});

let folder: TemporaryFolder;
let stop: () => Promise<void>;
beforeEach(() => {
  folder = new TemporaryFolder();
});
afterEach(async () => {
  await stop();
  folder[Symbol.dispose]();
});

/** An agent's uploader, through the proxy, with its own certificate. `seqs` are the records acknowledged. */
async function setUp(start: typeof startNginx, clock: Clock, intervalMs?: number) {
  const path = folder.path;
  const own = opensslCertificate(path, "proxy", "ec");
  const receiver = await startTrustingReceiver(join(path, "data"));
  const proxy = await start(path, own, receiver.port);
  stop = async () => {
    await proxy.stop();
    await receiver.stop();
  };
  const identity = await createIdentity(join(path, "state"), { name: "kiosk" });
  receiver.allow(identity.thumbprint, "kiosk");
  const files = { cert: "state/device.crt", key: "state/device.key", ca: "proxy.crt" };
  const tls = Object.fromEntries(
    Object.entries(files).map(([name, file]) => [name, readFileSync(join(path, file), "utf8")]),
  );
  const acks: Array<string | null> = [];
  const viaProxy = (url: string, init: RequestInit) => {
    acks.push(new Headers(init.headers).get("Logmill-Ack"));
    return fetch(url, { ...init, tls } as RequestInit);
  };
  const outbox = new Outbox();
  const seqs: number[] = [];
  const reports: string[] = [];
  const uploader = new Uploader({
    receivers: [`https://localhost:${proxy.port}`],
    token: (nowMs) => signToken(identity, "logmill", nowMs),
    names: { boot: "b1", source: "kmsg", stream: "b1" },
    outbox,
    acked: ({ range }) => void seqs.push(range?.first ?? NaN),
    flushMs: () => {},
    kernelUs: () => 5_000,
    wallSynced: () => true,
    report: (text) => void reports.push(text),
    intervalMs,
    clock,
    random: () => 0.5,
    fetch: viaProxy as typeof fetch,
  });
  const push = (...numbers: number[]) => {
    for (const seq of numbers) void outbox.push(frameOf(ordinary(seq)));
  };
  return { receiver, outbox, acks, seqs, reports, uploader, push };
}

async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2_000 && !holds(); turn++) await Bun.sleep(5);
  expect(holds()).toBe(true);
}

describe.skipIf(missing("haproxy", "openssl"))("a live agent behind haproxy", () => {
  test("gets its acknowledgements while its one POST is still open", async () => {
    const { outbox, acks, seqs, reports, uploader, push } = await setUp(startHaproxy, clockOf(1));
    push(0);
    const running = uploader.run();
    await until(() => seqs.length === 1);
    push(1);
    await until(() => seqs.length === 2);
    outbox.end();
    await running;
    expect(seqs).toEqual([0, 1]);
    expect(reports).toEqual([]);
    expect(acks).toEqual(["live"]);
  });
});

describe.skipIf(missing("nginx", "openssl"))("a live agent behind nginx", () => {
  test("finds after 15 s that no acknowledgement comes, and sends short POSTs from then on", async () => {
    const clock = clockOf(40);
    const { receiver, outbox, acks, seqs, reports, uploader, push } = await setUp(
      startNginx,
      clock,
    );
    push(0, 1);
    const startMs = clock.monotonicMs();
    const running = uploader.run();
    await until(() => acks.length >= 2);
    expect(clock.monotonicMs() - startMs).toBeGreaterThan(limits.ackTimeoutMs);
    push(2);
    await until(() => seqs.length === 3);
    push(3);
    outbox.end();
    await running;
    expect(seqs).toEqual([0, 1, 2, 3]);
    expect(acks[0]).toBe("live");
    expect(new Set(acks.slice(1))).toEqual(new Set(["end"]));
    expect(reports[0]).toContain("no acknowledgement came");
    expect(reports[1]).toContain("uploading again");
    // What the first POST had brought is stored twice: the readers know it by its seqs.
    const firsts = receiver.stored().filter(({ text }) => text.includes("6,0,0,-;line 0"));
    expect(firsts.map(({ device }) => device)).toEqual(["kiosk", "kiosk"]);
  });

  test("has no such trouble when it uploads at intervals", async () => {
    const { outbox, acks, seqs, reports, uploader, push } = await setUp(
      startNginx,
      clockOf(40),
      1_000,
    );
    push(0, 1);
    const running = uploader.run();
    await until(() => seqs.length === 2);
    push(2);
    await until(() => seqs.length === 3);
    outbox.end();
    await running;
    expect(reports).toEqual([]);
    expect(new Set(acks)).toEqual(new Set(["end"]));
  });
});
