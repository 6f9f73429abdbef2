/** grep as a program: what is looked for, where, and how it is shown. */
import { availableParallelism } from "node:os";
import process from "node:process";
import { setImmediate } from "node:timers";
import { programOptions, UsageError } from "../../shared/options.ts";
import { storageOptions } from "../../shared/storage/open.ts";
import { StorageError } from "../../shared/storage/storage.ts";
import { ArchiveError } from "../archive/place.ts";
import { ProgressLine } from "../history/progress_line.ts";
import { Output } from "../narrative/output.ts";
import { styleOf } from "../narrative/style.ts";
import { Grep } from "./grep.ts";
import type { Line } from "./line.ts";
import { lineJson, lineText } from "./line_text.ts";
import { prepare } from "./prepare.ts";
import { Search } from "./search.ts";
import { inFull } from "./words.ts";

const { values, positionals } = programOptions(
  `
Usage: deno task grep REGEX [OPTIONS]     the stored records whose text a regex matches, each once
Exit status: 0 something matched, 1 nothing did, 2 it couldn't be looked for, 130 stopped by Ctrl-C`,
  {
    since: { type: "text", unit: "time", help: "written since so long ago (2h), or an ISO time" },
    until: { type: "text", unit: "time", help: "to then (default: now)" },
    devices: {
      type: "text",
      unit: "names|labels",
      help: "router1,router2 or city=Berlin,model=R2",
    },
    level: { type: "text", unit: "level", help: "of this level or more severe: err or 3" },
    source: {
      type: "text",
      unit: "name",
      help: "of this source: kmsg, pstore, raw, file:NAME, app:NAME",
    },
    "ignore-case": { type: "flag", unit: "", help: "-i: upper and lower case are the same" },
    count: { type: "flag", unit: "", help: "-c: only how many" },
    after: {
      type: "number",
      unit: "records",
      help: "-A: and so many behind it in the device's stream",
    },
    before: { type: "number", unit: "records", help: "-B: and so many before it" },
    context: { type: "number", unit: "records", help: "-C: both" },
    json: { type: "flag", unit: "", help: "a line of JSON for each record" },
    ...storageOptions,
    out: {
      type: "text",
      unit: "folder",
      help: "the grinder's outputs, for its index (default: --data, or ./data with S3)",
    },
    threads: {
      type: "number",
      unit: "threads",
      default: availableParallelism() - 1,
      help: "beside the first one",
    },
  },
  inFull(process.argv.slice(2)),
);
const progress = new ProgressLine({
  write: (text) => void process.stderr.write(text),
  isTerminal: process.stderr.isTTY === true,
  nowMs: () => performance.now(),
});
const say = (text: string) => console.error(`grep: ${text}`);
const out = new Output(process.stdout);
const style = styleOf(process.stdout.isTTY === true, process.env);
/** Nobody notices that Ctrl-C is heard of so much later. */
const turnMs = 10;
let isStopped = false;
let hasShown = false;

async function show(groups: readonly Line[][], hasContext: boolean): Promise<void> {
  // Where both are one terminal, lines take the place of the bar.
  if (groups.length > 0 && process.stderr.isTTY && process.stdout.isTTY) {
    process.stderr.write("\r\x1b[K");
  }
  for (const group of groups) {
    const parts = hasContext && hasShown && !values.json ? [style.dim("--") + "\n"] : [];
    parts.push(...group.map((line) => values.json ? lineJson(line) : lineText(line, style)));
    await out.write(parts.join(""));
    hasShown = true;
  }
  if (groups.length > 0) await out.flush();
}

async function main(): Promise<number> {
  const prepared = await prepare(positionals, values, Date.now(), say);
  const { wanted, sources, storedBytesTotal, isFiltered, unknown } = prepared;
  if (unknown) say(unknown);
  await using search = new Search({ wanted, threads: values.threads, isFiltered, warn: say });
  const grep = new Grep(prepared.grep);
  const { around } = prepared.grep;
  let storedBytes = 0;
  let turnedMs = performance.now();
  for (const source of sources) {
    for await (const searched of search.of(source)) {
      const groups = await grep.take(searched);
      if (!values.count) await show(groups, around !== undefined);
      storedBytes += searched.task.storedBytes;
      progress.update({ storedBytes, storedBytesTotal });
      // While a full pipe blocks nothing else is heard of, Ctrl-C neither.
      if (performance.now() - turnedMs > turnMs || groups.length > 0) {
        await new Promise((resolve) => setImmediate(resolve));
        turnedMs = performance.now();
      }
      if (isStopped || out.closed) break;
    }
    if (isStopped || out.closed) break;
  }
  if (!values.count && !out.closed) await show(grep.end(), around !== undefined);
  progress.end();
  const { matches } = grep;
  if (isStopped) say(`stopped: ${matches} ${matches === 1 ? "match" : "matches"} so far`);
  if (values.count) await out.write(values.json ? `{"matches":${matches}}\n` : `${matches}\n`);
  await out.flush();
  if (isStopped) return 130;
  if (matches === 0 && unknown) return 2;
  return matches > 0 ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => isStopped = true);
const status = await main().catch((error: unknown) => {
  const isTold = [UsageError, StorageError, ArchiveError].some((kind) => error instanceof kind);
  say(isTold ? (error as Error).message : String((error as Error).stack ?? error));
  return 2;
});
process.exit(status);
