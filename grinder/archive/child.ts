/**
 * The archiver as a process beside a running grinder: started, started again when it ended by itself,
 * stopped. What it says goes where the grinder's words go. The grinder needs nothing of it, so nothing
 * that happens to it is an error here.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { parseDurationMs } from "../../shared/duration.ts";
import { limits } from "../../shared/limits.ts";
import { UsageError } from "../../shared/options.ts";
import type { OpenOptions } from "../../shared/storage/open.ts";

export interface ArchiverChildOptions {
  /** Of `deno task archive`. */
  args: readonly string[];
  report: (text: string) => void;
  /** For tests: what is started in its place. */
  command?: readonly string[];
  /** Before it is started again. */
  restartMs?: number;
}

/** What the archiver may do, as in deno.json. */
const permissions = ["read", "write", "env", "sys", "net", "ffi"].map((what) => `--allow-${what}`);

export class ArchiverChild implements AsyncDisposable {
  #child: ChildProcess | undefined;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(private readonly options: ArchiverChildOptions) {
    this.#start();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Waits for what it has begun: it ends between two runs; killed if that takes long. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    // A run that is cut off changes nothing.
    const kill = setTimeout(() => child.kill("SIGKILL"), limits.archiveStopMs);
    await exited;
    clearTimeout(kill);
  }

  #start(): void {
    const { args, report, command = denoCommand() } = this.options;
    const [program, ...first] = command as [string, ...string[]];
    let isOver = false;
    const over = (how: string) => {
      if (isOver || this.#stopped) return;
      isOver = true;
      const { restartMs = limits.archiveRestartMs } = this.options;
      report(`the archiver ended (${how}); it is started again in ${restartMs / 1000} s`);
      this.#restart = setTimeout(() => this.#start(), restartMs);
    };
    try {
      const all = [...first, ...args];
      const child = this.#child = spawn(program, all, { stdio: ["pipe", "inherit", "inherit"] });
      child.once("error", (error) => over(error.message));
      child.once("exit", (code, signal) => over(signal ?? `status ${code}`));
    } catch (error) {
      // It may not be started at all.
      over((error as Error).message);
    }
  }
}

/** What of a grinder's options is about it. */
export interface ArchiveOptions extends OpenOptions {
  data: string;
  archive: boolean;
  "keep-hot"?: string | undefined;
  keep?: string | undefined;
}

/** Undefined if nobody wants one. Throws `UsageError`. */
export function archiverOf(
  options: ArchiveOptions,
  report: (text: string) => void,
): ArchiverChild | undefined {
  const ages = ["keep-hot", "keep"] as const;
  const named = ages.filter((name) => options[name] !== undefined);
  // At once, not by the archiver again and again.
  for (const name of named) parseDurationMs(`--${name}`, options[name]!);
  if (options.archive) return new ArchiverChild({ args: argumentsOf(options), report });
  if (named.length === 0) return undefined;
  throw new UsageError(`Cannot use --${named[0]} because --archive must be given as well`);
}

function argumentsOf(options: ArchiveOptions): string[] {
  const names = ["data", "s3-endpoint", "s3-region", "keep-hot", "keep"] as const;
  const given = names.filter((name) => options[name] !== undefined);
  return [
    // Its input ends with the grinder, however that ends.
    ...["--every", String(limits.archiveEveryMs / 1000), "--until-stdin-ends"],
    ...given.flatMap((name) => [`--${name}`, options[name]!]),
  ];
}

function denoCommand(): string[] {
  const main = join(import.meta.dirname!, "main.ts");
  // By itself it could lower the priority of those threads only that it doesn't have yet.
  const nice = ["nice", "-n", String(limits.archivePriority)];
  return [...nice, process.execPath, "run", ...permissions, main];
}
