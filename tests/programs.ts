/** This project's programs as processes: started with their options, watched, stopped or killed. */
import { type ChildProcess, execFileSync, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import process from "node:process";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const denoPath = denoProgram();
export const bunPath = join(root, "node_modules/.bin/bun");
/** As in package.json's script. */
export const receiverEnv = { BUN_JSC_forceRAMSize: String(256 * 1024 * 1024) };
/** As in deno.json's task. */
export const grinderPermissions = [
  // A regex that backtracks for too long goes on in linear time.
  "--v8-flags=--enable-experimental-regexp-engine-on-excessive-backtracks",
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-net",
];

/**
 * Deno itself. What npm puts into .bin may be a script that starts it, and a script that is killed
 * leaves it running; on its first run that script puts the program beside itself.
 */
function denoProgram(): string {
  const program = join(root, "node_modules/deno/deno");
  const script = join(root, "node_modules/.bin/deno");
  if (!existsSync(program)) execFileSync(script, ["--version"]);
  return existsSync(program) ? program : script;
}

const running = new Set<ChildProcess>();
process.once("exit", killAll);

/** Kills what is left. A test runner may end without a word to those who listen for it: `afterAll(killAll)`. */
export function killAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

/** A running program. What it says on stderr is kept (the last 64 KiB) and can be waited for. */
export class Program {
  readonly #process: ChildProcess;
  readonly #exited: Promise<number | null>;
  #output = "";
  #waiting: Array<() => void> = [];

  constructor(readonly name: string, command: string, args: string[], env: NodeJS.ProcessEnv = {}) {
    // A group of its own: a Ctrl-C is for whoever started it, who stops things in order.
    const stdio: StdioOptions = ["ignore", "ignore", "pipe"];
    this.#process = spawn(command, args, {
      cwd: root,
      stdio,
      detached: true,
      env: { ...process.env, ...env },
    });
    running.add(this.#process);
    this.#exited = once(this.#process, "exit").then(([code]) => {
      running.delete(this.#process);
      return code;
    });
    this.#process.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#output = (this.#output + text).slice(-65536);
      this.#wakeAll();
    });
    void this.#exited.then(() => this.#wakeAll());
  }

  get output(): string {
    return this.#output;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** The first match in what it says. Throws if it ends without having said so. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#output);
      if (match) return match;
      if (!this.running) throw new Error(`${this.name} ended:\n${this.#output}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** SIGTERM, and wait: its exit status, null if it had to be killed. */
  stop(): Promise<number | null> {
    this.#process.kill("SIGTERM");
    return this.#exited;
  }

  /** SIGKILL: it gets no chance to tidy up. */
  kill(): Promise<number | null> {
    this.#process.kill("SIGKILL");
    return this.#exited;
  }

  exited(): Promise<number | null> {
    return this.#exited;
  }

  #wakeAll(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Resolves when it listens. */
export async function startReceiver(
  data: string,
  ...options: string[]
): Promise<{ program: Program; url: string }> {
  const args = ["receiver/main.ts", "--data", data, ...options];
  const program = new Program("receiver", bunPath, args, receiverEnv);
  const [, url] = await program.says(/listening on (\S+)/);
  return { program, url: url! };
}

export async function startGrinder(data: string, ...options: string[]): Promise<Program> {
  const args = ["run", ...grinderPermissions, "grinder/main.ts", "--data", data, ...options];
  const program = new Program("grinder", denoPath, args);
  await program.says(/\d+ rules, from/);
  return program;
}

export function startAgent(state: string, receiver: string, ...options: string[]): Program {
  const args = ["agent/main.ts", "--state", state, "--receiver", receiver, ...options];
  return new Program("agent", bunPath, args);
}
