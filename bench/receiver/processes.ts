/**
 * The receiver and the generators of load as processes: started, watched through /proc, and ended by
 * their ids.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { bunPath, receiverEnv, root } from "../../tests/programs.ts";

const running = new Set<ChildProcess>();
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** USER_HZ: what the kernel shows to programs, whatever it counts in itself. */
const tickMs = 10;
const sampleMs = 250;

function start(args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(bunPath, args, {
    cwd: root,
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

export interface Sample {
  atMs: number;
  rssMiB: number;
  cpuMs: number;
}

/** A receiver that is looked at four times a second. */
export class ReceiverProcess {
  readonly samples: Sample[] = [];
  #said = "";
  readonly #timer: ReturnType<typeof setInterval>;

  private constructor(
    readonly child: ChildProcess,
    readonly data: string,
  ) {
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-65536);
    });
    child.stdout!.resume();
    this.#timer = setInterval(() => this.samples.push(this.sample()), sampleMs);
  }

  static async start(data: string, ...options: string[]): Promise<ReceiverProcess> {
    const program = ["receiver/main.ts", "--data", data, "--port", "0", "--name", "bench"];
    const receiver = new ReceiverProcess(start([...program, ...options], receiverEnv), data);
    while (!receiver.url) {
      if (!receiver.running) throw new Error(`the receiver ended:\n${receiver.said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return receiver;
  }

  get url(): string | undefined {
    return /listening on (http[^\s"]+)/.exec(this.#said)?.[1];
  }

  get said(): string {
    return this.#said;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Of one that has died: what it was last. */
  sample(): Sample {
    const atMs = performance.now();
    try {
      return { atMs, rssMiB: this.#statusKiB("VmRSS") / 1024, cpuMs: this.#cpuMs() };
    } catch {
      return { ...(this.samples.at(-1) ?? { rssMiB: NaN, cpuMs: NaN }), atMs };
    }
  }

  /** The kernel's own high-water mark: between two samples there may have been more. */
  get rssPeakMiB(): number {
    return this.#statusKiB("VmHWM") / 1024;
  }

  /** Its exit status. */
  async stop(): Promise<number | null> {
    clearInterval(this.#timer);
    if (!this.running) return this.child.exitCode;
    this.child.kill("SIGTERM");
    const [code] = await once(this.child, "exit");
    return code;
  }

  /** All threads, those that ended as well. */
  #cpuMs(): number {
    const stat = readFileSync(`/proc/${this.child.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * tickMs;
  }

  #statusKiB(key: string): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, "utf8");
    return Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(status)![1]);
  }
}

/** What a generator prints (generator.ts). */
// deno-lint-ignore no-explicit-any
export type Said = { event: string } & Record<string, any>;

/** A process that makes load. `ready` resolves when its devices are on its allow-list. */
export class GeneratorProcess {
  readonly #child: ChildProcess;
  readonly #said: Said[] = [];
  #wake = () => {};

  constructor(
    script: string,
    options: Record<string, string | number>,
    told: (said: Said) => void = () => {},
  ) {
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    this.#child = start([`bench/receiver/${script}`, ...args]);
    let complaint = "";
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(-4096);
    });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      const said = JSON.parse(line) as Said;
      this.#said.push(said);
      told(said);
      this.#wake();
    }).on("close", () => {
      this.#said.push({ event: "ended", complaint });
      this.#wake();
    });
  }

  begin(url: string): void {
    this.#child.stdin!.write(`${url}\n`);
  }

  /** The first event of that name. Throws if the generator ends without it. */
  async event(name: string): Promise<Said> {
    for (let i = 0;; i++) {
      while (i >= this.#said.length) await new Promise<void>((resolve) => this.#wake = resolve);
      const said = this.#said[i]!;
      if (said.event === name) return said;
      if (said.event === "ended") throw new Error(`the generator ended: ${said["complaint"]}`);
    }
  }
}
