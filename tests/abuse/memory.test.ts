import { afterAll, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { gzipSync } from "node:zlib";
import { limits } from "../../shared/limits.ts";
import { handMade, plainBlock, runBlock } from "../fuzz/mutations/frames.ts";
import { killAll } from "../programs.ts";
import { asEver, chunk, chunked, frame, lastChunk, Line, pause, state, Target } from "./target.ts";

afterAll(killAll);

const MiB = 2 ** 20;
const memoryMiB = 256;
/** What the receiver promises to stay within, and half of it for what a busy machine hasn't collected yet. */
const rssBytesMax = 1.5 * memoryMiB * MiB;
const start = () => Target.start("--memory", String(memoryMiB));

/** The most memory that is seen until something holds, or ends, or `ms` have passed. */
async function rssUntil(target: Target, holds: () => boolean, ms: number): Promise<number> {
  const endMs = performance.now() + ms;
  let most = await target.rssBytes();
  while (!holds() && performance.now() < endMs) {
    await pause(50);
    most = Math.max(most, await target.rssBytes());
  }
  return most;
}

/** `k` whole blocks of 128 KiB that aren't compressed. */
const blocks = (k: number) =>
  Array.from({ length: k }, () => plainBlock("A".repeat(131_072), false));

describe("compressed bombs over the wire", () => {
  const oneMiB = gzipSync(Buffer.alloc(MiB));
  const bombs: Record<string, { encoding: string; bytes: Buffer; refusal: RegExp }> = {
    "1 GiB in 1 MiB of gzip": {
      encoding: "gzip",
      bytes: Buffer.concat(Array.from({ length: 1_024 }, () => oneMiB)),
      refusal: /body_too_large|too_fast|busy/,
    },
    "2 GiB in a frame of 64 KB that says it holds 1,000 bytes": {
      encoding: "zstd",
      bytes: handMade(
        1_000,
        Array.from({ length: 16_000 }, (_, i) => runBlock(65, 131_072, i === 15_999)),
      ),
      refusal: /bad_frame/,
    },
    "2 GiB in a frame that says so": {
      encoding: "zstd",
      bytes: handMade(
        2 ** 31,
        Array.from({ length: 16_000 }, (_, i) => runBlock(65, 131_072, i === 15_999)),
      ),
      refusal: /frame_too_large/,
    },
    "1 GiB in a thousand right frames of 50 bytes": {
      encoding: "zstd",
      bytes: Buffer.concat(Array.from({ length: 1_024 }, () => {
        const runs = Array.from({ length: 7 }, (_, i) => runBlock(0x0a, 131_072, i === 6));
        return handMade(9 + 7 * 131_072, [plainBlock("#0 0 0 0\n", false), ...runs]);
      })),
      refusal: /too_fast|busy/,
    },
  };
  for (const [name, { encoding, bytes, refusal }] of Object.entries(bombs)) {
    test(`of ${name} are refused, all twenty at once, within the memory`, async () => {
      await using target = await start();
      const head = await target.head({
        ...chunked,
        "Content-Encoding": encoding,
        "Logmill-Ack": "live",
        "Logmill-Boot": "bomb",
      });
      const lines = Array.from({ length: 20 }, () => target.line());
      for (const line of lines) {
        line.send(Buffer.concat([Buffer.from(head), chunk(bytes), Buffer.from(lastChunk)]));
      }
      const ended = () => lines.every((line) => line.isEnded || /"(error|done)"/.test(line.got));
      expect(await rssUntil(target, ended, 20_000)).toBeLessThan(rssBytesMax);
      expect(ended()).toBe(true);
      for (const line of lines) expect(line.got).toMatch(refusal);
      for (const line of lines) line.close();
      expect(await state(target)).toEqual(asEver);
    });
  }
});

describe("clients that stall", () => {
  test("500 at once, each in the middle of a frame of 900 KB, stay within the memory; others go on", async () => {
    await using target = await start();
    const senders = await target.admit(10);
    const half = chunk(Buffer.concat([handMade(1_000_000, []), ...blocks(7)]));
    const lines: Line[] = [];
    for (let i = 0; i < 500; i++) {
      const line = target.line();
      line.send(
        await target.head({
          ...chunked,
          "Authorization": senders[i % senders.length]!,
          "Logmill-Ack": i % 20 < 10 ? "live" : "end",
          "Logmill-Stream": `s${i}`,
        }),
      );
      line.send(half);
      lines.push(line);
    }
    expect(await rssUntil(target, () => false, 3_000)).toBeLessThan(rssBytesMax);
    // One device's share of what may be held isn't all of it: ours goes on meanwhile.
    expect((await target.upload()).status).toBe(200);
    for (const line of lines) line.close();
    expect(await state(target)).toEqual(asEver);
  });

  test("500 at once, each behind its head, hold their slots and no memory; others go on", async () => {
    await using target = await start();
    const lines: Line[] = [];
    for (let i = 0; i < 500; i++) {
      const line = target.line();
      line.send(
        await target.head({ ...chunked, "Logmill-Ack": "live", "Logmill-Stream": `s${i}` }),
      );
      lines.push(line);
    }
    const answered = () => lines.every(({ got }) => /HTTP/.test(got));
    expect(await rssUntil(target, answered, 10_000)).toBeLessThan(rssBytesMax);
    expect(answered()).toBe(true);
    // One device has but its share of the slots, and the rest are told to come back.
    const statuses = lines.map((line) => line.statuses[0]);
    expect(statuses.filter((status) => status === 200).length).toBe(limits.deviceStreamsMax);
    expect(statuses.filter((status) => status === 503).length).toBe(500 - limits.deviceStreamsMax);
    for (const line of lines) line.close();
    expect(await state(target)).toEqual(asEver);
  });
});

describe("clients that don't read", () => {
  test("their acknowledgements: what waits for them is bounded", async () => {
    await using target = await start();
    const lines = Array.from({ length: 50 }, () => target.line({ deaf: true }));
    const head = await target.head({ ...chunked, "Logmill-Ack": "live" });
    for (const line of lines) line.send(head);
    const before = await target.rssBytes();
    const ends = performance.now() + 5_000;
    for (let seq = 0; performance.now() < ends; seq++) {
      for (const line of lines) line.send(chunk(frame(seq)));
      await pause(5);
    }
    expect(await target.metric("logmill_received_blocks_total")).toBeGreaterThan(10_000);
    expect(await target.rssBytes() - before).toBeLessThan(64 * MiB);
    for (const line of lines) line.close();
    expect(await state(target)).toEqual(asEver);
  });

  test("the answers to 200,000 requests that they sent in advance", async () => {
    await using target = await start();
    const line = target.line({ deaf: true });
    const before = await target.rssBytes();
    const some = Buffer.from("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000));
    for (let i = 0; i < 100; i++) line.send(some);
    expect(await rssUntil(target, () => line.isEnded, 3_000) - before).toBeLessThan(64 * MiB);
    line.close();
    expect(await state(target)).toEqual(asEver);
  });
});
