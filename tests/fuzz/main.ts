/**
 * `bun run fuzz --count N --seed S`: mutated uploads against the receiver, as many as wanted. Prints what
 * each mutation came to, and how to see a failing case again. Exit status 1 if there was one.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../../shared/options.ts";
import { batchCases, type Failure, fuzz, type FuzzReport } from "./fuzz.ts";
import { reportText, shrink } from "./report.ts";

/** Those that come after are mostly the same once more. */
const describedMax = 5;

const { values } = programOptions("Usage: bun run fuzz [OPTIONS]", {
  count: { type: "number", unit: "cases", default: 20_000, help: "how many" },
  seed: { type: "number", unit: "number", default: 1, help: "other seeds give other cases" },
  from: { type: "number", unit: "case", default: 0, help: "the first one's number" },
  only: { type: "number", unit: "case", help: "this one alone, and what it is" },
  mutation: { type: "text", unit: "name", help: "only this one, wherever it fits" },
  folder: { type: "text", unit: "folder", default: tmpdir(), help: "where some of it is stored" },
}, process.argv.slice(2));

const { seed, only } = values;
const folder = mkdtempSync(join(values.folder, "logmill-fuzz-"));
const from = only ?? values.from;
const to = only === undefined ? from + values.count : only + 1;
const startMs = performance.now();
const changes = values.mutation === undefined ? {} : { mutation: values.mutation };
const report = await fuzz({ seed, from, to, folder, changes, onBatch: progress });
console.log(reportText(report, (performance.now() - startMs) / 1_000));
const { failures } = report;
for (const failure of failures.slice(0, describedMax)) console.log(await describe(failure));
for (const { number, complaint } of failures.slice(describedMax)) {
  console.log(`${number}: ${complaint}`);
}
rmSync(folder, { recursive: true });
process.exit(report.failures.length > 0 ? 1 : 0);

async function describe({ number, complaint }: Failure): Promise<string> {
  const again = `bun run fuzz --seed ${seed}`;
  const alone = await shrink(seed, number, folder);
  if (alone) return `FAILED ${complaint}\n  ${again} --only ${number}\n${alone}`;
  const first = number - number % batchCases;
  return `FAILED ${complaint}\n  ${again} --from ${first} --count ${batchCases}   (not alone)`;
}

function progress({ cases, failures, rssMaxBytes }: FuzzReport): void {
  if (cases % (batchCases * 500) !== 0) return;
  const rssMiB = Math.round(rssMaxBytes / 2 ** 20);
  console.error(`${cases} cases, ${failures.length} failures, RSS at most ${rssMiB} MiB`);
}
