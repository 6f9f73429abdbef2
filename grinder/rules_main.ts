/** Tools for rules as a program: what they match, what they cost, what a change of them would change. */
import process from "node:process";
import { limits } from "../shared/limits.ts";
import { type OptionSpec, programOptions, UsageError, type Values } from "../shared/options.ts";
import { s3Options } from "../shared/storage/open.ts";
import { StorageError } from "../shared/storage/storage.ts";
import { ArchiveError } from "./archive/place.ts";
import { ProgressLine } from "./history/progress_line.ts";
import { parseRange, type TimeRange } from "./history/time_range.ts";
import { loadBuiltIn, loadRules, RulesError, slowRules } from "./load_rules.ts";
import { openData, type StoredData } from "./reading/open_stored.ts";
import { openRange } from "./reading/stored_range.ts";
import type { Rule } from "./rule.ts";
import { formatCosts, measureCosts } from "./rules_cost.ts";
import { RulesDiff } from "./rules_diff.ts";
import { fileFrames, madeUpFrames, sampleStored } from "./rules_source.ts";
import { RulesTrial } from "./rules_trial.ts";

const usage = `
Usage: deno task rules test [OPTIONS]            the rules' yes and no lines; with --file or --data: what they match there
       deno task rules cost [OPTIONS]            what each rule costs on a sample of the storage, or on made-up lines
       deno task rules diff OLD NEW [OPTIONS]    what a change of rules changes in stored logs; status 1 if anything`;

const table = {
  rules: { type: "text", unit: "file", default: "./rules.ts", help: "test, cost: the rules" },
  file: { type: "text", unit: "file", help: "test: lines to try the rules on" },
  data: { type: "text", unit: "place", help: "the storage: a folder or s3://BUCKET/PREFIX" },
  since: {
    type: "text",
    unit: "time",
    help: "what was received from then on: 7d, 12h, 2026-11-22T20:15Z",
  },
  until: { type: "text", unit: "time", help: "... and before then (default: now)" },
  sample: {
    type: "number",
    unit: "MiB",
    default: limits.rulesSampleBytes / 2 ** 20,
    help: "test, cost: take so much text of the storage",
  },
  ...s3Options,
} as const satisfies Record<string, OptionSpec>;

type Options = Values<typeof table>;

const { values, positionals: [command, ...files] } = programOptions(
  usage,
  table,
  process.argv.slice(2),
);
const warn = (text: string) => void process.stderr.write(`rules: ${text}\n`);
const print = (text: string) => process.stdout.write(text);

const commands: Record<string, () => Promise<number>> = {
  test: () => test(values),
  cost: () => cost(values),
  diff: () => diff(files, values),
};

async function test(options: Options): Promise<number> {
  const rules = await loadRules(options.rules);
  await loadBuiltIn(options.rules);
  print(`${options.rules}: ${rules.length} rules, their yes and no lines hold\n`);
  if (options.file !== undefined) {
    print(await tryOn(fileFrames(options.file), rules, options.file));
  } else if (options.data !== undefined) {
    const { texts, whole } = await sampleOf(options);
    print(await tryOn(texts, rules, `${whole ? "" : "a sample of "}${options.data}`));
  }
  return 0;
}

async function tryOn(
  frames: AsyncIterable<string> | Iterable<string>,
  rules: Rule[],
  what: string,
): Promise<string> {
  let trial: RulesTrial | undefined;
  for await (const text of frames) {
    trial ??= new RulesTrial(rules, text);
    trial.take(text);
  }
  if (!trial) return `${what}: there is nothing\n`;
  return `${what}: ${(trial.textBytes / 2 ** 20).toFixed(1)} MiB\n\n${trial.report()}`;
}

async function cost(options: Options): Promise<number> {
  const rules = await loadRules(options.rules);
  const sample = options.data === undefined ? undefined : await sampleOf(options);
  const isThere = sample !== undefined && sample.texts.length > 0;
  const bytes = Math.min(options.sample, 16) * 2 ** 20;
  const costs = measureCosts(rules, isThere ? sample.texts : madeUpFrames(rules, bytes));
  if (!isThere) print("on made-up lines (say --data to measure on stored ones)\n");
  print(formatCosts(costs));
  for (const line of slowRules(rules, costs.plans)) print(`${line}\n`);
  return 0;
}

async function diff([old, now]: string[], options: Options): Promise<number> {
  if (old === undefined || now === undefined) {
    throw new UsageError("Cannot compare rules because two files must be named: diff OLD NEW");
  }
  const [before, after] = [await loadRules(old), await loadRules(now)];
  const data = await openData({ ...options, data: options.data ?? "./data" }, warn);
  const range = parseRange(options, Date.now());
  const result = await compare(before, after, data, range);
  print(result?.report() ?? "nothing is stored of that time\n");
  return result?.differs ? 1 : 0;
}

async function compare(before: Rule[], after: Rule[], data: StoredData, range: TimeRange) {
  const line = new ProgressLine({
    write: (text) => process.stderr.write(text),
    isTerminal: process.stderr.isTTY,
    nowMs: () => performance.now(),
  });
  let result: RulesDiff | undefined;
  const { stored } = await openRange(data, range, { progress: line.update, warn });
  for await (const { text } of stored.frames(range)) {
    if (text === "") continue;
    result ??= new RulesDiff(before, after, text);
    result.take(text, range);
  }
  line.end();
  return result;
}

async function sampleOf(options: Options) {
  const data = await openData({ ...options, data: options.data! }, warn);
  return await sampleStored(data, parseRange(options, Date.now()), options.sample * 2 ** 20, warn);
}

/** 2, as `diff` has it: 1 says that something differs. */
function failed(error: unknown): number {
  const expected = error instanceof RulesError || error instanceof UsageError ||
    error instanceof StorageError || error instanceof ArchiveError ||
    (error as NodeJS.ErrnoException).code === "ENOENT";
  const text = expected ? (error as Error).message : String((error as Error).stack ?? error);
  process.stderr.write(`rules: ${text}\n`);
  return error instanceof RulesError && command === "test" ? 1 : 2;
}

/** What was printed goes out first: a pipe takes its time. */
async function exit(status: number): Promise<never> {
  await new Promise((written) => process.stdout.write("", written));
  process.exit(status);
}

const run = commands[command ?? ""];
if (run) await exit(await run().catch(failed));
const names = Object.keys(commands).join(", ");
process.stderr.write(
  `rules: Cannot do ${command ?? "nothing"} because it must be one of ${names}\nTry --help.\n`,
);
process.exit(2);
