/** The grinder as a running process: what it has used so far, what it said, and its end. */
import { readFileSync } from "node:fs";
import process from "node:process";
import { denoPath, grinderPermissions, root } from "../../tests/programs.ts";

export interface GrinderStart {
  /** As on its command line. */
  options: readonly string[];
  /** The only core it may use. */
  core?: number;
  /** A module that is run before it. */
  preload?: string;
}

/** The kernel counts a process's time in so many parts of a second, on every Linux. */
const ticksPerSecond = 100;

export class GrinderProcess {
  readonly #child;
  readonly #said: Promise<void>;
  #output = "";

  private constructor({ options, core, preload }: GrinderStart) {
    const pinned = core === undefined ? [] : ["taskset", "-c", String(core)];
    const before = preload === undefined ? [] : ["--preload", preload];
    const program = ["run", ...before, ...grinderPermissions, "grinder/main.ts"];
    this.#child = Bun.spawn([...pinned, denoPath, ...program, ...options], {
      cwd: root,
      stdio: ["ignore", "ignore", "pipe"],
    });
    process.once("exit", () => this.#child.kill("SIGKILL"));
    this.#said = this.#listen();
  }

  /** Resolves when it begins to read. */
  static async start(options: GrinderStart): Promise<GrinderProcess> {
    const grinder = new GrinderProcess(options);
    while (!/\d+ rules, from/.test(grinder.#output)) {
      if (grinder.#child.exitCode !== null) throw new Error(`it ended:\n${grinder.#output}`);
      await Bun.sleep(5);
    }
    return grinder;
  }

  get output(): string {
    return this.#output;
  }

  /** User and system time of all its threads. */
  get cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  }

  /** The most that was resident so far. */
  get rssMiB(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "latin1");
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1024;
  }

  /** SIGTERM. Throws if it doesn't end well. */
  stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    return this.exited();
  }

  /** Throws if it didn't end well. */
  async exited(): Promise<void> {
    const status = await this.#child.exited;
    await this.#said;
    if (status !== 0) throw new Error(`the grinder ended with ${status}:\n${this.#output}`);
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stderr) this.#output += decoder.decode(chunk);
  }
}
