/**
 * How fast the grinder is, beside ripgrep with the same patterns on the same data: makes log text, stores
 * it as a receiver does, grinds it from segments to committed events and aggregates. README.md says how
 * to read it; the last line is JSON.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { LiteralMatcher } from "../../grinder/match.ts";
import { programOptions } from "../../shared/options.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { root } from "../../tests/programs.ts";
import { benchRules, writeRules } from "./bench_rules.ts";
import { type Counted, missing, ripgrep, zstdcatRipgrep } from "./contenders.ts";
import { fileLines, fleetLines } from "./corpus.ts";
import { grind, type GrinderRun } from "./grinder_run.ts";
import { storeCorpus } from "./stored_corpus.ts";

const { values } = programOptions("Usage: bun run bench:grind [OPTIONS]", {
  quick: { type: "flag", unit: "", help: "128 MiB, three times, in place of 1 GiB, five times" },
  corpus: { type: "text", unit: "file", help: "records, or their texts, one a line" },
  matching: { type: "number", unit: "%", default: 1.1, help: "lines that match a rule" },
  backlog: { type: "flag", unit: "", help: "64 KB of records under a header, in place of 2.5 KB" },
  devices: { type: "number", unit: "devices", default: 1_000, help: "that sent it" },
  rules: {
    type: "text",
    unit: "file",
    default: join(root, "rules.ts"),
    help: "the first of these",
  },
  count: { type: "number", unit: "rules", default: 26, help: "so many" },
  workers: { type: "text", unit: "threads", help: "the grinder's (default: its own)" },
  folder: { type: "text", unit: "folder", default: tmpdir(), help: "on the disk to be measured" },
}, process.argv.slice(2));

const cannot = await missing();
if (cannot) {
  console.error(`Cannot compare: ${cannot}`);
  process.exit(1);
}
const MiB = 1024 * 1024;
const folder = mkdtempSync(join(values.folder, "logmill-grind-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

console.log(
  `Linux ${release()}, ${process.arch}, ${cpus().length} cores (${cpus()[0]!.model}), ` +
    `Bun ${process.versions.bun}\n$ bun run bench:grind ${process.argv.slice(2).join(" ")}`,
);
const rules = await benchRules(values.rules, values.count);
writeRules(folder, rules);
const random = seededRandom(20261122);
const matcher = new LiteralMatcher(rules);
const textBytes = await storeCorpus({
  folder,
  textBytes: values.quick ? 128 * MiB : 1024 * MiB,
  devices: values.devices,
  blockBytes: values.backlog ? 64_000 : 2_500,
  random,
  nextLine: values.corpus
    ? fileLines(values.corpus)
    : fleetLines(random, matcher, values.matching / 100),
});
console.log(`${rules.length} rules, ${mb(textBytes)} MB of text, ${values.devices} devices`);

const rounds = values.quick ? 3 : 5;
const workers = values.workers === undefined ? [] : ["--workers", values.workers];
const runs: GrinderRun[] = [];
const plain: Counted[] = [];
const pair: Counted[] = [];
for (let round = 0; round < rounds; round++) {
  const run = await grind(folder, ...workers);
  const text = await ripgrep(folder);
  const stored = await zstdcatRipgrep(folder);
  runs.push(run);
  plain.push(text);
  pair.push(stored);
  console.log(
    `round ${round + 1}: grinder ${run.seconds.toFixed(3)} s (and ${
      run.startSeconds.toFixed(3)
    } s ` +
      `to start), ${run.cpuSeconds.toFixed(2)} CPU s, ${run.rssMiB.toFixed(0)} MiB, ` +
      `${run.records} records of ${run.events} events; rg ${text.seconds.toFixed(3)} s, ` +
      `zstdcat | rg ${stored.seconds.toFixed(3)} s, ${stored.cpuSeconds.toFixed(2)} CPU s, ` +
      `${text.lines} and ${stored.lines} lines`,
  );
  if (run.records !== text.lines || run.records !== stored.lines) {
    console.error("Cannot compare because the same must be found by all: it isn't");
    process.exit(1);
  }
}

const rate = (all: { seconds: number }[]) =>
  round(textBytes / 1e6 / median(all.map(({ seconds }) => seconds)));
const cost = (all: { cpuSeconds: number }[]) =>
  round(median(all.map(({ cpuSeconds }) => cpuSeconds)) / (textBytes / 1e9), 100);
const result = {
  mb_s: rate(runs),
  cpu_s_per_gb: cost(runs),
  rss_mib: round(Math.max(...runs.map(({ rssMiB }) => rssMiB))),
  start_s: round(median(runs.map(({ startSeconds }) => startSeconds)), 1000),
  events: runs[0]!.records,
  rg_events: plain[0]!.lines,
  rg_mb_s: rate(plain),
  zstdcat_rg_pair_mb_s: rate(pair),
  zstdcat_rg_cpu_s_per_gb: cost(pair),
};
console.log(JSON.stringify(result));

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

function round(value: number, to = 1): number {
  return Math.round(value * to) / to;
}
