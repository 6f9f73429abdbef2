/** The grinder as a program: which storage is ground by which rules, and where the outputs go. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../shared/options.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { DeviceLabels } from "./device_labels.ts";
import { Grind } from "./grind.ts";
import { loadRules, RulesError } from "./load_rules.ts";
import { SlowMatcher } from "./match.ts";
import { State } from "./state.ts";
import { tail } from "./tail.ts";

const { values } = programOptions(
  `
Usage: deno task grind [OPTIONS]     make events and aggregates of what receivers store, as it comes`,
  {
    data: { type: "text", unit: "folder", default: "./data", help: "where the segments are" },
    out: { type: "text", unit: "folder", help: "for events/ and aggregates/ (default: --data)" },
    rules: { type: "text", unit: "file", default: "./rules.ts", help: "what becomes an event" },
    window: { type: "number", unit: "s", default: 60, help: "length of an aggregate's window" },
    once: { type: "flag", unit: "", help: "end after what is there now" },
  },
  process.argv.slice(2),
);
const say = (text: string) => console.error(`grinder: ${text}`);
const out = values.out ?? values.data;

try {
  const rules = await loadRules(values.rules);
  const state = State.open(out, Date.now(), say);
  const labels = new DeviceLabels(join(values.data, "devices"));
  const windowUs = values.window * 1e6;
  const matcher = new SlowMatcher(rules);
  const grind = new Grind({ state, out, matcher, windowUs, labelsOf: labels.of, warn: say });
  const stop = new AbortController();
  process.once("SIGTERM", () => stop.abort());
  process.once("SIGINT", () => stop.abort());
  say(`${rules.length} rules, from ${values.data} to ${out}`);
  await tail({
    storage: new FolderStorage(values.data),
    grind,
    once: values.once,
    stop: stop.signal,
    refresh: refresher(grind, labels),
    report: say,
  });
  state.close();
} catch (error) {
  say(error instanceof RulesError ? error.message : String((error as Error).stack ?? error));
  process.exit(1);
}
process.exit(0);

/** New labels and rules are taken up as they are saved; rules that don't load change nothing. */
function refresher(grind: Grind, labels: DeviceLabels): () => Promise<void> {
  const changed = async () => (await stat(values.rules).catch(() => undefined))?.mtimeMs;
  const first = changed();
  let seen: number | undefined;
  return async () => {
    labels.reload();
    seen ??= await first;
    const mtimeMs = await changed();
    if (mtimeMs === undefined || mtimeMs === seen) return;
    seen = mtimeMs;
    try {
      grind.matcher = new SlowMatcher(await loadRules(values.rules));
      say(`${values.rules} read again: ${grind.matcher.rules.length} rules`);
    } catch (error) {
      if (!(error instanceof RulesError)) throw error;
      say(`${error.message}\nThe old rules stay.`);
    }
  };
}
