/**
 * A hard reset, as far as a process can tell: the agent is killed, what was in tmpfs is gone, the boot
 * has another id and its ring starts over. Only what /dev/kmsg and the boot id say is made up, in a mount
 * namespace of the agent's own.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "bun:test";
import { readBlocks } from "../shared/block.ts";
import { forEachRecord, parseGap } from "../shared/record.ts";
import { readNew } from "../shared/segment_reader.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { TemporaryFolder } from "../tests/fixtures.ts";
import { bunPath, killAll, Program, root, startReceiver } from "../tests/programs.ts";
import { seqs } from "./spool_rig.ts";

afterAll(killAll);

const mounts = "mount --bind $0 /proc/sys/kernel/random/boot_id && mount --bind $1 /dev/kmsg";
const unusable = namespaceProblem();
if (unusable) console.log(`no reset is played here: ${unusable}`);

function namespaceProblem(): string | undefined {
  using folder = new TemporaryFolder();
  const file = join(folder.path, "file");
  writeFileSync(file, "");
  const { status, stderr, error } = spawnSync("unshare", ["-m", "sh", "-c", mounts, file, file]);
  return status === 0 ? undefined : `Cannot make mount namespaces: ${error?.message ?? stderr}`;
}

/** One machine: a disk, memory that survives a reset, memory that doesn't, and a ring for each boot. */
class Machine {
  readonly data: string;
  readonly #state: string;
  readonly #run: string;
  readonly #spool: string;
  readonly #id: string;
  #receiver: { program: Program; url: string } | undefined;
  #url = "";
  #agent: Program | undefined;
  #written = 0;
  boot = "";

  constructor(private readonly folder: string) {
    this.data = join(folder, "data");
    this.#state = join(folder, "state");
    this.#run = join(folder, "run");
    this.#spool = join(folder, "pmem");
    this.#id = join(folder, "boot_id");
  }

  async setUp(): Promise<void> {
    await this.online();
    const run = (program: string, ...args: string[]) =>
      execFileSync(bunPath, [program, ...args], { cwd: root, encoding: "utf8" }).trim();
    const thumbprint = run("agent/main.ts", "identity", "--state", this.#state);
    run("receiver/main.ts", "allow", thumbprint, "--device", "router1", "--data", this.data);
  }

  async online(): Promise<void> {
    const port = this.#url === "" ? "0" : new URL(this.#url).port;
    this.#receiver = await startReceiver(this.data, "--port", port);
    this.#url = this.#receiver.url;
  }

  async offline(): Promise<void> {
    await this.#receiver!.program.stop();
  }

  /** The power-on self-test has run: a new ring. */
  powerOn(boot: string): void {
    this.boot = boot;
    this.#written = 0;
    writeFileSync(this.#id, `${boot}\n`);
    writeFileSync(this.#ring, "");
  }

  log(count: number): void {
    const lines = Array.from({ length: count }, () => {
      const seq = this.#written++;
      return `14,${seq},${seq * 1_000},-;app: ${this.boot} says ${seq}.\n`;
    });
    appendFileSync(this.#ring, lines.join(""));
  }

  async startAgent(): Promise<void> {
    const options = ["--state", this.#state, "--run", this.#run, "--receiver", this.#url];
    const spool = ["--spool", this.#spool, "--spool-eager", "--spool-bytes", "2000000"];
    const agent = [bunPath, "agent/main.ts", ...options, ...spool, "--pstore", this.folder];
    const words = ["-m", "sh", "-c", `${mounts} && shift && exec "$@"`, this.#id, this.#ring];
    this.#agent = new Program("agent", "unshare", [...words, ...agent]);
    await this.#agent.says(/shipping/);
  }

  killAgent(): Promise<number | null> {
    return this.#agent!.kill();
  }

  async reset(): Promise<void> {
    await this.killAgent();
    rmSync(this.#run, { recursive: true });
  }

  async stopAgent(): Promise<void> {
    expect(await this.#agent!.stop()).toBe(0);
  }

  /** The newest line is in the spool. */
  async spooled(): Promise<void> {
    const folder = join(this.#spool, "kmsg");
    const text = () =>
      readdirSync(folder).map((name) => readFileSync(join(folder, name), "latin1")).join("");
    await this.until(() => text().includes(`${this.boot} says ${this.#written - 1}.`));
  }

  /** Ordinary records, and where a gap begins, in the order in which they were stored. */
  async stored(): Promise<Array<{ boot: string; seq: number } | string>> {
    const found: Array<{ boot: string; seq: number } | string> = [];
    for await (const { text } of readNew(new FolderStorage(this.data), new Map())) {
      for (const { header, text: records } of readBlocks(text ?? "")) {
        forEachRecord(records, (record) => {
          const { flag, seq, text } = record;
          if (flag === "s") return;
          expect([header.source, header.stream]).toEqual(["kmsg", header.boot]);
          const gap = parseGap(record);
          if (gap) return void found.push(`${header.boot}: ${gap.cause} from ${gap.first}`);
          expect(text).toBe(`app: ${header.boot} says ${seq}.`);
          found.push({ boot: header.boot, seq });
        }, () => {});
      }
    }
    return found;
  }

  async until(holds: () => boolean | Promise<boolean>): Promise<void> {
    const endMs = performance.now() + 20_000;
    while (!await holds()) {
      if (performance.now() > endMs) throw new Error(`it didn't come true: ${this.#said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  get #said(): string {
    return `${this.#agent!.output}${this.#receiver!.program.output}`;
  }

  get #ring(): string {
    return join(this.folder, `ring-${this.boot}`);
  }
}

const of = (boot: string, from: number, to: number) => seqs(from, to).map((seq) => ({ boot, seq }));

test.skipIf(unusable !== undefined)(
  "an agent with an eager spool sends after a hard reset what the boot that died hadn't sent, once",
  async () => {
    using folder = new TemporaryFolder();
    const machine = new Machine(folder.path);
    await machine.setUp();
    machine.powerOn("b1");
    machine.log(10);
    await machine.startAgent();
    await machine.until(async () => (await machine.stored()).length === 10);
    await machine.offline();
    machine.log(20);
    await machine.spooled();
    await machine.reset();
    // Another one, while still offline.
    machine.powerOn("b2");
    machine.log(7);
    await machine.startAgent();
    await machine.spooled();
    await machine.reset();

    machine.powerOn("b3");
    machine.log(5);
    await machine.online();
    await machine.startAgent();
    await machine.until(async () => (await machine.stored()).length >= 43);
    await machine.stopAgent();
    await machine.offline();
    // Nobody knows what b2 said behind that; nothing of what is stored is called lost.
    const lost = "b2: lost from 7";
    const expected = [...of("b1", 0, 30), ...of("b2", 0, 7), lost, ...of("b3", 0, 5)];
    expect(await machine.stored()).toEqual(expected);
  },
  120_000,
);

test.skipIf(unusable !== undefined)(
  "an agent with an eager spool that is killed, and started in the same boot, sends nothing twice",
  async () => {
    using folder = new TemporaryFolder();
    const machine = new Machine(folder.path);
    await machine.setUp();
    await machine.offline();
    machine.powerOn("b1");
    for (let n = 0; n < 3; n++) {
      machine.log(10);
      await machine.startAgent();
      await machine.spooled();
      machine.log(3);
      await machine.spooled();
      await machine.killAgent();
    }
    await machine.online();
    await machine.startAgent();
    machine.log(2);
    await machine.until(async () => (await machine.stored()).length >= 41);
    await machine.stopAgent();
    await machine.offline();
    expect(await machine.stored()).toEqual(of("b1", 0, 41));
  },
  120_000,
);

test("an agent takes --spool-eager only with a folder", () => {
  using folder = new TemporaryFolder();
  const run = (...args: string[]) =>
    spawnSync(bunPath, ["agent/main.ts", ...args, "--state", folder.path], {
      cwd: root,
      encoding: "utf8",
    });
  run("identity");
  const { status, stderr } = run("--spool-eager", "--source", "none");
  expect([status, stderr]).toEqual([
    1,
    "logmill-agent: Cannot use --spool-eager because it needs a folder: give --spool FOLDER\n",
  ]);
});
