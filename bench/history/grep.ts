/**
 * How fast grep is, beside ripgrep on the same data, in hot segments as a receiver leaves them: a literal
 * that is rare, one that is rarer, one that isn't there, and a common one; without the index, and with it,
 * with what that costs. The last line is JSON; results.txt has what it printed.
 *
 *     bun bench/history/grep.ts [--mib N] [--rounds N] [--corpus FILE]
 *
 * The counts must be equal, or there is no result. Rounds alternate; the best of each counts.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { indexPath } from "../../grinder/index/index_file.ts";
import { LiteralMatcher } from "../../grinder/match.ts";
import { type OptionSpec, programOptions } from "../../shared/options.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { root } from "../../tests/programs.ts";
import { benchRules } from "../grind/bench_rules.ts";
import { type Counted, missing, ripgrep, zstdcatRipgrep } from "../grind/contenders.ts";
import { fileLines, fleetLines, type Line } from "../grind/corpus.ts";
import { storeCorpus } from "../grind/stored_corpus.ts";
import { grep, index } from "./grep_search.ts";

export interface GrepOptions {
  mib: number;
  rounds: number;
  devices: number;
  corpus?: string | undefined;
  folder: string;
  /** Told what is printed. */
  say: (text: string) => void;
}

/** Of which one record in so many has it; 0: none. */
const literals = [
  { name: "rare", text: "needle in a haystack", every: 100_000 },
  { name: "rarer", text: "serial SN-4711-08X15", every: 1_000_000 },
  { name: "absent", text: "never said by anybody", every: 0 },
  // Of the simulator's own.
  { name: "common", text: "wan ok, lan ok", every: NaN },
] as const;
type Name = typeof literals[number]["name"];

interface Case {
  ours: Counted[];
  pair: Counted[];
  rg: Counted[];
}

/** MB of text a second, and what else is in the table of docs/history.md. Throws if counts differ. */
export async function measureGrep(options: GrepOptions): Promise<Record<string, number>> {
  const { folder, say } = options;
  const random = seededRandom(20261122);
  const textBytes = await storeCorpus({
    folder,
    textBytes: options.mib * 1024 * 1024,
    devices: options.devices,
    blockBytes: 2_500,
    random,
    nextLine: withLiterals(await logLines(options.corpus, random), random),
  });
  say(head(options, textBytes));
  const results: Record<string, number> = {};
  const rate = (runs: readonly Counted[]) => Math.round(textBytes / 1e6 / best(runs, "seconds"));
  const cost = (runs: readonly Counted[]) =>
    Math.round(100 * best(runs, "cpuSeconds") / (textBytes / 1e9)) / 100;

  const scan = await rounds(options, "rare", "without the index");
  results["grep_scan_mb_s"] = rate(scan.ours);
  results["grep_scan_cpu_s_per_gb"] = cost(scan.ours);
  const made = await index(folder);
  const indexBytes = statSync(indexPath(join(folder, "data"))).size;
  results["index_cpu_s_per_gb"] = cost([made]);
  results["index_bytes_per_gb"] = Math.round(indexBytes / (textBytes / 1e9));
  say(`index: ${cell(made)}; ${(indexBytes / 1e6).toFixed(1)} MB`);
  for (const { name } of literals) {
    const { ours, pair, rg } = await rounds(options, name, "with the index");
    const prefix = name === "rare" ? "" : `${name}_`;
    results[`${prefix}grep_mb_s`] = rate(ours);
    results[`${prefix}zstdcat_rg_pair_mb_s`] = rate(pair);
    results[`${prefix}rg_mb_s`] = rate(rg);
    results[`${prefix}grep_to_pair`] = Math.round(100 * rate(ours) / rate(pair)) / 100;
    results[`${prefix}grep_cpu_s_per_gb`] = cost(ours);
    results[`${prefix}zstdcat_rg_cpu_s_per_gb`] = cost(pair);
    results[`${prefix}records`] = ours[0]!.lines;
  }
  return results;
}

/** All three in turn. */
async function rounds(
  { folder, rounds, say }: GrepOptions,
  name: Name,
  how: string,
): Promise<Case> {
  const { text } = literals.find((one) => one.name === name)!;
  // What ripgrep reads its pattern from.
  writeFileSync(join(folder, "patterns"), `${text}\n`);
  const all: Case = { ours: [], pair: [], rg: [] };
  for (let round = 0; round < rounds; round++) {
    all.ours.push(await grep(folder, text));
    all.pair.push(await zstdcatRipgrep(folder));
    all.rg.push(await ripgrep(folder));
    const newest = Object.entries(all).map(([who, runs]) => [who, runs.at(-1)!] as const);
    say(`${name}, ${how}: ${newest.map(([who, run]) => `${who} ${cell(run)}`).join("; ")}`);
    if (new Set(newest.map(([, { lines }]) => lines)).size === 1) continue;
    throw new Error(`Cannot compare ${name} because all must find the same: they don't`);
  }
  return all;
}

async function logLines(corpus: string | undefined, random: () => number): Promise<() => Line> {
  if (corpus) return fileLines(corpus);
  const rules = await benchRules(join(root, "rules.ts"), 26);
  return fleetLines(random, new LiteralMatcher(rules), 0.011);
}

function withLiterals(nextLine: () => Line, random: () => number): () => Line {
  return () => {
    const line = nextLine();
    const found = literals.find(({ every }) => every > 0 && random() * every < 1);
    return found ? { ...line, text: `found ${found.text}, after ${line.text}` } : line;
  };
}

function head({ devices }: GrepOptions, textBytes: number): string {
  const machine = `${cpus().length} cores (${cpus()[0]!.model}), load ${loadavg()[0]!.toFixed(1)}`;
  return `Linux ${release()}, ${machine}, Bun ${process.versions.bun}; ` +
    `${(textBytes / 1e6).toFixed(0)} MB of text, ${devices} devices`;
}

function cell({ lines, seconds, cpuSeconds }: Counted): string {
  return `${seconds.toFixed(3)} s, ${cpuSeconds.toFixed(2)} CPU s, ${lines} records`;
}

function best(runs: readonly Counted[], key: "seconds" | "cpuSeconds"): number {
  return Math.min(...runs.map((run) => run[key]));
}

const specs = {
  mib: { type: "number", unit: "MiB", default: 1024, help: "of text" },
  rounds: { type: "number", unit: "rounds", default: 5, help: "of all three" },
  devices: { type: "number", unit: "devices", default: 1_000, help: "that sent it" },
  corpus: { type: "text", unit: "file", help: "records, or their texts, one a line" },
  folder: { type: "text", unit: "folder", default: tmpdir(), help: "on the disk to be measured" },
} satisfies Record<string, OptionSpec>;

async function main(): Promise<void> {
  const { values } = programOptions(
    "Usage: bun bench/history/grep.ts [OPTIONS]",
    specs,
    process.argv.slice(2),
  );
  const cannot = await missing();
  if (cannot) throw new Error(`Cannot compare: ${cannot}`);
  const folder = mkdtempSync(join(values.folder, "logmill-grep-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  console.log(`$ bun bench/history/grep.ts ${process.argv.slice(2).join(" ")}`.trimEnd());
  console.log(JSON.stringify(await measureGrep({ ...values, folder, say: console.log })));
}

if (import.meta.main) {
  await main().catch(({ message }: Error) => {
    console.error(message);
    process.exit(1);
  });
}
