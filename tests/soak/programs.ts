/** The programs of a soak: how each is started, which of them is killed next, and how they come to an end. */
import { spawn } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { bunPath, denoPath, grinderPermissions, Program, receiverEnv } from "../programs.ts";
import { scaledLimits } from "./scaled_tree.ts";
import type { ArchiverCounts } from "./soak.ts";
import { Victim } from "./victim.ts";

export interface ProgramsOptions {
  data: string;
  /** Trees (scaled_tree.ts) whose archiver merges hours, and days. */
  hours: string;
  days: string;
  random: () => number;
  /** So long the archiver stays away when it is killed for the first time. */
  awaySeconds: number;
}

const receiverNames = ["r1", "r2"];
/** Longer than a segment waits for an archiver that is killed now and then. */
const keepMs = 3 * scaledLimits.keepMsMin;
/** Some MB are archived at a time: in little memory, into few files. */
const archiverOptions = ["--partitions", "4", "--memory", "128"];
/**
 * Of three lives of the archiver one merges days in the place of hours, another one deletes nothing. Of
 * three lives of the grinder one has an archiver of its own: then one of the two must wait.
 */
const lifeKinds = 3;
const mustWait = /one archiver must run at a time/;

export class Programs {
  readonly urls: string[] = [];
  readonly #receivers: Victim[];
  readonly #grinder: Victim;
  readonly #archiver: Victim;
  #archiverLives = 0;
  #grinderLives = 0;
  /** Who is killed before anybody is killed again. */
  #deck: Victim[] = [];

  constructor(private readonly options: ProgramsOptions) {
    this.#receivers = receiverNames.map((name, i) =>
      new Victim(name, () => this.#receiver(name, i))
    );
    this.#grinder = new Victim("grinder", () => this.#grindOn());
    this.#archiver = new Victim("archiver", () => Promise.resolve(this.#archiveOn()));
  }

  async startReceivers(): Promise<void> {
    for (const receiver of this.#receivers) await receiver.start();
  }

  async startRest(): Promise<void> {
    await this.#grinder.start();
    await this.#archiver.start();
  }

  /** By chance, each as often as the others. */
  async killOne(): Promise<void> {
    if (this.#deck.length === 0) this.#deck = this.#all.filter(({ isAway }) => !isAway);
    const [victim] = this.#deck.splice(Math.floor(this.options.random() * this.#deck.length), 1);
    const goes = victim === this.#archiver && victim.kills === 0;
    await victim!.kill(goes ? this.options.awaySeconds * 1000 : 0);
  }

  kills(): Record<string, number> {
    return Object.fromEntries(this.#all.map(({ name, kills }) => [name, kills]));
  }

  fell(): string[] {
    return this.#all.flatMap(({ fell }) => fell).filter((said) => !mustWait.test(said));
  }

  async stopReceivers(): Promise<string[]> {
    return await stopped(this.#receivers);
  }

  /** All that is stored is archived and ground. What went wrong with that is returned. */
  async drain(): Promise<string[]> {
    const problems = await stopped([this.#archiver, this.#grinder]);
    const archiver = this.#archive(this.options.hours);
    if (await archiver.exited() !== 0) problems.push(`the last archiver: ${archiver.output}`);
    const grinder = await this.#grind("--once");
    if (await grinder.exited() !== 0) problems.push(`the last grinder: ${grinder.output}`);
    return problems;
  }

  /** What is archived is deleted by the archiver; and by a receiver, what an archiver leaves there. */
  async deleteAll(): Promise<string[]> {
    const { data, hours } = this.options;
    const archiver = this.#archive(hours, "--delete-hot");
    if (await archiver.exited() !== 0) return [`the last archiver: ${archiver.output}`];
    const receiver = await this.#receiver("r3", 0, scaledLimits.keepMsMin);
    const endMs = performance.now() + 10 * scaledLimits.retentionPassMs;
    while (hotSegments(data).length > 0 && performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    await receiver.stop();
    const left = hotSegments(data);
    return left.length === 0 ? [] : [`${left.length} segments aren't deleted: ${left[0]}`];
  }

  archived(): ArchiverCounts {
    const rounds = this.#archiver.all(/^archive: (\d+) segments, (\d+) records/gm);
    const sum = (found: number[][], i = 0) => found.reduce((all, one) => all + one[i]!, 0);
    return {
      rounds: rounds.length,
      segments: sum(rounds),
      records: sum(rounds, 1),
      merges: sum(this.#archiver.all(/^archive: .*; (\d+) merges/gm)),
      deletedSegments: sum(this.#archiver.all(/^archive: .*; (\d+) hot segments deleted/gm)),
    };
  }

  get #all(): Victim[] {
    return [...this.#receivers, this.#grinder, this.#archiver];
  }

  async #receiver(name: string, i: number, keep = keepMs): Promise<Program> {
    const { data, hours } = this.options;
    const port = new URL(this.urls[i] ?? "http://localhost:0").port || "0";
    const args = ["--data", data, "--name", name, "--port", port, "--keep", `${keep / 1000}s`];
    const path = join(hours, "receiver/main.ts");
    const program = new Program(name, bunPath, [path, ...args], receiverEnv);
    const [, url] = await program.says(/listening on (\S+)/);
    this.urls[i] = url!;
    return program;
  }

  #grindOn(): Promise<Program> {
    const archives = this.#grinderLives++ % lifeKinds === 1;
    return this.#grind(...(archives ? ["--archive", "--keep-hot", "1s"] : []));
  }

  async #grind(...options: string[]): Promise<Program> {
    const { data, hours } = this.options;
    const args = ["--data", data, "--rules", join(hours, "rules.ts"), ...options];
    const permissions = [...grinderPermissions, "--allow-run"];
    const program = deno(hours, "grinder/main.ts", permissions, args);
    await program.says(/\d+ rules, from/);
    return program;
  }

  #archiveOn(): Program {
    const life = this.#archiverLives++ % lifeKinds;
    const tree = life === 1 ? this.options.days : this.options.hours;
    return this.#archive(tree, "--every", "1", ...(life === 2 ? [] : ["--delete-hot"]));
  }

  #archive(tree: string, ...options: string[]): Program {
    const args = ["--data", this.options.data, ...archiverOptions, ...options];
    const permissions = [...grinderPermissions.slice(1), "--allow-ffi"];
    return deno(tree, "grinder/archive/main.ts", permissions, args);
  }
}

/** A program of a tree, on Deno. */
export function deno(tree: string, path: string, permissions: string[], args: string[]): Program {
  const config = ["--config", join(tree, "deno.json")];
  const words = ["run", ...config, ...permissions, join(tree, path), ...args];
  return new Program(path, denoPath, words);
}

/** What it printed. Throws if it failed. */
export function outputOf(tree: string, path: string, args: string[]): Promise<string> {
  const config = ["--config", join(tree, "deno.json")];
  const words = ["run", "-A", ...config, join(tree, path), ...args];
  return new Promise((resolve, reject) => {
    const child = spawn(denoPath, words, { stdio: ["ignore", "pipe", "pipe"] });
    let [out, said] = ["", ""];
    child.stdout.on("data", (text) => out += text);
    child.stderr.on("data", (text) => said += text);
    child.on("close", (status) => {
      if (status === 0) resolve(out);
      else reject(new Error(`${path} ended with ${status}: ${said}`));
    });
  });
}

/** Those that didn't end well, in words. */
async function stopped(victims: readonly Victim[]): Promise<string[]> {
  const statuses = await Promise.all(victims.map((victim) => victim.stop()));
  return victims.flatMap(({ name }, i) => statuses[i] === 0 ? [] : [`${name}: ${statuses[i]}`]);
}

/** But for those with nothing in them: a receiver that is killed before its first commit leaves one. */
function hotSegments(data: string): string[] {
  const folder = join(data, "segments");
  const names = readdirSync(folder, { recursive: true }) as string[];
  return names.filter((name) => name.endsWith(".zst") && bytesOf(join(folder, name)) > 0);
}

function bytesOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
