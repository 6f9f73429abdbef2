/** The grinder as a program: which storage is ground by which rules, and where the outputs go. */
import { join } from "node:path";
import process from "node:process";
import { programOptions } from "../shared/options.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { DeviceLabels } from "./device_labels.ts";
import { Grind } from "./grind.ts";
import { RulesError } from "./load_rules.ts";
import { LiteralMatcher } from "./match.ts";
import { RulesFile } from "./rules_file.ts";
import { State } from "./state.ts";
import { StateError } from "./state_file.ts";
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
if (!Number.isInteger(values.window) || values.window < 1) {
  say(`Cannot use --window because it must be whole seconds, at least 1: it is ${values.window}`);
  process.exit(2);
}

try {
  const file = await RulesFile.open(values.rules);
  const state = State.open(out, Date.now(), say);
  const labels = new DeviceLabels(join(values.data, "devices"));
  const windowUs = values.window * 1e6;
  const matcher = new LiteralMatcher(file.rules);
  const grind = new Grind({ state, out, matcher, windowUs, labelsOf: labels.of, warn: say });
  const stop = new AbortController();
  process.once("SIGTERM", () => stop.abort());
  process.once("SIGINT", () => stop.abort());
  say(`${file.rules.length} rules, from ${values.data} to ${out}`);
  await tail({
    storage: new FolderStorage(values.data),
    grind,
    once: values.once,
    stop: stop.signal,
    refresh: async () => {
      labels.reload();
      const rules = await file.reload(say);
      if (rules) grind.matcher = new LiteralMatcher(rules);
    },
    report: say,
  });
  state.close();
} catch (error) {
  const expected = error instanceof RulesError || error instanceof StateError;
  say(expected ? error.message : String((error as Error).stack ?? error));
  process.exit(1);
}
process.exit(0);
