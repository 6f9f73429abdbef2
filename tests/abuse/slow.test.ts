import { afterAll, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { limits } from "../../shared/limits.ts";
import { newReceiver } from "../receiver.ts";
import { theWorld } from "../fuzz/senders.ts";
import { MemoryStore } from "../fuzz/store.ts";
import { nowMs as tokenMs } from "../fuzz/senders.ts";
import { killAll } from "../programs.ts";
import { asEver, chunk, chunked, frame, Line, pause, state, Target } from "./target.ts";

afterAll(killAll);

/** Bun's own limit for a request's head, which can't be set. */
const headMs = 12_000;

test(
  "heads that come a byte at a time, stop in their middle, or never begin are cut off after 12 s, and 500 of them hinder nobody",
  async () => {
    await using target = await Target.start();
    const head = await target.head(chunked);
    const shapes: Record<string, (line: Line, turn: number) => void> = {
      "a byte at a time": (line, turn) => line.send(head[turn]!),
      "a header line at a time": (line, turn) =>
        line.send(turn === 0 ? head.slice(0, 25) : `X${turn}: y\r\n`),
      "stops in its middle": (line, turn) => turn === 0 && line.send(head.slice(0, 100)),
      "never begins": () => {},
    };
    const lines = Object.values(shapes).flatMap((step) =>
      Array.from({ length: 125 }, () => ({ line: target.line(), step }))
    );
    const startMs = performance.now();
    for (let turn = 0; lines.some(({ line }) => !line.isEnded); turn++) {
      for (const { line, step } of lines) if (!line.isEnded) step(line, turn);
      if (turn === 2) expect(await state(target)).toEqual(asEver);
      await pause(500);
      // Its clock has a grain of 4 s.
      expect(performance.now() - startMs).toBeLessThan(headMs + 10_000);
    }
    expect(lines.every(({ line }) => !/ 200 /.test(line.got))).toBe(true);
    expect(await state(target)).toEqual(asEver);
  },
  40_000,
);

const world = await theWorld();
const sender = world.senders[0]!;

/** A receiver on a real socket whose time goes by faster, so that its limits are short. */
function quickReceiver(speed: number) {
  const { receiver, admission } = newReceiver({
    sink: new MemoryStore().sink,
    allowed: (thumbprint) => world.allowed.get(thumbprint),
    nowMs: () => tokenMs,
    monotonicMs: () => performance.now() * speed,
  });
  const looks = setInterval(() => admission.look(), 1_000 / speed);
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 10,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: (request, bun) =>
      receiver.fetch(request, {
        timeout: (of, seconds) => bun.timeout(of, Math.ceil(seconds / speed)),
        requestIP: (of) => bun.requestIP(of),
      }),
  });
  const headers = {
    "Host": "receiver",
    "Authorization": `Bearer ${sender.token}`,
    "Content-Encoding": "zstd",
    "Logmill-Boot": "b",
    "Logmill-Source": "kmsg",
    "Logmill-Stream": "s",
    "Transfer-Encoding": "chunked",
  };
  const head = (ack: string) =>
    "POST /v1/logs HTTP/1.1\r\n" +
    Object.entries({ ...headers, "Logmill-Ack": ack }).map(([k, v]) => `${k}: ${v}\r\n`).join("") +
    "\r\n";
  const stop = async () => {
    clearInterval(looks);
    await server.stop(true);
  };
  return {
    port: server.port!,
    stop,
    head,
    open: () => admission.open("live") + admission.open("bulk"),
  };
}

async function until(holds: () => boolean, ms: number): Promise<number> {
  const startMs = performance.now();
  while (!holds() && performance.now() - startMs < ms) await pause(10);
  return performance.now() - startMs;
}

for (const ack of ["end", "live"]) {
  test(`a body that dribbles is ended when no block of it gets whole for too long, Ack: ${ack}`, async () => {
    const speed = 60;
    const { port, stop, head, open } = quickReceiver(speed);
    const line = new Line(port);
    try {
      line.send(head(ack));
      line.send(chunk(frame(0)));
      await until(() => open() === 1, 2_000);
      const bytes = frame(1);
      let at = 0;
      // A byte for each 5 s: never idle for long, and never done.
      const dribble = setInterval(() => line.send(chunk(bytes.subarray(at, ++at))), 5_000 / speed);
      const tookMs = await until(() => open() === 0, 5_000).finally(() => clearInterval(dribble));
      expect(tookMs).toBeGreaterThan(limits.blockMsMax / speed * 0.9);
      expect(tookMs).toBeLessThan(limits.blockMsMax / speed * 3);
      expect(await line.says(/too_slow/)).toContain("too_slow");
    } finally {
      line.close();
      await stop();
    }
  });

  test(`a body that sends whole frames, however slowly, goes on, Ack: ${ack}`, async () => {
    const speed = 60;
    const { port, stop, head, open } = quickReceiver(speed);
    const line = new Line(port);
    try {
      line.send(head(ack));
      let seq = 0;
      const sender = setInterval(() => line.send(chunk(frame(seq++))), 25_000 / speed);
      await until(() => open() === 1, 2_000);
      await pause(3 * limits.blockMsMax / speed);
      expect(open()).toBe(1);
      clearInterval(sender);
      line.send("0\r\n\r\n");
      expect(await line.says(/"acked":\d+(,"done":true)?\}\n?$/)).not.toContain("error");
      await until(() => open() === 0, 2_000);
      expect(open()).toBe(0);
    } finally {
      line.close();
      await stop();
    }
  });
}

test("a body that falls silent is ended by the read-idle time-out", async () => {
  // Bun counts in grains of 4 s: 100 s become 1.
  const { port, stop, head, open } = quickReceiver(100);
  const lines = ["end", "live"].flatMap((ack) =>
    ["", chunk(frame(0)), chunk(frame(0).subarray(0, 9))].map((begun) => {
      const line = new Line(port);
      line.send(Buffer.concat([Buffer.from(head(ack)), Buffer.from(begun)]));
      return line;
    })
  );
  try {
    await until(() => open() === lines.length, 2_000);
    expect(open()).toBe(lines.length);
    await until(() => open() === 0 && lines.every((line) => line.isEnded), 12_000);
    expect(open()).toBe(0);
    expect(lines.every((line) => line.isEnded)).toBe(true);
  } finally {
    for (const line of lines) line.close();
    await stop();
  }
}, 20_000);
