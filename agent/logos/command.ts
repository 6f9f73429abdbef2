/** `logmill-agent logos`: a program's lines from stdin, or from a command's output, into the kernel's log. */
import { type ChildProcess, spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { constants as osConstants } from "node:os";
import process from "node:process";
import type { Readable } from "node:stream";
import { isatty } from "node:tty";
import { programOptions } from "../../shared/options.ts";
import { burstBytesDefault, burstBytesMin, dayBytesDefault, dayBytesMin } from "./bucket.ts";
import { journaldProblem } from "./journald.ts";
import {
  devkmsgProblem,
  type KmsgPaths,
  kmsgPaths,
  KmsgWriteError,
  openKmsgWriter,
  type RecordWriter,
} from "./kmsg_writer.ts";
import { Logos, LogosError, parseProgram, tickMs } from "./logos.ts";
import { untilQuiet } from "./quiet.ts";

const usage = `
Usage: logmill-agent logos [--pmsg] NAME [BURST] [DAY] [-- CMD ARGS...]

Copies the lines on standard input, or what CMD prints, to the kernel's log as NAME's.
  BURST   bytes in 300 s (0: ${burstBytesDefault}; at least ${burstBytesMin})
  DAY     bytes in 24 h (0: ${dayBytesDefault}; at least ${dayBytesMin})
Beyond either, lines are dropped; the log says so. SIGHUP refills what may be logged, SIGUSR1 lifts
the limits, SIGUSR2 restores them. With LOGOS_DEBUG=1 the records go to standard output.`;

/** CMD has ended, but what it started may keep its output open: so long is waited for more. */
const outputMsMax = 1_000;

const say = (text: string) => console.error(`logmill-agent: ${text}`);
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/**
 * Runs until the input ends, or CMD, or SIGTERM comes. Returns the exit status: CMD's own (128 + N if
 * signal N ended it), else 0; 1 if /dev/kmsg can't be written, 2 if the words are off.
 */
export async function runLogos(
  argv: string[],
  paths: KmsgPaths = kmsgPaths,
  root = "/",
): Promise<number> {
  const { words, command, pmsg } = parseWords(argv);
  let writer: RecordWriter | undefined;
  try {
    const program = parseProgram(words);
    writer = openWriter(pmsg, paths, root);
    const { write } = writer;
    const logos = new Logos({ ...program, write, nowMs: () => performance.now() });
    return await runWith(logos, command);
  } catch (error) {
    if (!(error instanceof LogosError || error instanceof KmsgWriteError)) throw error;
    say(error.message);
    return error instanceof LogosError ? 2 : 1;
  } finally {
    writer?.close();
  }
}

function parseWords(argv: string[]): { words: string[]; command: string[]; pmsg: boolean } {
  const dashes = argv.indexOf("--");
  const own = dashes < 0 ? argv : argv.slice(0, dashes);
  const { values, positionals } = programOptions(usage, {
    pmsg: { type: "flag", unit: "", help: "copy the records to /dev/pmsg0, where there is one" },
  }, own);
  const command = dashes < 0 ? [] : argv.slice(dashes + 1);
  return { words: positionals, command, pmsg: values.pmsg };
}

function openWriter(pmsg: boolean, paths: KmsgPaths, root: string): RecordWriter {
  if (Number(process.env["LOGOS_DEBUG"]) >= 1) {
    return { write: writeStdout, close: () => {} };
  }
  const problems = [devkmsgProblem(paths), journaldProblem(root)];
  const writer = openKmsgWriter({ pmsg, paths });
  for (const problem of problems) if (problem !== undefined) say(problem);
  return writer;
}

function writeStdout(record: Uint8Array): void {
  for (let at = 0; at < record.length;) at += writeSync(1, record, at);
}

async function runWith(logos: Logos, command: string[]): Promise<number> {
  process.on("SIGHUP", () => logos.refill());
  process.on("SIGUSR1", () => logos.lift());
  process.on("SIGUSR2", () => logos.restore());
  const ticks = setInterval(() => logos.tick(), tickMs);
  try {
    return command.length > 0 ? await copyCommand(logos, command) : await copyStdin(logos);
  } finally {
    clearInterval(ticks);
    logos.end();
  }
}

async function copyStdin(logos: Logos): Promise<number> {
  const copying = new Copying(process.stdin, logos);
  // Ctrl-C in `CMD | logos` ends CMD as well, whose last words should be read.
  const stopped = signalled(["SIGTERM", "SIGINT"]);
  await Promise.race([copying.ended, stopped]);
  await copying.rest();
  return 0;
}

async function copyCommand(logos: Logos, command: string[]): Promise<number> {
  // One pipe for both outputs, which only a shell can make here: the order of the lines counts.
  const child = spawn("/bin/sh", ["-c", 'exec "$@" 2>&1', "sh", ...command], {
    stdio: ["inherit", "pipe", "inherit"],
  });
  for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) {
    // From a terminal, Ctrl-C and Ctrl-\ have reached CMD already.
    const isForwarded = signal === "SIGTERM" || !isatty(0);
    process.on(signal, () => isForwarded && child.kill(signal));
  }
  const copying = new Copying(child.stdout!, logos);
  const status = await exitStatus(child);
  await Promise.race([copying.ended, sleep(outputMsMax)]);
  await copying.rest();
  return status;
}

/** A stream's bytes on their way into a log. */
class Copying {
  readonly ended: Promise<void>;
  #hasEnded = false;
  #bytes = 0;

  constructor(private readonly stream: Readable, logos: Logos) {
    this.ended = new Promise((resolve) => {
      const end = () => {
        this.#hasEnded = true;
        resolve();
      };
      stream.on("end", end).on("close", end).on("error", end);
    });
    stream.on("data", (bytes: Uint8Array) => {
      this.#bytes += bytes.length;
      logos.push(bytes);
    });
  }

  /** Reads what was written before now, and no more. */
  async rest(): Promise<void> {
    if (!this.#hasEnded) await untilQuiet(() => this.#bytes, sleep);
    this.stream.removeAllListeners("data");
    this.stream.destroy();
  }
}

function exitStatus(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.on("error", (error) => {
      say(`Cannot run the command because there must be a /bin/sh: ${error.message}`);
      resolve(127);
    });
    child.on("exit", (code, signal) => {
      resolve(code ?? 128 + (signal ? osConstants.signals[signal] : 0));
    });
  });
}

function signalled(signals: NodeJS.Signals[]): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of signals) process.on(signal, () => resolve());
  });
}
