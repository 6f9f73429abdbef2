/** The grinder as a program: which storage is ground by which rules, and where the outputs go. */
import { availableParallelism, hostname } from "node:os";
import process from "node:process";
import { listPlace, openPlaces } from "../shared/allowlist_place.ts";
import { isName } from "../shared/block.ts";
import { parseDurationMs } from "../shared/duration.ts";
import { limits } from "../shared/limits.ts";
import { programOptions, UsageError } from "../shared/options.ts";
import { CursorPublisher } from "../shared/storage/cursors.ts";
import { FolderNotes } from "../shared/storage/folder_notes.ts";
import { openStorage, parseS3Place, storageOptions } from "../shared/storage/open.ts";
import { type Cursors, type Storage, StorageError } from "../shared/storage/storage.ts";
import { archiverOf } from "./archive/child.ts";
import { openPlace } from "./archive/open_place.ts";
import { ArchiveError } from "./archive/place.ts";
import { DeviceLabels } from "./device_labels.ts";
import { Engine } from "./engine/engine.ts";
import { Grind } from "./grind.ts";
import { History, HistoryError } from "./history/history.ts";
import { historyDigests } from "./history/history_digests.ts";
import { ProgressLine } from "./history/progress_line.ts";
import { IndexWriter } from "./index/index_writer.ts";
import { Retention } from "./retention.ts";
import { refuseSlowRules, RulesError, slowRules } from "./load_rules.ts";
import { LiteralMatcher } from "./match.ts";
import { withEndRules } from "./reboots.ts";
import { type Rule, takeFailures } from "./rule.ts";
import { RulesFile } from "./rules_file.ts";
import { State } from "./state.ts";
import { StateError } from "./state_file.ts";
import { tail } from "./tail.ts";

const { values } = programOptions(
  `
Usage: deno task grind [OPTIONS]     make events and aggregates of what receivers store, as it comes
       deno task grind --since 7d --out DIR [--rules FILE]     the same of what was stored, in DIR`,
  {
    ...storageOptions,
    out: {
      type: "text",
      unit: "folder",
      help: "for events/ and aggregates/ (default: --data, or ./data with S3)",
    },
    rules: { type: "text", unit: "file", default: "./rules.ts", help: "what becomes an event" },
    window: { type: "number", unit: "s", default: 60, help: "length of an aggregate's window" },
    workers: {
      type: "number",
      unit: "threads",
      default: availableParallelism() - 1,
      help: "to decode and match in, beside the main one",
    },
    once: { type: "flag", unit: "", help: "end after what is there now" },
    since: { type: "text", unit: "time", help: "history: from so long ago (7d), or an ISO time" },
    until: { type: "text", unit: "time", help: "history: to then (default: now)" },
    archive: {
      type: "flag",
      unit: "",
      help: "archive what is closed, in a process beside this one that yields to it",
    },
    "keep-hot": {
      type: "text",
      unit: "age",
      help: "--archive: delete segments so long after they were archived: 2h (default: never)",
    },
    keep: { type: "text", unit: "age", help: "--archive: delete archive files so old: 60d" },
    "keep-outputs": {
      type: "text",
      unit: "age",
      help: "delete events/ and aggregates/ of days so long over: 400d (default: never)",
    },
    strict: { type: "flag", unit: "", help: "refuse rules that must look at every record" },
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
const past = (values.since ?? values.until) !== undefined;
if (!Number.isInteger(values.window) || values.window < 1) {
  say(`Cannot use --window because it must be whole seconds, at least 1: it is ${values.window}`);
  process.exit(2);
}
const name = values.name ?? (values.once || past ? undefined : hostname());
if (name !== undefined && !isName(name)) {
  say(`Cannot use --name ${name} because it must be letters, digits and ._:@+-`);
  process.exit(2);
}

try {
  const s3 = parseS3Place(values.data);
  const out = values.out ?? (s3 ? "./data" : values.data);
  const file = await RulesFile.open(values.rules);
  const { builtIn } = file.loaded;
  const rules = withEndRules(file.loaded.rules);
  const matcherOf = (rules: readonly Rule[]) => {
    const matcher = new LiteralMatcher(rules);
    if (values.strict) refuseSlowRules(values.rules, rules, matcher.plans);
    for (const slow of slowRules(rules, matcher.plans)) say(slow);
    return matcher;
  };
  const matcher = matcherOf(rules);
  const newEngine = (rules: readonly Rule[]) =>
    new Engine({ rules, rulesPath: values.rules, threads: values.workers, warn: say });
  let engine: Engine | undefined;
  const digests = (storage: Storage, cursors: Cursors) =>
    (engine ??= newEngine(rules)).digests(storage, cursors);
  const stored = await openStorage(values.data, values);
  const windowUs = values.window * 1e6;
  const progress = new ProgressLine({
    write: (text) => void process.stderr.write(text),
    isTerminal: process.stderr.isTTY === true,
    nowMs: () => performance.now(),
  });
  if (past && values.out === undefined) {
    throw new UsageError("Cannot grind history because --out must name a folder of its own");
  }
  const history = !past ? undefined : await History.open({
    ...values,
    storage: stored,
    place: await openPlace(values.data, values),
    windowUs,
    out,
    live: [values.data],
    nowMs: Date.now(),
    progress: progress.update,
    warn: say,
  });
  if (history && !history.storage) {
    say(`${out} is finished already`);
    process.exit(0);
  }
  const state = State.open(out, Date.now(), say);
  // Of what is read once, `deno task index` makes it where it is wanted.
  const index = values.once || past
    ? undefined
    : IndexWriter.tryOpen(out, { nowMs: Date.now, report: say });
  const labels = await DeviceLabels.open(listPlace(await openPlaces(values.data, values)));
  const grind = new Grind({
    state,
    out,
    matcher,
    windowUs,
    builtIn,
    labelsOf: labels.of,
    warn: say,
    ...(index ? { index } : {}),
    ...(history ? { keeps: history.keeps } : {}),
  });
  for (const [epoch, start] of history?.storage?.starts ?? []) {
    if (!grind.cursors.has(epoch)) grind.cursors.set(epoch, start);
  }
  const ground = {
    rules,
    rulesPath: values.rules,
    threads: values.workers,
    digests,
    heardAt: grind.builtIn.heardAt.bind(grind.builtIn),
    warn: say,
  };
  const stop = new AbortController();
  process.once("SIGTERM", () => stop.abort());
  process.once("SIGINT", () => stop.abort());
  // With S3 the bucket's own rule deletes, and asks nobody.
  const cursors = name && !s3 &&
    new CursorPublisher(new FolderNotes(values.data), { name, nowMs: Date.now, report: say });
  const isLive = !values.once && !past;
  const keepOutputs = values["keep-outputs"];
  const retention = new Retention({
    storage: stored,
    out,
    keepMs: keepOutputs === undefined ? undefined : parseDurationMs("--keep-outputs", keepOutputs),
    everyMs: limits.outputRetentionMs,
    nowMs: Date.now,
    report: say,
  });
  await using _archiver = isLive ? archiverOf(values, say) : undefined;
  say(`${file.loaded.rules.length} rules, from ${values.data} to ${out}`);
  await tail({
    storage: history?.storage ?? stored,
    grind,
    digests: history
      ? (_, cursors) => historyDigests({ ...ground, storage: history.storage! }, cursors)
      : digests,
    once: values.once || past,
    stop: stop.signal,
    refresh: async () => {
      await labels.reload();
      if (isLive) await retention.run();
      const changed = await file.reload(say);
      if (!changed) return;
      const rules = withEndRules(changed.rules);
      grind.matcher = matcherOf(rules);
      grind.builtIn.use(changed.builtIn);
      await engine?.[Symbol.asyncDispose]();
      engine = newEngine(rules);
    },
    report: say,
    ...(cursors ? { publish: (at, last) => cursors.publish(at, last) } : {}),
  });
  await engine?.[Symbol.asyncDispose]();
  state.close();
  index?.flush();
  index?.[Symbol.dispose]();
  if (!stop.signal.aborted) history?.finish();
  progress.end();
  for (const { rule, count, first } of takeFailures(rules)) {
    say(`rule ${rule}: failed ${count} times, first with ${first}`);
  }
} catch (error) {
  const asked = error instanceof UsageError;
  const expected = [RulesError, StateError, HistoryError, ArchiveError, StorageError];
  const told = asked || expected.some((kind) => error instanceof kind);
  say(told ? (error as Error).message : String((error as Error).stack ?? error));
  process.exit(asked ? 2 : 1);
}
process.exit(0);
