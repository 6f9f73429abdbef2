/**
 * How fast grep is, beside ripgrep on the same data: a rare literal in segments as a receiver leaves them.
 * The last line is JSON.
 *
 *     bun bench/history/grep.ts [--mib N] [--regex REGEX] [--corpus FILE]
 *
 * The counts must be equal, or there is no result. Rounds alternate; medians count.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { LiteralMatcher } from "../../grinder/match.ts";
import { programOptions } from "../../shared/options.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { root } from "../../tests/programs.ts";
import { benchRules } from "../grind/bench_rules.ts";
import { type Counted, missing, ripgrep, zstdcatRipgrep } from "../grind/contenders.ts";
import { fileLines, fleetLines, type Line } from "../grind/corpus.ts";
import { storeCorpus } from "../grind/stored_corpus.ts";
import { grep } from "./grep_search.ts";

const { values } = programOptions("Usage: bun bench/history/grep.ts [OPTIONS]", {
  mib: { type: "number", unit: "MiB", default: 1024, help: "of text" },
  rounds: { type: "number", unit: "rounds", default: 5, help: "of all three" },
  devices: { type: "number", unit: "devices", default: 1_000, help: "that sent it" },
  regex: {
    type: "text",
    unit: "regex",
    default: "needle in a haystack",
    help: "what is looked for",
  },
  every: {
    type: "number",
    unit: "records",
    default: 100_000,
    help: "one in about so many says 'needle in a haystack'",
  },
  corpus: { type: "text", unit: "file", help: "records, or their texts, one a line" },
  folder: { type: "text", unit: "folder", default: tmpdir(), help: "on the disk to be measured" },
}, process.argv.slice(2));

const cannot = await missing();
if (cannot) {
  console.error(`Cannot compare: ${cannot}`);
  process.exit(1);
}
const folder = mkdtempSync(join(values.folder, "logmill-grep-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const random = seededRandom(20261122);
const textBytes = await storeCorpus({
  folder,
  textBytes: values.mib * 1024 * 1024,
  devices: values.devices,
  blockBytes: 2_500,
  random,
  nextLine: withNeedles(await logLines()),
});
// What ripgrep reads its pattern from.
writeFileSync(join(folder, "patterns"), `${values.regex}\n`);
console.log(
  `Linux ${release()}, ${cpus().length} cores (${cpus()[0]!.model}), load ${
    loadavg()[0]!.toFixed(1)
  }, ` +
    `Bun ${process.versions.bun}; ${
      (textBytes / 1e6).toFixed(0)
    } MB of text, ${values.devices} devices`,
);

const all: Record<"grep" | "pair" | "rg", Counted[]> = { grep: [], pair: [], rg: [] };
for (let round = 0; round < values.rounds; round++) {
  all.grep.push(await grep(folder, values.regex));
  all.pair.push(await zstdcatRipgrep(folder));
  all.rg.push(await ripgrep(folder));
  const cells = Object.entries(all).map(([name, runs]) => {
    const { lines, seconds, cpuSeconds } = runs.at(-1)!;
    return `${name} ${seconds.toFixed(3)} s, ${cpuSeconds.toFixed(2)} CPU s, ${lines} records`;
  });
  console.log(`round ${round + 1}: ${cells.join("; ")}`);
  const counts = new Set(Object.values(all).map((runs) => runs.at(-1)!.lines));
  if (counts.size > 1) {
    console.error("Cannot compare because the same must be found by all: it isn't");
    process.exit(1);
  }
}

const [ours, pair] = [rate(all.grep), rate(all.pair)];
console.log(JSON.stringify({
  grep_mb_s: ours,
  zstdcat_rg_pair_mb_s: pair,
  rg_plain_mb_s: rate(all.rg),
  grep_to_pair: Math.round(100 * ours / pair) / 100,
  grep_cpu_s_per_gb: cost(all.grep),
  zstdcat_rg_cpu_s_per_gb: cost(all.pair),
  records: all.grep[0]!.lines,
}));

async function logLines(): Promise<() => Line> {
  if (values.corpus) return fileLines(values.corpus);
  const rules = await benchRules(join(root, "rules.ts"), 26);
  return fleetLines(random, new LiteralMatcher(rules), 0.011);
}

function withNeedles(nextLine: () => Line): () => Line {
  return () => {
    const line = nextLine();
    if (random() * values.every >= 1) return line;
    return { ...line, text: `found a needle in a haystack, after ${line.text}` };
  };
}

function rate(runs: readonly Counted[]): number {
  return Math.round(textBytes / 1e6 / median(runs.map(({ seconds }) => seconds)));
}

function cost(runs: readonly Counted[]): number {
  const seconds = median(runs.map(({ cpuSeconds }) => cpuSeconds));
  return Math.round(100 * seconds / (textBytes / 1e9)) / 100;
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}
