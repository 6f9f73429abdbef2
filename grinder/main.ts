/** The grinder as a program: which storage is ground by which rules, and where the outputs go. */
import process from "node:process";
import { listPlace, openPlaces } from "../shared/allowlist_place.ts";
import { limits } from "../shared/limits.ts";
import { UsageError } from "../shared/options.ts";
import { CursorPublisher } from "../shared/storage/cursors.ts";
import { FolderNotes } from "../shared/storage/folder_notes.ts";
import { openStorage } from "../shared/storage/open.ts";
import { type Cursors, type Storage, StorageError } from "../shared/storage/storage.ts";
import { archiverOf } from "./archive/child.ts";
import { openPlace } from "./archive/open_place.ts";
import { ArchiveError } from "./archive/place.ts";
import { commandLine } from "./command_line.ts";
import { DeviceLabels } from "./device_labels.ts";
import { Grind } from "./grind.ts";
import { History, HistoryError } from "./history/history.ts";
import { historyDigests } from "./history/history_digests.ts";
import { ProgressLine } from "./history/progress_line.ts";
import { IndexWriter } from "./index/index_writer.ts";
import { RulesError } from "./load_rules.ts";
import { withEndRules } from "./reboots.ts";
import { Retention } from "./retention.ts";
import { takeFailures } from "./rule.ts";
import { RulesFile } from "./rules_file.ts";
import { RulesInUse } from "./rules_in_use.ts";
import { State } from "./state.ts";
import { StateError } from "./state_file.ts";
import { tail } from "./tail.ts";

const say = (text: string) => console.error(`grinder: ${text}`);

async function main(): Promise<void> {
  const options = commandLine(process.argv.slice(2));
  const { data, out, name, onS3, isLive, windowUs } = options;
  const file = await RulesFile.open(options.rules);
  await using inUse = new RulesInUse(withEndRules(file.loaded.rules), options, say);
  const stored = await openStorage(data, options);
  const progress = new ProgressLine({
    write: (text) => void process.stderr.write(text),
    isTerminal: process.stderr.isTTY === true,
    nowMs: () => performance.now(),
  });
  const history = !options.past ? undefined : await History.open({
    ...options,
    storage: stored,
    place: await openPlace(data, options),
    live: [data],
    nowMs: Date.now(),
    progress: progress.update,
    warn: say,
  });
  if (history && !history.storage) return say(`${out} is finished already`);

  const state = State.open(out, Date.now(), say);
  // Of what is read once, `deno task index` makes it where it is wanted.
  using index = isLive ? IndexWriter.tryOpen(out, { nowMs: Date.now, report: say }) : undefined;
  const labels = await DeviceLabels.open(listPlace(await openPlaces(data, options)));
  const grind = new Grind({
    ...{ state, out, windowUs, matcher: inUse.matcher, builtIn: file.loaded.builtIn },
    labelsOf: labels.of,
    warn: say,
    ...(index ? { index } : {}),
    ...(history ? { keeps: history.keeps } : {}),
  });
  for (const [epoch, start] of history?.storage?.starts ?? []) {
    if (!grind.cursors.has(epoch)) grind.cursors.set(epoch, start);
  }
  const retention = new Retention({
    ...{ storage: stored, out, keepMs: options.keepOutputsMs },
    ...{ everyMs: limits.outputRetentionMs, nowMs: Date.now, report: say },
  });
  const refresh = async () => {
    await labels.reload();
    if (isLive) await retention.run();
    const changed = await file.reload(say);
    if (!changed) return;
    await inUse.change(withEndRules(changed.rules));
    grind.matcher = inUse.matcher;
    grind.builtIn.use(changed.builtIn);
  };
  const digests = (storage: Storage, cursors: Cursors) => inUse.engine.digests(storage, cursors);
  const past = history?.storage && {
    ...{ rules: inUse.rules, rulesPath: options.rules, threads: options.workers },
    storage: history.storage,
    heardAt: grind.builtIn.heardAt.bind(grind.builtIn),
    warn: say,
  };
  // With S3 the bucket's own rule deletes, and asks nobody.
  const published = name === undefined || onS3
    ? undefined
    : new CursorPublisher(new FolderNotes(data), { name, nowMs: Date.now, report: say });
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());

  await using _archiver = isLive ? archiverOf(options, say) : undefined;
  say(`${file.loaded.rules.length} rules, from ${data} to ${out}`);
  await tail({
    storage: history?.storage ?? stored,
    grind,
    digests: past ? (_, cursors) => historyDigests({ ...past, digests }, cursors) : digests,
    once: !isLive,
    stop: stop.signal,
    refresh,
    report: say,
    ...(published ? { publish: (at, last) => published.publish(at, last) } : {}),
  });
  state.close();
  index?.flush();
  if (!stop.signal.aborted) history?.finish();
  progress.end();
  for (const { rule, count, first } of takeFailures(inUse.rules)) {
    say(`rule ${rule}: failed ${count} times, first with ${first}`);
  }
}

try {
  await main();
} catch (error) {
  const asked = error instanceof UsageError;
  const expected = [RulesError, StateError, HistoryError, ArchiveError, StorageError];
  const told = asked || expected.some((kind) => error instanceof kind);
  say(told ? (error as Error).message : String((error as Error).stack ?? error));
  process.exit(asked ? 2 : 1);
}
process.exit(0);
