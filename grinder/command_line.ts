/** The grinder's command line in, checked options out. */
import { availableParallelism, hostname } from "node:os";
import { isName } from "../shared/block.ts";
import { parseDurationMs } from "../shared/duration.ts";
import { programOptions, UsageError } from "../shared/options.ts";
import { parseS3Place, storageOptions } from "../shared/storage/open.ts";

const usage = `
Usage: deno task grind [OPTIONS]     make events and aggregates of what receivers store, as it comes
       deno task grind --since 7d --out DIR [--rules FILE]     the same of what was stored, in DIR`;

const table = {
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
} as const;

export type GrinderOptions = ReturnType<typeof commandLine>;

/** Throws `UsageError`; prints the table for `--help`. */
export function commandLine(argv: string[]) {
  const { values } = programOptions(usage, table, argv);
  const { data, once, window, "keep-outputs": keepOutputs } = values;
  const past = (values.since ?? values.until) !== undefined;
  if (!Number.isInteger(window) || window < 1) {
    throw new UsageError(
      `Cannot use --window because it must be whole seconds, at least 1: it is ${window}`,
    );
  }
  const name = values.name ?? (once || past ? undefined : hostname());
  if (name !== undefined && !isName(name)) {
    throw new UsageError(
      `Cannot use --name ${name} because it must be letters, digits and ._:@+-`,
    );
  }
  if (past && values.out === undefined) {
    throw new UsageError("Cannot grind history because --out must name a folder of its own");
  }
  const onS3 = parseS3Place(data) !== undefined;
  return {
    ...values,
    name,
    onS3,
    out: values.out ?? (onS3 ? "./data" : data),
    windowUs: window * 1e6,
    /** A range of what was stored, and not what comes. */
    past,
    /** It goes on until it is told to stop. */
    isLive: !once && !past,
    keepOutputsMs: keepOutputs === undefined
      ? undefined
      : parseDurationMs("--keep-outputs", keepOutputs),
  };
}
