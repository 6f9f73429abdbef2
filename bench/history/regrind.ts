/**
 * Grinding history again, from the archive and from hot segments, with the same rules: stores text,
 * archives it, grinds both, each in a process of its own as an operator does, and compares what came out.
 * Beside them ripgrep with the same patterns on the plain text. Prints last one JSON object. Needs `rg`.
 *
 *     bun bench/history/regrind.ts [--text 1000] [--devices 1000] [--block 2500] [--rounds 5] [--rules FILE] [--count 26]
 */
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { denoPath, grinderPermissions, root } from "../../tests/programs.ts";
import { benchRules, writeRules } from "../grind/bench_rules.ts";
import { makeStore } from "./archive_store.ts";
import { compareGround } from "./regrind_compare.ts";

export interface RegrindOptions {
  /** MB of log text to make. */
  text: number;
  devices: number;
  /** Bytes of text under a header. */
  block: number;
  rounds: number;
  rules: string;
  /** So many of its rules. */
  count: number;
  workers?: string | undefined;
  /** Folder for the store. */
  dir: string;
}

export interface Regrind extends Record<string, number> {
  regrind_mb_s: number;
  regrind_hot_mb_s: number;
  regrind_cpu_s_per_gb: number;
  regrind_hot_cpu_s_per_gb: number;
  regrind_rg_mb_s: number;
  regrind_events: number;
}

interface Ran {
  seconds: number;
  cpuSeconds: number;
}

/** Throws if what comes of the archive isn't what comes of the segments. */
export async function regrind(options: RegrindOptions): Promise<Regrind> {
  mkdirSync(options.dir, { recursive: true });
  const startUs = Date.UTC(2026, 10, 22, 10) * 1000;
  const { devices, block: blockBytes } = options;
  const corpus = { devices, blockBytes, startUs, textBytes: options.text * 1e6 };
  const { data, text, textBytes } = await makeStore(options.dir, corpus);
  writeRules(options.dir, await benchRules(options.rules, options.count));
  await run(denoPath, "run", "-A", "--no-check", "grinder/archive/main.ts", "--data", data);
  // The same segments, without the archive.
  const hotData = join(options.dir, "hot");
  rmSync(hotData, { recursive: true, force: true });
  mkdirSync(hotData);
  symlinkSync(join(data, "segments"), join(hotData, "segments"));
  const runs = { archive: [] as Ran[], hot: [] as Ran[], rg: [] as Ran[] };
  let events = 0;
  for (let round = 0; round < options.rounds; round++) {
    runs.archive.push(await grind(options, data, "out-archive"));
    runs.hot.push(await grind(options, hotData, "out-hot"));
    runs.rg.push(
      await run("rg", "--no-unicode", "--count", "-f", join(options.dir, "patterns"), text),
    );
    events = compareGround(join(options.dir, "out-archive"), join(options.dir, "out-hot"));
    const said = Object.entries(runs).map(([name, all]) => `${name} ${shown(all.at(-1)!)}`);
    console.log(`round ${round + 1}: ${said.join("; ")}; ${events} events each`);
  }
  const rate = (all: Ran[]) => round(textBytes / 1e6 / median(all.map(({ seconds }) => seconds)));
  const cost = (all: Ran[]) =>
    round(median(all.map(({ cpuSeconds }) => cpuSeconds)) / (textBytes / 1e9), 100);
  return {
    regrind_mb_s: rate(runs.archive),
    regrind_hot_mb_s: rate(runs.hot),
    regrind_cpu_s_per_gb: cost(runs.archive),
    regrind_hot_cpu_s_per_gb: cost(runs.hot),
    regrind_rg_mb_s: rate(runs.rg),
    regrind_events: events,
  };
}

function grind({ dir, workers }: RegrindOptions, data: string, name: string): Promise<Ran> {
  const out = join(dir, name);
  rmSync(out, { recursive: true, force: true });
  const range = ["--since", "2026-11-22T09:00Z", "--until", "2026-11-24T00:00Z"];
  const more = workers === undefined ? [] : ["--workers", workers];
  const options = [
    "--data",
    data,
    "--out",
    out,
    "--rules",
    join(dir, "rules.ts"),
    ...range,
    ...more,
  ];
  return run(denoPath, "run", ...grinderPermissions, "grinder/main.ts", ...options);
}

/** From its start to its end. Throws if it fails. */
async function run(...command: string[]): Promise<Ran> {
  const startMs = performance.now();
  const child = Bun.spawn(command, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const said = await new Response(child.stderr).text() + await new Response(child.stdout).text();
  if (await child.exited !== 0) throw new Error(`${command.join(" ")} failed:\n${said}`);
  const seconds = (performance.now() - startMs) / 1000;
  return { seconds, cpuSeconds: Number(child.resourceUsage()!.cpuTime.total) / 1e6 };
}

function shown({ seconds, cpuSeconds }: Ran): string {
  return `${seconds.toFixed(2)} s (${cpuSeconds.toFixed(2)} CPU s)`;
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}

function round(value: number, to = 1): number {
  return Math.round(value * to) / to;
}

if (import.meta.main) {
  const { values } = programOptions("Usage: bun bench/history/regrind.ts [OPTIONS]", {
    text: { type: "number", unit: "MB", default: 1000, help: "log text to make" },
    devices: { type: "number", unit: "devices", default: 1000, help: "that say it" },
    block: { type: "number", unit: "bytes", default: 2500, help: "of text under a header" },
    rounds: { type: "number", unit: "times", default: 5, help: "each, in turn; medians count" },
    rules: {
      type: "text",
      unit: "file",
      default: join(root, "rules.ts"),
      help: "the first of these",
    },
    count: { type: "number", unit: "rules", default: 26, help: "so many" },
    workers: { type: "text", unit: "threads", help: "the grinder's (default: its own)" },
    dir: {
      type: "text",
      unit: "folder",
      default: join(tmpdir(), "logmill-bench-regrind"),
      help: "for the store",
    },
  }, process.argv.slice(2));
  const { text, devices, block, count } = values;
  console.log(
    `${text} MB of simulated text, ${devices} devices, blocks of ${block} bytes, ${count} rules; ` +
      `${cpus().length} x ${cpus()[0]?.model}, load ${loadavg()[0]!.toFixed(1)}`,
  );
  console.log(JSON.stringify(await regrind(values)));
}
