/**
 * What is stored and what was made of it in, whether anything is lost or doubled out. Held against each
 * other are: what the fleet knows to be acknowledged; all segments there ever were (mirror.ts), read by the
 * verifier; archive and hot segments, as whoever reads history gets them, and as SQL does; the live
 * grinder's outputs, those of one that nobody disturbed, and the ledger.
 */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { loadRules } from "../../grinder/load_rules.ts";
import { FolderStorage } from "../../shared/storage/folder.ts";
import type { Fleet } from "../fleet/fleet.ts";
import { grinderPermissions } from "../programs.ts";
import { StoredStreams } from "../verify/streams.ts";
import { formatVerdict, type Verdict, verify } from "../verify/verify.ts";
import { outputDifference } from "./outputs.ts";
import { deno, outputOf } from "./programs.ts";
import { difference, StreamSums } from "./stream_sums.ts";
import { countQuery } from "./watchers.ts";

export interface ProofOptions {
  data: string;
  mirror: string;
  tree: string;
  fleet: Fleet;
}

export interface Proof {
  /** Written and acknowledged, by the fleet; distinct ones stored, by the verifier; of streams. */
  written: number;
  acked: number;
  records: number;
  streams: number;
  events: number;
  /** Acknowledged, and neither in the archive nor hot. */
  lost: number;
  /** Rows too many in the archive and the hot segments together. */
  doubled: number;
  problems: string[];
  /** Reads all that is stored once more, and grinds it: from the archive, if that is all there is by now. */
  again: () => Promise<string[]>;
}

export async function prove(options: ProofOptions): Promise<Proof> {
  const { data, mirror, tree, fleet } = options;
  const journal = join(data, "fleet.jsonl");
  const rules = join(tree, "rules.ts");
  const verdict = await verify({ data: mirror, out: data, journal, rules });
  const problems = verdict.ok ? [] : [`the verifier: ${formatVerdict(verdict)}`];
  const truth = await sumsOf(mirror);
  const read = await readAll(options, truth);
  problems.push(...read.problems);
  problems.push(...await ledgerProblems(options, verdict));
  problems.push(...await outputProblems(options));
  const { records: written, acked } = fleet.stats();
  const { records, events } = verdict.totals;
  return {
    ...{ written, acked, records, events, streams: verdict.streams.length },
    lost: Math.max(verdict.totals.lost, read.lost),
    doubled: read.doubled,
    problems,
    again: async () => [
      ...(await readAll(options, truth)).problems,
      ...await archiveProblems(options),
    ],
  };
}

/** As the verifier reads them. */
async function sumsOf(folder: string): Promise<StreamSums> {
  const sums = new StreamSums();
  await new StoredStreams(({ header, record }) => sums.add(header, record))
    .read(new FolderStorage(folder));
  return sums;
}

/** Archive and hot segments against the segments there ever were, and the fleet's own books. */
async function readAll({ data, tree, fleet }: ProofOptions, truth: StreamSums) {
  const found = StreamSums.parse(await outputOf(tree, "tests/soak/reader.ts", [data]));
  const args = [countQuery, "--data", data, "--json", "--memory", "256"];
  const { n, d } = JSON.parse(await outputOf(tree, "grinder/sql/main.ts", args));
  const problems: string[] = [];
  const other = difference(found, truth);
  if (other !== "") problems.push(`what is read isn't what was stored: ${other}`);
  if (d !== truth.records) problems.push(`SQL has ${d} records of ${truth.records}`);
  if (n !== d) problems.push(`SQL has ${n - d} records twice`);
  const lost = fleet.journal.reduce(
    (sum, { device, source, stream, acked }) =>
      sum + acked.subtract(found.stream(`${device} ${source} ${stream}`).seqs).count,
    0,
  );
  if (lost > 0) problems.push(`${lost} acknowledged records are nowhere`);
  return { lost, doubled: n - d, problems };
}

async function ledgerProblems({ data, tree }: ProofOptions, verdict: Verdict): Promise<string[]> {
  try {
    const told = await outputOf(tree, "grinder/ledger/main.ts", ["--data", data, "--json"]);
    const { total } = JSON.parse(told.trimEnd().split("\n").at(-1)!);
    const { stored, unexplained, unread } = total;
    if (stored === verdict.totals.records && unexplained === 0 && unread.length === 0) return [];
    return [`the ledger has ${stored} of ${verdict.totals.records}; ${JSON.stringify(total)}`];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** The live grinder's events and counts against those of one that nobody disturbed. */
async function outputProblems({ data, mirror, tree }: ProofOptions): Promise<string[]> {
  const out = calmOut(mirror);
  copyFileSync(join(data, "devices"), join(mirror, "devices"));
  const failed = await grind(tree, "--data", mirror, "--out", out, "--once");
  if (failed) return [`the undisturbed grinder: ${failed}`];
  const verdict = await verify({ data: mirror, out, rules: join(tree, "rules.ts") });
  const problems = verdict.ok ? [] : [`undisturbed: ${formatVerdict(verdict)}`];
  return [...problems, ...await differences("live", data, out, tree)];
}

/** What a grinder makes of the archive against what the undisturbed one makes of the segments. */
async function archiveProblems({ data, mirror, tree }: ProofOptions): Promise<string[]> {
  const out = `${mirror}-from-archive`;
  const failed = await grind(tree, "--data", data, "--out", out, "--since", "2h");
  if (failed) return [`grinding the archive: ${failed}`];
  return await differences("from the archive", out, calmOut(mirror), tree);
}

function calmOut(mirror: string): string {
  return `${mirror}-ground`;
}

/** What it said, if it failed. */
async function grind(tree: string, ...options: string[]): Promise<string | undefined> {
  const args = [...options, "--rules", join(tree, "rules.ts")];
  const grinder = deno(tree, "grinder/main.ts", grinderPermissions, args);
  return await grinder.exited() === 0 ? undefined : grinder.output;
}

async function differences(
  name: string,
  disturbed: string,
  calm: string,
  tree: string,
): Promise<string[]> {
  const names = new Set((await loadRules(join(tree, "rules.ts"))).map((rule) => rule.name));
  const others = outputDifference(disturbed, calm, (name) => names.has(name));
  return others.length === 0 ? [] : [`${others.length} outputs differ, ${name}: ${others[0]}`];
}
