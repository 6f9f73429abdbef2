/**
 * What grinding costs as the work grows: by devices, by rules, by threads, and with ten times as many
 * lines that match or blocks as backlogs have them; a table, a plot, and JSON in the last line.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { loadRules } from "../../grinder/load_rules.ts";
import { LiteralMatcher, type Matcher } from "../../grinder/match.ts";
import { programOptions } from "../../shared/options.ts";
import { seededRandom } from "../../tests/fleet/random.ts";
import { root } from "../../tests/programs.ts";
import { benchRules, writeRules } from "./bench_rules.ts";
import { fleetLines, type Line } from "./corpus.ts";
import { Report, round } from "./report.ts";
import { measure, type ScaleCase, type ScaleRow } from "./scale_case.ts";
import { scalePlot } from "./scale_plot.ts";
import { storeCorpus } from "./stored_corpus.ts";

const script = "bench/grind/scale.ts";
const { values } = programOptions(`Usage: bun ${script} [OPTIONS]`, {
  quick: { type: "flag", unit: "", help: "128 MiB of text, each case once" },
  text: { type: "number", unit: "MiB", default: 1_024, help: "in each case" },
  rounds: { type: "number", unit: "times", default: 3, help: "each case; medians count" },
  rules: {
    type: "text",
    unit: "file",
    default: join(root, "rules.ts"),
    help: "the first of these",
  },
  folder: { type: "text", unit: "folder", default: tmpdir(), help: "on the disk to be measured" },
  plot: {
    type: "text",
    unit: "file",
    default: join(root, "bench/grind/scale.svg"),
    help: "takes the plot",
  },
  out: { type: "text", unit: "file", help: "takes what is printed, too" },
}, process.argv.slice(2));

const MiB = 1024 * 1024;
const textBytes = (values.quick ? 128 : values.text) * MiB;
const rounds = values.quick ? 1 : values.rounds;
const deviceCounts = [1_000, 10_000, 100_000];
const ruleCounts = [16, 64, 256];
const usual = { devices: 1_000, matching: 1.1, blockBytes: 2_500 };

const folder = mkdtempSync(join(values.folder, "logmill-scale-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
const report = new Report(script, values.out);
report.say(
  `${textBytes / MiB} MiB of text each, ${rounds} times; blocks of 2.5 KB and 1.1 % of lines ` +
    "matching, unless said; all cases of one text have the same events\n",
);

const allRules = await benchRules(values.rules, Math.max(...ruleCounts));
const random = seededRandom(20261122);
const fileRules = (await loadRules(values.rules)).length;
const rows: ScaleRow[] = [];
for (const devices of deviceCounts) await onCorpus({ ...usual, devices }, ruleCounts);
await onCorpus({ ...usual, matching: 10 }, [64]);
await onCorpus({ ...usual, blockBytes: 64_000 }, [64]);

report.say();
report.table(
  [
    ...["devices", "matching %", "block KB", "rules", "threads", "MB/s", "CPU s/GB", "RSS MiB"],
    ...["events", "state MiB", "commits", "commit ms", "longest ms"],
  ],
  rows.map((row) => [
    ...[row.devices, row.matching, row.blockBytes / 1_000, row.rules, row.workers + 1],
    ...[round(row.mbPerSecond), row.cpuSecondsPerGB.toFixed(2), round(row.rssMiB), row.events],
    ...[(row.stateBytes / MiB).toFixed(1), row.commits, row.commitMs.toFixed(1)],
    round(row.commitMsMax, 1),
  ]),
);
const said = `${textBytes / MiB} MiB of log text, 1.1 % of lines matching, medians of ${rounds}`;
const grid = rows.filter(({ matching, blockBytes }) =>
  matching === usual.matching && blockBytes === usual.blockBytes
);
writeFileSync(values.plot, scalePlot(grid, said));
report.say(`\nplot in ${values.plot}\n${JSON.stringify({ text_mib: textBytes / MiB, rows })}`);
process.exit(0);

/** All numbers of rules and of threads on the same text. */
async function onCorpus(
  corpus: Pick<ScaleCase, "devices" | "matching" | "blockBytes">,
  counts: readonly number[],
): Promise<void> {
  const place = join(folder, "corpus");
  mkdirSync(place);
  const { devices, matching, blockBytes } = corpus;
  const nextLine = linesFor(matching);
  const stored = await storeCorpus({
    ...{ folder: place, textBytes, devices, blockBytes },
    ...{ random, nextLine },
  });
  const own: ScaleRow[] = [];
  for (const count of counts) {
    writeRules(place, allRules.slice(0, count));
    for (const workers of [0, 1]) {
      const one = { ...corpus, rules: count, workers };
      const row = await measure({ ...one, folder: place, textBytes: stored, rounds });
      report.say(
        `${devices} devices, ${count} rules, ${workers + 1} threads, ${matching} %, ` +
          `${blockBytes / 1000} KB: ${row.seconds.map((s) => s.toFixed(2)).join(", ")} s; ` +
          `${row.events} events`,
      );
      own.push(row);
    }
  }
  rmSync(place, { recursive: true });
  if (new Set(own.map(({ events }) => events)).size > 1) {
    throw new Error("Cannot compare because the same text must give the same events: it doesn't");
  }
  rows.push(...own);
}

/** Lines that the fewest rules match, or none does: so the number of rules changes nothing else. */
function linesFor(matching: number): () => Line {
  const few = new LiteralMatcher(allRules.slice(0, Math.min(...ruleCounts)));
  // What is made up beyond those of the file is in no line.
  const others = new LiteralMatcher(allRules.slice(few.rules.length, fileRules));
  const draw = fleetLines(random, few, matching / 100);
  const fits = new Map<Line, boolean>();
  return () => {
    for (;;) {
      const line = draw();
      if (!fits.has(line)) fits.set(line, !matches(others, line));
      if (fits.get(line)) return line;
    }
  };
}

function matches(matcher: Matcher, line: Line): boolean {
  return matcher.match({ ...line, seq: 0, usec: 0, flag: "-", fields: "" }).length > 0;
}
