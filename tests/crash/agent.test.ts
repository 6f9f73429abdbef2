import { afterAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Checkpoint } from "../../agent/checkpoint.ts";
import { type BlockHeader, readBlocks } from "../../shared/block.ts";
import { forEachRecord } from "../../shared/record.ts";
import { readNew } from "../../shared/segment_reader.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import { TemporaryFolder } from "../fixtures.ts";
import { seededRandom } from "../fleet/random.ts";
import { bunPath, killAll, root, startAgent, startReceiver } from "../programs.ts";
import { kmsgUnusable, KmsgWriter } from "./kmsg_writer.ts";

afterAll(killAll);

const kills = 50;
const unusable = kmsgUnusable();
if (unusable) console.log(`the agent isn't killed ${kills} times here: ${unusable}`);

interface Stored {
  header: BlockHeader;
  seqs: number[];
}

/** The blocks of the kernel's log in the order in which they came. */
async function storedBlocks(data: string): Promise<Stored[]> {
  const blocks: Stored[] = [];
  for await (const { text } of readNew(new FolderStorage(data), new Map())) {
    for (const { header, text: records } of readBlocks(text ?? "")) {
      const seqs: number[] = [];
      forEachRecord(records, ({ flag, seq }) => flag === "-" && seqs.push(seq), () => {});
      blocks.push({ header, seqs });
    }
  }
  return blocks;
}

test.skipIf(unusable !== undefined)(
  `an agent killed ${kills} times loses nothing, and sends nothing again that it knew acknowledged`,
  async () => {
    using folder = new TemporaryFolder();
    const data = folder.path;
    const state = join(data, "agent");
    const run = (program: string, ...args: string[]) =>
      execFileSync(bunPath, [program, ...args], { cwd: root, encoding: "utf8" }).trim();
    const receiver = await startReceiver(data, "--port", "0");
    const thumbprint = run("agent/main.ts", "identity", "--state", state);
    run("receiver/main.ts", "allow", thumbprint, "--device", "this-machine", "--data", data);
    const checkpoint = new Checkpoint(join(state, "checkpoint-kmsg.json"));
    const random = seededRandom(50);
    const writer = new KmsgWriter(`kill-test-${process.pid}-${Date.now()}:`);
    const starts: Array<{ atUs: number; acknowledged: number }> = [];

    for (let round = 0; round <= kills; round++) {
      const acknowledged = (await checkpoint.load())?.seq ?? -1;
      starts.push({ atUs: Date.now() * 1000, acknowledged });
      const agent = startAgent(state, receiver.url);
      await agent.says(/shipping/);
      // Acknowledgements come once a second: some kills are before the first, some after the second.
      await new Promise((resolve) => setTimeout(resolve, 50 + random() * 1_500));
      if (round < kills) await agent.kill();
      else {
        writer.stop();
        expect(await agent.stop()).toBe(0);
      }
    }
    await receiver.program.stop();

    const blocks = await storedBlocks(data);
    const numbers = new Set(blocks.flatMap(({ seqs }) => seqs));
    const last = Math.max(...numbers);
    expect(numbers.size).toBe(last + 1 - Math.min(...numbers));
    expect((await checkpoint.load())!.seq).toBe(last);
    expect(starts.at(-1)!.acknowledged).toBeGreaterThan(0);
    for (const { header, seqs } of blocks) {
      // What is stored in the millisecond of a start may still be from before it.
      const start = starts.findLast(({ atUs }) => atUs + 1_000 < header.recvUs);
      for (const seq of seqs) expect(seq).toBeGreaterThan(start?.acknowledged ?? -1);
    }
  },
  600_000,
);
