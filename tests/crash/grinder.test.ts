/**
 * A grinder with several threads, killed at random moments while it grinds closed segments: what comes out
 * in the end is, byte for byte, what an undisturbed run writes. LOGMILL_KILLS=50 kills more often.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "bun:test";
import { formatBlockHeader } from "../../shared/block.ts";
import { CommitQueue } from "../../shared/commit_queue.ts";
import { formatRecord, syncRecord } from "../../shared/record.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { TemporaryFolder } from "../fixtures.ts";
import { seededRandom } from "../fleet/random.ts";
import { denoPath, grinderPermissions, killAll, Program, root } from "../programs.ts";

afterAll(killAll);

const kills = Number(process.env["LOGMILL_KILLS"] ?? 5);
const recvUs = Date.UTC(2026, 10, 22, 12) * 1000;
/** Some transactions' worth. */
const blocks = 3_500;
const linesOfBlock = 1_000;

/** One in a hundred matches a rule. */
const texts = Array.from({ length: 100 }, (_, i) => {
  if (i === 7) return "probe: dns server=192.0.2.53 ms=12.5";
  return `conman: poll ${i * 7919}: 12 clients, wan ok, lan ok, nothing to be said of it`;
});

/** Resent, overlapping and new blocks of some devices, in closed segments. */
async function store(folder: string): Promise<void> {
  const random = seededRandom(20261122);
  const storage = new FolderStorage(folder);
  const queue = new CommitQueue(await storage.createEpoch("r1"));
  const next = Array.from({ length: 40 }, () => 0);
  let waiting: Promise<void>[] = [];
  for (let i = 0; i < blocks; i++) {
    const device = Math.floor(random() * next.length);
    const back = random() < 0.1 ? Math.floor(random() * 2_000) : 0;
    const first = Math.max(0, next[device]! - back);
    next[device] = Math.max(next[device]!, first + linesOfBlock);
    waiting.push(queue.append(Buffer.from(blockOf(device, first, recvUs + i * 50_000), "latin1")));
    if (waiting.length < 500) continue;
    await Promise.all(waiting);
    waiting = [];
  }
  await Promise.all(waiting);
  await queue.close();
}

function blockOf(device: number, first: number, recvUs: number): string {
  const last = first + linesOfBlock - 1;
  const usec = (seq: number) => 3600e6 + seq * 1000;
  let text = formatRecord(syncRecord(first, usec(first), { wallUs: recvUs - 1e6, synced: true }));
  for (let seq = first; seq <= last; seq++) {
    text += `14,${seq},${usec(seq)},-;${texts[(seq * 31 + device) % 100]!}\n`;
  }
  const names = { device: `d${device}`, boot: "b1", source: "kmsg", stream: "b1" };
  return formatBlockHeader({ ...names, recvUs, first, last, count: linesOfBlock }) + text;
}

function start(data: string, out: string): Program {
  const options = ["--data", data, "--out", out, "--once", "--workers", "2"];
  const rules = ["--rules", join(root, "rules.ts")];
  const program = ["run", ...grinderPermissions, "grinder/main.ts"];
  return new Program("grinder", denoPath, [...program, ...options, ...rules]);
}

/** The outputs' names without the day, and what is in them. */
function outputs(out: string): Array<[name: string, text: string]> {
  return ["events", "aggregates"].flatMap((kind) =>
    readdirSync(join(out, kind)).map((file): [string, string] => [
      kind,
      readFileSync(join(out, kind, file), "utf8"),
    ])
  );
}

test(
  "a grinder that is killed again and again writes, byte for byte, what an undisturbed one does",
  async () => {
    using folder = new TemporaryFolder();
    const data = join(folder.path, "data");
    await store(data);
    const startMs = performance.now();
    expect(await start(data, join(folder.path, "right")).exited()).toBe(0);
    const takesMs = performance.now() - startMs;
    const right = outputs(join(folder.path, "right"));
    expect(right[0]![1].length).toBeGreaterThan(1e6);
    let [killed, round] = [0, 0];
    for (; killed < kills; round++) {
      const out = join(folder.path, `killed ${round}`);
      for (let ended = false; !ended;) {
        const grinder = start(data, out);
        const isKilled = killed < kills &&
          await Promise.race([
            sleep(100 + Math.random() * takesMs).then(() => true),
            grinder.exited().then(() => false),
          ]);
        if (isKilled) {
          await grinder.kill();
          killed++;
        } else {
          expect(await grinder.exited()).toBe(0);
          ended = true;
        }
      }
      const got = outputs(out);
      expect(got.map(([kind, text]) => [kind, text.length])).toEqual(
        right.map(([kind, text]) => [kind, text.length]),
      );
      expect(got.every(([, text], i) => text === right[i]![1])).toBe(true);
    }
    console.log(`${killed} kills in ${round} grinds of ${(takesMs / 1000).toFixed(1)} s each`);
  },
  600_000,
);
