/**
 * Seeded: a program writes, its log is rotated and truncated in every way, the agent reads, gets
 * acknowledgements and is killed; then each line must have arrived exactly once.
 */
import { rmSync, truncateSync, utimesSync } from "node:fs";
import { expect, test } from "bun:test";
import { LogFolder } from "./fixtures.ts";

/** Mulberry32: small, and the same everywhere. */
function seeded(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

class Writer {
  readonly written: string[] = [];
  /** What was in the file when it was truncated or deleted: some of it may not have been read. */
  readonly destroyed = new Set<string>();
  #inFile: string[] = [];
  #next = 0;
  #seconds = 1_000_000;

  constructor(readonly folder: LogFolder, readonly random: (below: number) => number) {}

  lines(path?: string): void {
    for (let count = this.random(6); count >= 0; count--) {
      const text = `${this.#next++} ${"x".repeat(this.random(this.random(4) === 0 ? 900 : 40))}`;
      this.#write(`${text}\n`, path);
      this.written.push(text);
      this.#inFile.push(text);
    }
  }

  /** It goes on writing to the old file for a moment. */
  rotate(): void {
    const old = this.folder.rotate();
    if (this.random(2) === 0 && this.#inFile.length > 0) this.lines(old);
    this.#inFile = [];
    if (this.random(4) > 0) this.#write("");
  }

  copytruncate(): void {
    this.#write("");
    this.folder.copytruncate();
    this.#write("", `${this.folder.path}.1`);
    this.#write("");
    this.#inFile = [];
  }

  truncate(): void {
    this.#write("");
    truncateSync(this.folder.path);
    this.#write("");
    for (const line of this.#inFile) this.destroyed.add(line);
    this.#inFile = [];
  }

  replace(): void {
    rmSync(this.folder.path, { force: true });
    for (const line of this.#inFile) this.destroyed.add(line);
    this.#inFile = [];
  }

  /** Files' times are too coarse for a program that does all this within a millisecond. */
  #write(text: string, path = this.folder.path): void {
    this.folder.append(text, path);
    utimesSync(path, ++this.#seconds, this.#seconds);
  }
}

async function simulate(seed: number, steps: number): Promise<void> {
  using folder = new LogFolder();
  const random = seeded(seed);
  const writer = new Writer(folder, random);
  // What was rotated away before any agent saw the path is nobody's.
  writer.lines();
  let agent = folder.start();
  await agent.run();
  let running = true;
  for (let step = 0; step < steps; step++) {
    const what = random(20);
    if (what < 7) writer.lines();
    else if (what === 7) writer.rotate();
    else if (what === 8) writer.copytruncate();
    else if (what === 9 && random(3) === 0) writer.truncate();
    else if (what === 10 && random(3) === 0) writer.replace();
    else if (what < 14) await agent.ack(random(12));
    else if (what < 17) await agent.run(500 * (1 + random(20)));
    else if (running) {
      await agent.kill();
      running = false;
    }
    const isDown = !running && random(4) > 0;
    if (isDown) continue;
    if (running && !await ended(agent.ended)) continue;
    // Killed, or nothing was there.
    agent = folder.start();
    agent.autoAck = random(2) === 0;
    running = true;
  }
  await agent.kill();
  writer.lines();
  // Quiet comes at last: each file that is left is read to its end.
  for (let round = 0; round < 3; round++) {
    agent = folder.start();
    await agent.run(60_000 + 6_000 * folder.names.length);
    await agent.stop();
  }
  check(folder, writer, seed);
}

function check(folder: LogFolder, { written, destroyed }: Writer, seed: number): void {
  const textOf = new Map<string, string>();
  for (const { stream, record } of folder.sent) {
    if (record.flag !== "-") continue;
    const identity = `${stream} ${record.seq}`;
    // One identity, two lines: the second would be dropped as a repetition.
    expect([seed, textOf.get(identity) ?? record.text]).toEqual([seed, record.text]);
    textOf.set(identity, record.text);
  }
  const arrived = [...textOf.values()];
  expect([seed, arrived.length]).toEqual([seed, new Set(arrived).size]);
  const known = new Set(arrived);
  const missing = written.filter((text) => !known.has(text) && !destroyed.has(text));
  expect([seed, missing]).toEqual([seed, []]);
  expect([seed, arrived.filter((text) => !written.includes(text))]).toEqual([seed, []]);
}

async function ended(promise: Promise<void>): Promise<boolean> {
  return await Promise.race([promise.then(() => true), Promise.resolve(false)]);
}

test(
  "following through random rotation, truncation and kills brings each line exactly once",
  async () => {
    for (let seed = 1; seed <= 60; seed++) await simulate(seed, 60);
  },
  120_000,
);
