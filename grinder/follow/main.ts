/** tail as a program: which records are shown as they come, from where, and how. */
import process from "node:process";
import { programOptions, UsageError } from "../../shared/options.ts";
import { openStorage, storageOptions } from "../../shared/storage/open.ts";
import { StorageError } from "../../shared/storage/storage.ts";
import { askedDevices } from "../grep/asked_devices.ts";
import { parseLevel } from "../grep/level.ts";
import { lineJson, lineText } from "../grep/line_text.ts";
import { parseRange } from "../history/time_range.ts";
import { loadRules, RulesError } from "../load_rules.ts";
import { Output } from "../narrative/output.ts";
import { styleOf } from "../narrative/style.ts";
import { nearNames } from "../reading/near_names.ts";
import type { Rule } from "../rule.ts";
import { follow, type Followed } from "./follow.ts";
import { startCursors } from "./start_cursors.ts";

const { values, positionals } = programOptions(
  `
Usage: deno task tail [OPTIONS]     records as they are stored, from now on, until Ctrl-C`,
  {
    since: {
      type: "text",
      unit: "time",
      help: "first what came since so long ago (5m), or an ISO time",
    },
    devices: {
      type: "text",
      unit: "names|labels",
      help: "router1,router2 or city=Berlin,model=R2",
    },
    level: { type: "text", unit: "level", help: "of this level or more severe: err or 3" },
    rule: {
      type: "text",
      unit: "name",
      help: "only what this rule matches, with what it takes from it",
    },
    rules: { type: "text", unit: "file", default: "./rules.ts", help: "where the rule is" },
    json: { type: "flag", unit: "", help: "a line of JSON for each record" },
    ...storageOptions,
  },
  process.argv.slice(2),
);
const say = (text: string) => console.error(`tail: ${text}`);
const style = styleOf(process.stdout.isTTY === true, process.env);

function format(line: Followed): string {
  const { extracted } = line;
  if (!extracted) return values.json ? lineJson(line) : lineText(line, style);
  const found = { rule: values.rule, ...extracted };
  if (values.json) return `${JSON.stringify({ ...JSON.parse(lineJson(line)), ...found })}\n`;
  const { labels, value } = extracted;
  const labelled = Object.entries(labels).map(([name, text]) => ` ${name}=${JSON.stringify(text)}`);
  const valued = value === undefined ? "" : ` ${value}`;
  return `${lineText(line, style)}    ${
    style.bold(`${values.rule}${labelled.join("")}${valued}`)
  }\n`;
}

async function ruleNamed(name: string): Promise<Rule> {
  const rules = await loadRules(values.rules);
  const rule = rules.find((one) => one.name === name);
  if (rule) return rule;
  const near = nearNames(name, rules.map((one) => one.name));
  const hint = near.length > 0 ? `: near to it are ${near.join(", ")}` : "";
  throw new UsageError(`Cannot use --rule ${name} because ${values.rules} must have it${hint}`);
}

async function main(): Promise<number> {
  if (positionals.length > 0) {
    throw new UsageError(
      `Cannot use ${positionals.join(" ")} because all must be options: try --help`,
    );
  }
  const sinceUs = values.since === undefined ? undefined : parseRange(values, Date.now()).sinceUs;
  const level = values.level === undefined ? undefined : parseLevel(values.level);
  const rule = values.rule === undefined ? undefined : await ruleNamed(values.rule);
  const { devices, unknown } = await askedDevices(values.devices, values, () => []);
  // It may begin to send.
  if (unknown) say(unknown);
  const storage = await openStorage(values.data, values);
  const cursors = await startCursors(storage, sinceUs);
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
  const out = new Output(process.stdout);
  const options = {
    storage,
    cursors,
    sinceUs: sinceUs ?? 0,
    devices,
    level,
    rule,
    stop: stop.signal,
  };
  say(`${sinceUs === undefined ? "from now on" : `since ${values.since}`}, from ${values.data}`);
  for await (const lines of follow({ ...options, report: say })) {
    await out.write(lines.map(format).join(""));
    if (lines.length === 0) await out.flush();
    if (out.closed) return 0;
  }
  await out.flush();
  return 0;
}

const status = await main().catch((error: unknown) => {
  const isUsage = error instanceof UsageError;
  const isTold = isUsage || error instanceof StorageError || error instanceof RulesError;
  say(isTold ? (error as Error).message : String((error as Error).stack ?? error));
  return isUsage ? 2 : 1;
});
process.exit(status);
