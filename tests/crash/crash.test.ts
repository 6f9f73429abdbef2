import { afterAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readBlocks } from "../../shared/block.ts";
import { forEachRecord } from "../../shared/record.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { Fleet } from "../fleet/fleet.ts";
import { seededRandom } from "../fleet/random.ts";
import {
  bunPath,
  killAll,
  type Program,
  root,
  startAgent,
  startGrinder,
  startReceiver,
} from "../programs.ts";
import { formatVerdict, verify } from "../verify/verify.ts";
import { kmsgUnusable, KmsgWriter } from "./kmsg_writer.ts";

afterAll(killAll);

const kills = 20;
const random = seededRandom(20);
const unusable = kmsgUnusable();
if (unusable) console.log(`the agent isn't killed here: ${unusable}`);

test(
  `receiver, grinder and agent killed ${kills} times each under load lose and double nothing`,
  async () => {
    const data = mkdtempSync(join(tmpdir(), "logmill-crash-"));
    const state = join(data, "agent");
    const journal = join(data, "fleet.jsonl");
    let receiver = await startReceiver(data, "--port", "0");
    const port = new URL(receiver.url).port;
    const fleet = new Fleet({
      receivers: [receiver.url],
      devices: 20,
      bytesPerSecond: 2_000,
      rebootSeconds: 60,
      seed: 7,
      allowList: join(data, "devices"),
      journalPath: journal,
    });
    await fleet.prepare();
    const thumbprint = run("agent/main.ts", "identity", "--state", state).trim();
    run("receiver/main.ts", "allow", thumbprint, "--device", "this-machine", "--data", data);
    let grinder = await startGrinder(data);
    let agent: Program | undefined = unusable ? undefined : startAgent(state, receiver.url);
    const mark = `crash-test-${process.pid}-${Date.now()}:`;
    const writer = unusable ? undefined : new KmsgWriter(mark);
    await fleet.start();

    for (let round = 0; round < kills; round++) {
      await pause();
      await receiver.program.kill();
      receiver = await startReceiver(data, "--port", port);
      await pause();
      await grinder.kill();
      grinder = await startGrinder(data);
      await pause();
      await agent?.kill();
      if (agent) agent = startAgent(state, receiver.url);
    }

    writer?.stop();
    expect(await fleet.stop(60_000)).toBe(true);
    // It sends what it has when it is told to stop; the last kill may have been just now.
    await agent?.says(/shipping/);
    if (agent) expect(await agent.stop()).toBe(0);
    await receiver.program.stop();
    await grinder.stop();
    expect(await (await startGrinder(data, "--once")).exited()).toBe(0);

    const verdict = await verify({ data, journal, rules: join(root, "rules.ts") });
    console.log(formatVerdict(verdict));
    expect(verdict.ok).toBe(true);
    expect(verdict.totals.records).toBeGreaterThan(1000);
    expect(verdict.totals.events).toBeGreaterThan(10);
    if (writer) expect(await numbersStored(data, mark)).toEqual(sequence(writer.written));
    rmSync(data, { recursive: true });
  },
  600_000,
);

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50 + random() * 900));
}

function run(program: string, ...args: string[]): string {
  return execFileSync(bunPath, [program, ...args], { cwd: root, encoding: "utf8" });
}

function sequence(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

/** The numbers of the lines with this mark, by their seqs: each seq once, however often it is stored. */
async function numbersStored(data: string, mark: string): Promise<number[]> {
  const numbers = new Map<number, number>();
  for await (const { text } of readNew(new FolderStorage(data), new Map())) {
    for (const block of readBlocks(text ?? "")) {
      if (block.header.device !== "this-machine") continue;
      forEachRecord(block.text, (record) => {
        if (!record.text.startsWith(mark) || record.flag !== "-") return;
        numbers.set(record.seq, Number(record.text.slice(mark.length).split(" ")[1]));
      }, () => {});
    }
  }
  return [...numbers].sort(([a], [b]) => a - b).map(([, number]) => number);
}
