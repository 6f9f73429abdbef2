/** The grinder as a program: which storage is ground by which rules, and where the outputs go. */
import { hostname } from "node:os";
import process from "node:process";
import { listPlace, openPlaces } from "../shared/allowlist_place.ts";
import { isName } from "../shared/block.ts";
import { programOptions } from "../shared/options.ts";
import { CursorPublisher } from "../shared/storage/cursors.ts";
import { FolderStorage } from "../shared/storage/folder.ts";
import { FolderNotes } from "../shared/storage/folder_notes.ts";
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
    name: {
      type: "text",
      unit: "name",
      help: "this grinder, in the storage: receivers keep old segments until it has read them " +
        "(default: the host's name; with --once: none)",
    },
  },
  process.argv.slice(2),
);
const say = (text: string) => console.error(`grinder: ${text}`);
const out = values.out ?? values.data;
if (!Number.isInteger(values.window) || values.window < 1) {
  say(`Cannot use --window because it must be whole seconds, at least 1: it is ${values.window}`);
  process.exit(2);
}
const name = values.name ?? (values.once ? undefined : hostname());
if (name !== undefined && !isName(name)) {
  say(`Cannot use --name ${name} because it must be letters, digits and ._:@+-`);
  process.exit(2);
}

try {
  const file = await RulesFile.open(values.rules);
  const state = State.open(out, Date.now(), say);
  const labels = await DeviceLabels.open(listPlace(await openPlaces(values.data)));
  const windowUs = values.window * 1e6;
  const matcher = new LiteralMatcher(file.rules);
  const grind = new Grind({ state, out, matcher, windowUs, labelsOf: labels.of, warn: say });
  const stop = new AbortController();
  process.once("SIGTERM", () => stop.abort());
  process.once("SIGINT", () => stop.abort());
  const notes = new FolderNotes(values.data);
  const cursors = name && new CursorPublisher(notes, { name, nowMs: Date.now, report: say });
  say(`${file.rules.length} rules, from ${values.data} to ${out}`);
  await tail({
    storage: new FolderStorage(values.data),
    grind,
    once: values.once,
    stop: stop.signal,
    refresh: async () => {
      await labels.reload();
      const rules = await file.reload(say);
      if (rules) grind.matcher = new LiteralMatcher(rules);
    },
    report: say,
    ...(cursors ? { publish: (at, last) => cursors.publish(at, last) } : {}),
  });
  state.close();
} catch (error) {
  const expected = error instanceof RulesError || error instanceof StateError;
  say(expected ? error.message : String((error as Error).stack ?? error));
  process.exit(1);
}
process.exit(0);
